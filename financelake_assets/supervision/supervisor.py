"""Supervision by supervisord: it starts, restarts with back-off, stops in order, and keeps and rotates the logs.

Input: settings. Output: one supervisord for each lake, reached through a Unix socket in ``<data_dir>/run``. Its
configuration is ``supervisord.conf`` beside the socket; the output of each process is in ``<data_dir>/logs``.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

import psutil

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import sockets
from financelake_assets.servers.command import PROCESS_VARIABLE, PYTHON, lake_environment
from financelake_assets.supervision import leftovers, processes
from financelake_assets.supervision.processes import ProcessState

_SETTLED_SECONDS = 5
_ANSWER_SECONDS = 10.0
_STOP_SECONDS = 90.0  # it answers when the process has ended, at the latest when it has been killed
_QUICK_RESTARTS = 8
_NAME = "supervisor"


def folder(settings: Settings) -> Path:
    """The folder of sockets, configuration and state of the running lake."""
    return settings.run_dir


def log_file(settings: Settings, name: str) -> Path:
    """The log file of a process's output."""
    return settings.data_dir / "logs" / f"{name}.log"


def socket_path(settings: Settings) -> Path:
    """The supervisor's socket."""
    return sockets.path(settings, "supervisor")


def configuration(settings: Settings) -> str:
    """The text of ``supervisord.conf``."""
    sections: dict[str, dict[str, object]] = {
        "unix_http_server": {"file": socket_path(settings), "chmod": "0700"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "supervisord": {
            "nodaemon": "true",
            "silent": "true",
            "umask": "077",  # only the owner can read what a lake writes; an existing open data folder stays open
            "logfile": log_file(settings, "supervisord"),
            "logfile_maxbytes": "5MB",
            "logfile_backups": 1,
            "pidfile": folder(settings) / "supervisord.pid",
            "childlogdir": settings.data_dir / "logs",
            "directory": settings.data_dir,
        },
    }
    for place, process in enumerate(processes.of_lake(settings).values()):
        sections[f"program:{process.name}"] = {
            "command": f'"{sys.executable}" -P -m financelake_assets.supervision.launch {process.name}',
            "priority": 100 + place,  # the supervisor stops the last one first, and waits for each
            "autostart": "false",  # `up` starts them stage by stage
            "autorestart": "true",
            "startsecs": _SETTLED_SECONDS,
            "startretries": _QUICK_RESTARTS,
            "stopwaitsecs": process.stop_seconds,
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": log_file(settings, process.name),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": 2,
        }
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {str(value).replace('%', '%%')}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket. The supervisor's own client waits for ever for one that was stopped."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__()
        self._path, self._seconds = path, seconds

    def make_connection(self, host: object) -> http.client.HTTPConnection:  # noqa: ARG002  # there is only one
        return _Connection(self._path, self._seconds)


class Supervisor:
    """A client of this lake's supervisord."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def alive(self) -> bool:
        """Whether this lake's supervisor answers."""
        try:
            self._call("getState")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def start(self) -> None:
        """Start the supervisor itself, detached from this terminal, and wait until it answers.

        Raises:
            FinanceLakeError: it did not answer; the message contains the end of its log.
        """
        settings = self._settings
        (settings.data_dir / "logs").mkdir(parents=True, exist_ok=True)
        sockets.prepare(settings)
        folder(settings).mkdir(exist_ok=True)  # where the sockets of a long path are is another folder
        file = folder(settings) / "supervisord.conf"
        file.write_text(configuration(settings))
        log = log_file(settings, "supervisord")
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603
                [*PYTHON, "-m", "supervisor.supervisord", "-c", str(file)],
                cwd=settings.data_dir,
                env={**lake_environment(settings), PROCESS_VARIABLE: _NAME},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while not self.alive():
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-1000:].strip()
                raise FinanceLakeError(f"The supervisor did not start:\n{said}", remedy=f"The complete log is {log}.")
            time.sleep(0.1)

    def take_up(self) -> tuple[list[str], list[str]]:
        """Let a running supervisor know which processes the lake has by now; returns the new and the former ones.

        New ones are not started yet; former ones are stopped.
        """
        (folder(self._settings) / "supervisord.conf").write_text(configuration(self._settings))
        ((added, _, removed),) = self._call("reloadConfig")
        for name in removed:
            self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in added:
            self._call("addProcessGroup", name)
        return added, removed

    def states(self) -> dict[str, ProcessState]:
        """The supervisor's view of each process; empty without a supervisor."""
        try:
            answers = self._call("getAllProcessInfo")
        except OSError:
            return {}
        return {
            answer["name"]: ProcessState(
                answer["name"], answer["statename"], answer["pid"], float(answer["start"]), _last_words(answer)
            )
            for answer in answers
        }

    def start_process(self, name: str) -> None:
        """Start a process unless it runs or is starting."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise FinanceLakeError(f"{name} cannot be started: {fault.faultString}") from fault

    def stop_process(self, name: str) -> None:
        """Stop a process and wait for its end; do nothing if it does not run."""
        try:
            self._call("stopProcess", name, True)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise

    def shut_down(self, seconds: float = 120) -> None:
        """Make the supervisor stop all processes, the last started first, and end.

        Raises:
            FinanceLakeError: it still runs after ``seconds``.
        """
        # it closes its socket long before the processes have stopped: only its own end shows that all have
        supervisors = list(leftovers.of_lake(self._settings, _NAME))
        self._call("shutdown")
        _, running = psutil.wait_procs(supervisors, timeout=seconds)
        if running:
            raise FinanceLakeError(
                "The supervisor does not end.", remedy=f"See {log_file(self._settings, 'supervisord')}."
            )

    def _call(self, method: str, *arguments: object) -> Any:
        path = socket_path(self._settings)
        if not path.exists():
            raise FileNotFoundError(path)
        transport = _Transport(path, _STOP_SECONDS if method.startswith("stopProcess") else _ANSWER_SECONDS)
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)


def _last_words(answer: dict[str, Any]) -> str:
    return str(answer["spawnerr"] or answer["description"])


def wanted(settings: Settings) -> bool:
    """Whether the lake should run: from ``up`` until ``down``."""
    return _mark(settings).exists()


def mark_wanted(settings: Settings) -> None:
    """Record that the lake should run from now on."""
    _mark(settings).touch()


def mark_unwanted(settings: Settings) -> None:
    """Record that the lake was stopped on purpose."""
    _mark(settings).unlink(missing_ok=True)


def _mark(settings: Settings) -> Path:
    return folder(settings) / "wanted"
