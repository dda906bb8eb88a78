"""Watching a table's log: whether there may be a new commit, for the price of one ``stat``.

Input: the place of a table. Output: yes, or surely not. Reading a log costs some milliseconds even if nothing is new,
and a lake follows two dozen tables all day.
"""

from __future__ import annotations

import time
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TableSpec

SETTLED_NS = 100_000_000
"""A folder's time has a step of some milliseconds: two commits within one look like one, until this much later."""


class LogWatch:
    """One table's log. In a store each look is a request that may as well read the log, so the answer is always yes.

    Args:
        spec: of the table, which need not exist.
        settings: the lake.
    """

    def __init__(self, spec: TableSpec, settings: Settings) -> None:
        self._log = Path(spec.path(settings), "_delta_log") if settings.store.url is None else None
        self._seen: tuple[int, int, int] | None = None
        self._settled = False

    @property
    def folder(self) -> tuple[int, int] | None:
        """Identifies the folder as of the last look, so that a table that was created again is noticed.

        ``None`` where there was none, and in a store, where a reader needs a restart.
        """
        return None if self._seen is None else self._seen[:2]

    def may_have_changed(self) -> bool:
        """Whether there may be a commit since the last call; read the log after it, not before."""
        if self._log is None:
            return True
        now = time.time_ns()
        try:
            stat = self._log.stat()
        except FileNotFoundError:
            self._seen, self._settled = None, False
            return True
        found = (stat.st_dev, stat.st_ino, stat.st_mtime_ns)
        changed = found != self._seen or not self._settled
        self._seen, self._settled = found, now - stat.st_mtime_ns > SETTLED_NS
        return changed
