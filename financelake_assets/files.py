"""Small files that processes share: written completely or not at all, and readable even if damaged."""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from filelock import FileLock, Timeout

from financelake_assets.errors import FinanceLakeError

LOCK_SECONDS = 600.0
"""How long one process waits for another's turn: longer than any turn takes, and not for ever."""


class LockTimeoutError(FinanceLakeError, TimeoutError):
    """A lock was held for so long that its holder has probably stopped."""


log = structlog.get_logger(__name__)


def write_whole(file: Path, text: str, *, private: bool = False) -> None:
    """Write a file so that a reader, or a machine that loses power, sees the old text or the new one, never a part.

    An earlier one is replaced and never written into: it may be open to others, or be a link of theirs.

    Args:
        file: its place; missing folders are made.
        text: what it is to hold.
        private: nobody but the file's owner may read it.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the old text is unchanged.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.partial")
    try:
        mode = 0o600 if private else 0o666  # less what the umask takes
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_json(file: Path) -> dict[str, Any] | None:
    """A JSON object that another process wrote; ``None`` if there is none or it is incomplete.

    Processes write such a file again and again. So a truncated file, for example after a full disk, counts as absent,
    and its reader must continue.
    """
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        log.warning("a state file is damaged and counts as absent", file=str(file), error=str(error))
        return None
    return found if isinstance(found, dict) else None


def is_own_folder(place: Path) -> bool:
    """Whether a path is a folder of this user, and no link to one."""
    found = place.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


@contextmanager
def locked(file: Path, seconds: float | None = None) -> Iterator[None]:
    """Hold a lock between processes, which ends with its holder.

    Args:
        file: the lock; its folder exists.
        seconds: how long to wait for it; ``LOCK_SECONDS`` by default.

    Raises:
        LockTimeoutError: another process has held it all the time.
    """
    seconds = LOCK_SECONDS if seconds is None else seconds
    lock = FileLock(file, timeout=seconds)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockTimeoutError(
            f"another process has held the lock {file} for {seconds:g} s.",
            remedy="It does not go on: look which one it is (`fuser` on the file names it), and end it.",
        ) from error
    try:
        yield
    finally:
        lock.release()
