"""Follows the live trades or quotes of one provider's symbols, again and again, whatever ends it.

Input: symbols. Output: ticks on bronze, by the code of ``ingest --live``, and how it goes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog

from financelake_assets.bronze.ingest import IngestProgress, IngestRequest, ingest
from financelake_assets.bronze.producer import Stopped
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.intervals import TICK

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
_RATE_SECONDS = 10.0

log = structlog.get_logger()


class Follower:
    """A thread that follows some symbols. For other symbols stop it, and make another: it goes on by their numbers."""

    def __init__(self, settings: Settings, provider: str, symbols: Sequence[str], live_from: datetime) -> None:
        """Set it up.

        Args:
            settings: the lake.
            provider: whom to ask.
            symbols: whose trades are followed.
            live_from: from when on, where a symbol is followed for the first time.
        """
        self.symbols = tuple(symbols)
        self.problem: str | None = None
        self._settings, self._provider, self._live_from = settings, provider, live_from
        self._stopping = threading.Event()
        self._last: IngestProgress | None = None
        self._counted: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._run, name="trades", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it when what it has read is delivered, and wait for that for a while."""
        self._stopping.set()
        self._thread.join(8)

    def facts(self) -> dict[str, Any]:
        """The numbers of following: of trades with numbers their gaps too; ``per_second`` over the last seconds."""
        last = self._last
        if last is None:
            return {"connected": False, "trades": 0, "per_second": 0.0}
        known = asdict(last.live) if last.live else {"connected": True, "trades": last.rows}
        return {**known, "per_second": self._rate(last.rows)}

    def _rate(self, rows: int) -> float:
        now = time.monotonic()
        self._counted = [one for one in self._counted if one[0] > now - _RATE_SECONDS] + [(now, rows)]
        (first, before), seconds = self._counted[0], now - self._counted[0][0]
        del first
        return round(max(0, rows - before) / seconds, 1) if seconds else 0.0

    def _heard(self, progress: IngestProgress) -> None:
        self._last, self.problem = progress, None

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                asked = {"provider": self._provider, "symbols": self.symbols, "interval": TICK, "live": True}
                request = IngestRequest.model_validate({**asked, "live_from": self._live_from})
                ingest(request, self._settings, self._heard, self._stopping.is_set)
            except Stopped:
                return
            except FinanceLakeError as error:
                self.problem = str(error)
                log.warning("live trades are not followed", problem=str(error))
            except Exception as error:  # a fault of ours, or of a provider's: it must be seen, and tried again
                self.problem = f"{type(error).__name__}: {error}"
                log.exception("live trades are not followed")
            failures = 0 if time.monotonic() - began > _LONGEST_WAIT else failures + 1
            self._stopping.wait(min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures, 10)))
