"""Finds the Java that the broker and Spark run on.

Input: the environment (JAVA_HOME, PATH) and the usual places. Output: the path of a ``java`` of at least version 17
that has the module jdk.incubator.vector, or one error that names what was found and what to do. jgo's own locator
looks at JAVA_HOME and PATH alone and knows no modules, so it only downloads here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from financelake_assets.errors import FinanceLakeError

MINIMUM = 17
MODULE = "jdk.incubator.vector"  # Spark 4.2 starts with --add-modules of it

_USUAL_PLACES = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/.sdkman/candidates/java/*",
    "~/.local/share/mise/installs/java/*",
    "~/.asdf/installs/java/*",
    "~/.jdks/*",
)


@dataclass(frozen=True)
class Java:
    """A Java that was found: its executable, where the search met it, its version, and whether Spark can use it."""

    executable: Path
    source: str
    version: str
    has_vector: bool

    @property
    def major(self) -> int:
        """Feature release: 8 for ``1.8.0_292``, 17 for ``17.0.15``; 0 when it could not be run."""
        match = re.match(r"(?:1\.)?(\d+)", self.version)
        return int(match.group(1)) if match else 0

    @property
    def suitable(self) -> bool:
        """Whether the broker and Spark run on it."""
        return self.major >= MINIMUM and self.has_vector

    def __str__(self) -> str:
        """One line for messages, with the reason where it is not suitable."""
        problem = ""
        if self.major < MINIMUM:
            problem = f": older than {MINIMUM}" if self.major else ": does not run"
        elif not self.has_vector:
            problem = f": lacks the module {MODULE}"
        return f"Java {self.version or '?'} at {self.executable} ({self.source}){problem}"


def find_java(*, fetch: bool = False, env: Mapping[str, str] | None = None) -> Java:
    """The first suitable Java of JAVA_HOME, PATH and the usual places.

    Args:
        fetch: let jgo download a Java 17 into its cache when none is suitable.
        env: the environment to search, by default that of this process.

    Raises:
        FinanceLakeError: none is suitable (and none could be fetched).
    """
    found: list[Java] = []
    for java in search(os.environ if env is None else env):
        if java.suitable:
            return java
        found.append(java)
    if fetch:
        return _fetch()
    listed = "".join(f"\n  - {java}" for java in found) or " none."
    raise FinanceLakeError(
        f"The lake needs Java {MINIMUM} or newer (17 and 21 are tested). Found:{listed}",
        remedy="Install one (Debian/Ubuntu: `apt-get install openjdk-17-jre-headless`; macOS: `brew install "
        "openjdk@17`) or point JAVA_HOME at one; or let financelake download Java 17 by itself: "
        "FINANCELAKE_RUNTIME__FETCH_JAVA=true",
    )


def search(env: Mapping[str, str]) -> Iterator[Java]:
    """Every Java that the search meets, in order of preference, each once."""
    seen: set[Path] = set()
    for executable, source in _candidates(env):
        real = executable.resolve()
        if real not in seen and real.is_file():
            seen.add(real)
            yield _inspect(real, source)


def _candidates(env: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if home := env.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java", "JAVA_HOME"
    if on_path := shutil.which("java", path=env.get("PATH", "")):
        yield Path(on_path), "PATH"
    for pattern in _USUAL_PLACES:
        place = Path(pattern).expanduser()
        anchor = Path(place.anchor)
        for home_dir in sorted(anchor.glob(str(place.relative_to(anchor)))):
            yield home_dir / "bin" / "java", str(place.parent)


def _inspect(executable: Path, source: str) -> Java:
    """Read version and modules from the ``release`` file, which costs no JVM start, or else ask the executable."""
    release = executable.parent.parent / "release"
    text = release.read_text(errors="replace") if release.is_file() else ""
    version = re.search(r'^JAVA_VERSION="([^"]+)"', text, re.MULTILINE)
    modules = re.search(r'^MODULES="([^"]+)"', text, re.MULTILINE)
    if version and modules:
        return Java(executable, source, version.group(1), MODULE in modules.group(1).split())
    asked = re.search(r'version "([^"]+)"', _run(executable, "-version"))
    return Java(
        executable,
        source,
        asked.group(1) if asked else "",
        f"{MODULE}@" in _run(executable, "--list-modules"),
    )


def _run(executable: Path, option: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            [executable, option], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _fetch() -> Java:
    """Download a Java 17 with jgo (which uses cjdk) into the user's cache folder, or find it there."""
    from jgo.util.java import JavaLocator, JavaSource

    print("Fetching Java 17 (once; kept in the user's cache folder) …", file=sys.stderr)  # noqa: T201
    try:
        executable = JavaLocator(java_source=JavaSource.DOWNLOAD, java_version=str(MINIMUM)).locate()
    except Exception as error:
        raise FinanceLakeError(
            f"Java {MINIMUM} could not be downloaded: {error}",
            remedy="Check the network, or install Java 17 yourself and point JAVA_HOME at it.",
        ) from error
    return _inspect(executable, "fetched by jgo")
