"""Orphaned processes of a lake, for instance Spark's Python workers after a ``kill -9`` of the server.

Every process of a lake has its name and its data folder in its environment, and passes them on to its children. Only
this decides to which lake a process belongs. So there is no stale pid file, and other lakes and users are never
affected.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psutil

from financelake_assets.config import Settings
from financelake_assets.servers.command import PROCESS_VARIABLE

_GRACE_SECONDS = 10


def of_lake(settings: Settings, name: str | None = None) -> Iterator[psutil.Process]:
    """Processes of this lake (with this name), except the caller and its parents."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            environment = process.environ()
        except (psutil.Error, OSError):  # it has ended, or belongs to another user
            continue
        if environment.get("FINANCELAKE_DATA_DIR") != str(settings.data_dir):
            continue
        found = environment.get(PROCESS_VARIABLE)
        if found is not None and name in (None, found):
            yield process


def end(settings: Settings, name: str | None = None) -> list[int]:
    """End them, first with SIGTERM; return the ids of the ended processes."""
    processes = list(of_lake(settings, name))
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=_GRACE_SECONDS)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=_GRACE_SECONDS)
    return [process.pid for process in processes]
