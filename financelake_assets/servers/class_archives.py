"""Archives of Java's loaded classes, with which the broker and Spark start in about half the processor time.

Without one, each start reads, checks and links some ten thousand classes again. Java can keep them in an archive
("class data sharing"). Input: a Java, a class path, and the packaged list of the classes that a lake loads. Output: an
archive in the user's cache, made once for each Java and class path, and the options that use it. Java itself ignores
an archive that does not fit. Run as a module (``spark FILE…``), it makes a packaged list of the files that
``JAVA_TOOL_OPTIONS=-XX:DumpLoadedClassList=/tmp/%p.txt`` gave in a lake.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import platformdirs
import structlog
from filelock import FileLock, Timeout

from financelake_assets.config import Settings
from financelake_assets.servers.java import Java

Server = Literal["kafka", "spark"]
SERVERS: tuple[Server, ...] = ("kafka", "spark")

_LISTS = Path(__file__).parent / "classes"
_MAKE_SECONDS = 1_800  # at the lowest priority, on a busy machine
_KEEP_SECONDS = 30 * 86_400

_PARTIAL = ".partial-"

log = structlog.get_logger()


def options(server: Server, settings: Settings, java: Java, class_path: Sequence[str]) -> tuple[str, ...]:
    """Options of Java that use the archive of a server; none if there is none.

    Args:
        server: whose classes.
        settings: the lake.
        java: the Java that will run.
        class_path: entries in the order in which Java gets them.
    """
    archive = _place(server, settings, java, class_path)
    if not archive.is_file():
        return ()
    with suppress(OSError):
        archive.touch()  # it is in use: ``_clean`` leaves it
    return ("-Xshare:auto", f"-XX:SharedArchiveFile={archive}")


def make(server: Server, settings: Settings, java: Java, class_path: Sequence[str]) -> bool:
    """Make the archive of a server where there is none. A lake runs without it, so a failure is logged and not raised.

    Args:
        server: whose classes.
        settings: the lake.
        java: the Java that will run.
        class_path: entries in the order in which Java gets them.

    Returns:
        Whether an archive was made now.
    """
    archive = _place(server, settings, java, class_path)
    if archive.exists():
        return False
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(archive.with_suffix(".lock"), timeout=_MAKE_SECONDS):
            if archive.exists():  # another lake was faster
                return False
            _clean(archive.parent)
            return _made(server, java, class_path, archive)
    except Timeout:
        log.warning("another lake is still making the class archive", server=server)
        return False


def _made(server: Server, java: Java, class_path: Sequence[str], archive: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=archive.parent) as folder:
        classes, partial = Path(folder) / "classes", Path(folder) / archive.name
        classes.write_bytes(gzip.decompress(_list(server).read_bytes()))
        argv = [
            str(java.executable),
            "-Xshare:dump",
            f"-XX:SharedClassListFile={classes}",
            f"-XX:SharedArchiveFile={partial}",
            "-Xlog:disable",
            "-Xlog:all=error:stderr",
            "-cp",
            ":".join(class_path),
        ]
        try:
            done = subprocess.run(  # noqa: S603
                argv, capture_output=True, text=True, check=False, timeout=_MAKE_SECONDS, cwd=folder
            )
            problem = done.stderr[-2000:] if done.returncode or not partial.is_file() else None
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if problem is not None:
            log.warning("no class archive could be made; servers start without it", server=server, problem=problem)
            return False
        partial.replace(archive)
    return True


def _place(server: Server, settings: Settings, java: Java, class_path: Sequence[str]) -> Path:
    """Where the archive lies: another one for each Java, class path and list."""
    known = hashlib.sha256(_list(server).read_bytes())
    for part in (str(java.executable), java.version, *class_path):
        known.update(f"{part}\n".encode())
    return folder(settings) / f"{server}-{known.hexdigest()[:24]}.jsa"


def folder(settings: Settings) -> Path:
    """Where archives are kept, shared by all lakes of this user."""
    return settings.runtime.class_archives_dir or platformdirs.user_cache_path("financelake") / "classes"


def _clean(place: Path) -> None:
    """Delete archives that nothing has used for long, and what was left when making one was cut short."""
    for old in (*place.glob("*.jsa"), *place.glob(f"{_PARTIAL}*")):
        with suppress(OSError):
            age = time.time() - old.stat().st_mtime
            if old.is_dir() and age > _MAKE_SECONDS:
                shutil.rmtree(old)
            elif old.is_file() and age > _KEEP_SECONDS:
                old.unlink()


def _list(server: Server) -> Path:
    return _LISTS / f"{server}.txt.gz"


# -- writing the lists (maintainers) ---------------------------------------------------------------------


def write_list(server: Server, lists: Sequence[Path]) -> int:
    """Write the packaged list of a server from those that Java wrote; the number of its lines.

    Args:
        server: whose classes.
        lists: what ``-XX:DumpLoadedClassList`` wrote, of one or more runs.
    """
    lines: dict[str, None] = {}
    for file in lists:
        # classes that are made while it runs have other names at the next start
        wanted = (line for line in file.read_text().splitlines() if "source:" not in line and "$$Lambda" not in line)
        lines |= dict.fromkeys(wanted)
    _LISTS.mkdir(exist_ok=True)
    _list(server).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    return len(lines)


if __name__ == "__main__":
    name: Server = "kafka" if sys.argv[1] == "kafka" else "spark"
    sys.stdout.write(f"{write_list(name, [Path(one) for one in sys.argv[2:]])} classes\n")
