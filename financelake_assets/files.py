"""Small files that processes share: written completely or not at all, and readable even if damaged."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger(__name__)


def write_whole(file: Path, text: str) -> None:
    """Write a file so that a reader, or a machine that loses power, sees the old text or the new one, never a part.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the old text is unchanged.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("w") as opened:
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
