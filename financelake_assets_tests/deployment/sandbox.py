"""A compose service without an engine: its very command, user, environment, mounts and health check, in a sandbox.

bubblewrap gives each service what a container has: a root of its own that it cannot write, the mounts that compose
declares, a user without rights, no capabilities, no variable that is not declared. Service names are addresses of this
machine's loopback network. What is not run is the images' own build; the Dockerfile's ``uv sync`` is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from financelake_assets.config import Settings
from financelake_assets.servers import jars
from financelake_assets_tests.deployment.composed import (
    DOCKER,
    ROOT,
    compose,
    entrypoint,
    environment,
    image_environment,
    mounts,
    services,
)
from financelake_assets_tests.shared_servers import end_group

_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin")
_ETC = ("ssl", "ca-certificates", "java-17-openjdk", "alternatives", "ld.so.cache", "nsswitch.conf", "localtime")
_USERS = "root:x:0:0:root:/root:/bin/sh\nlake:x:10001:10001::/tmp:/usr/sbin/nologin\n"


def installed(folder: Path) -> Path:
    """The virtual environment that the Dockerfile makes, by its own commands, and its jars in the cache."""
    text = (DOCKER / "Dockerfile").read_text()
    (command,) = {line.strip() for line in re.findall(r"uv sync .*", text) if "--no-install-project" not in line}
    place = {"UV_PROJECT_ENVIRONMENT": str(folder), "UV_PYTHON": sys.executable, "UV_COMPILE_BYTECODE": "1"}
    subprocess.run(command.split(), cwd=ROOT, env={**os.environ, **place}, check=True, capture_output=True)
    (fetch,) = re.findall(r"^RUN /app/.venv/(bin/python .* fetch)$", text, re.M)
    subprocess.run([folder / word if "/" in word else word for word in fetch.split()], check=True)
    return folder


@dataclass
class Containers:
    """The services of one profile. ``start`` brings them up as compose would, in the order of what they need."""

    profile: str
    folder: Path
    venv: Path
    secrets: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.services = services(self.profile)
        self.addresses = {name: f"127.0.1.{number + 1}" for number, name in enumerate(sorted(self.services))}
        (self.folder / "logs").mkdir(parents=True)
        for name in [*self.addresses, "cli"]:
            self._hosts(name)

    def start(self, elsewhere: Sequence[str] = ()) -> None:
        """Start every service but those that somebody else has started; each is well when this returns."""
        waiting = {name: one for name, one in self.services.items() if name not in elsewhere}
        done = set(elsewhere)
        while waiting:
            needs = {name: set(one.get("depends_on", {})) & set(self.services) for name, one in waiting.items()}
            ready = [name for name, needed in needs.items() if needed <= done]
            assert ready, f"these wait for each other: {sorted(waiting)}"
            for name in ready:
                self.run(name)
            for name in ready:
                self._await(name)
                del waiting[name]
            done |= set(ready)

    def run(self, name: str) -> None:
        """Start one service."""
        service = self.services[name]
        start = entrypoint() if str(service["image"]).startswith("financelake:") else []
        with self.log(name).open("ab") as output:
            self.running[name] = subprocess.Popen(
                self.confined(name, [*start, *service["command"]]),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def stop(self) -> None:
        for process in reversed(self.running.values()):
            end_group(process)

    def healthy(self, name: str) -> str | None:
        """What the service's health check says; ``None`` when it passes."""
        command = self.services[name]["healthcheck"]["test"][1:]
        done = subprocess.run(self.confined(name, command), capture_output=True, text=True, check=False, timeout=120)
        return None if done.returncode == 0 else f"{name}: {done.stdout}{done.stderr}"

    def _await(self, name: str, seconds: float = 300) -> None:
        process, deadline = self.running[name], time.monotonic() + seconds
        if self.services[name]["healthcheck"] == {"disable": True}:
            assert process.wait(seconds) == 0, self._end_of_log(name)
            return
        while (problem := self.healthy(name)) is not None:
            assert process.poll() is None, f"{problem}\n{self._end_of_log(name)}"
            assert time.monotonic() < deadline, f"{problem}\n{self._end_of_log(name)}"
            time.sleep(1)

    def _end_of_log(self, name: str) -> str:
        return f"{name} said: {self.log(name).read_text(errors='replace')[-3000:]}"

    # -- the sandbox -----------------------------------------------------------------------------------
    def confined(self, name: str, command: Sequence[str]) -> list[str]:
        """A command in the sandbox of a service."""
        definitions = compose(self.profile)
        service = definitions["services"][name]
        arguments = ["bwrap", "--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        uid, gid = str(service.get("user", "0:0")).split(":")
        arguments += ["--uid", uid, "--gid", gid, "--cap-drop", "ALL", "--hostname", name, "--clearenv"]
        arguments += self._root(name)
        for path, file in mounts(service, definitions).items():
            arguments += ["--ro-bind", str(self.secrets / file.name), path]
        for entry in service.get("configs", []):
            arguments += ["--ro-bind", str(DOCKER / definitions["configs"][entry["source"]]["file"]), entry["target"]]
        for volume in service.get("volumes", []):
            arguments += self._volume(volume)
        for variable, value in self._variables(service).items():
            arguments += ["--setenv", variable, value]
        # last: nothing below the root but the mounts can be written
        return [*arguments, "--remount-ro", "/", "--chdir", "/", "--", *command]

    def _root(self, name: str) -> list[str]:
        etc = self.folder / "etc"
        etc.mkdir(exist_ok=True)
        (etc / "passwd").write_text(_USERS)
        (etc / "group").write_text("root:x:0:\nlake:x:10001:\n")
        arguments = ["--tmpfs", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108
        for path in _SYSTEM:
            arguments += ["--ro-bind", path, path]
        for path in _ETC:
            arguments += ["--ro-bind-try", f"/etc/{path}", f"/etc/{path}"]
        for path in ("passwd", "group"):
            arguments += ["--ro-bind", str(etc / path), f"/etc/{path}"]
        arguments += ["--ro-bind", str(self.folder / "hosts" / name), "/etc/hosts"]
        python = str(Path(sys.base_prefix))
        arguments += [] if python.startswith("/usr") else ["--ro-bind", python, python]
        cache = jars.cache_folder(Settings())
        return [*arguments, "--ro-bind", str(self.venv), "/app/.venv", "--ro-bind", str(cache), "/app/jars"]

    def _volume(self, volume: str) -> list[str]:
        source, target, *mode = volume.split(":")
        place = self.folder / "volumes" / source
        place.mkdir(parents=True, exist_ok=True)
        return ["--ro-bind" if mode == ["ro"] else "--bind", str(place), target]

    def _variables(self, service: Mapping[str, Any]) -> dict[str, str]:
        if not str(service["image"]).startswith("financelake:"):
            return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        image = {name: value.replace("$PATH", "/usr/bin:/bin") for name, value in image_environment().items()}
        return {**image, **environment(service)}

    def _hosts(self, name: str) -> None:
        file = self.folder / "hosts" / name
        file.parent.mkdir(exist_ok=True)
        lines = [f"{address} {other}" for other, address in self.addresses.items()]
        file.write_text("\n".join(["127.0.0.1 localhost", *lines]) + "\n")

    def lake(self) -> Path:
        """The lake's volume, as this machine sees it."""
        return self.folder / "volumes" / "lake"


_TOOLS = ("bwrap", "nginx", "openssl", "pg_isready", "prometheus", "promtool")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def missing_tools() -> list[str]:
    """Programs that the sandbox and its tests need and this machine lacks."""
    return [name for name in _TOOLS if shutil.which(name, path=_PATH) is None]
