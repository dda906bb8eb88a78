"""Unix sockets of a lake, in a folder that nobody but their owner enters: who cannot enter it cannot connect.

Input: settings and a name. Output: the socket's path, in ``/tmp`` where the data folder's path is too long for one.
Every command finds the lake there, whatever ``TMPDIR`` says in its shell.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.files import is_own_folder

_LONGEST_PATH = 100
"""Bytes. The kernel's limit is 107, and supervisord adds its process id for a moment."""
_LONGEST_NAME = 24
_SHORT = Path("/tmp")  # noqa: S108  # the folder in it is closed to others, and refused if it is another user's


def folder(settings: Settings) -> Path:
    """Where a lake's sockets are. It need not exist."""
    place = settings.run_dir / "sockets"
    if len(os.fsencode(place)) + 1 + _LONGEST_NAME <= _LONGEST_PATH:
        return place
    digest = hashlib.sha256(os.fsencode(settings.run_dir)).hexdigest()[:16]
    return _SHORT / f"financelake-{os.getuid()}-{digest}"


def path(settings: Settings, name: str) -> Path:
    """The socket called ``name``."""
    return folder(settings) / f"{name}.sock"


def prepare(settings: Settings) -> None:
    """Make the folder, and close one that is open.

    Raises:
        FinanceLakeError: it is a link, or another user's, who could answer in the place of the lake's processes.
    """
    place = folder(settings)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_own_folder(place):
        raise FinanceLakeError(
            f"The folder of the lake's sockets, {place}, is a link or belongs to another user.",
            remedy="Have it deleted, or choose a FINANCELAKE_DATA_DIR with a shorter path.",
        )
    place.chmod(0o700)
