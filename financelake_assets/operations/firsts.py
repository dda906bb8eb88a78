"""Announces the first prediction and the first signal of a new lake to the user of ``up``."""

from __future__ import annotations

import time

from financelake_assets.config import Settings
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.storage.delta import TableSpec

_LOOK_SECONDS = 2.0


class Firsts:
    """Finds the first rows of gold, each once. It does not check a lake that already has them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._begun = self._looked = time.monotonic()
        tables = {"prediction": PREDICTIONS, "signal": SIGNALS}
        self._awaited = {name: table for name, table in tables.items() if not self._has_rows(table)}

    def news(self) -> list[str]:
        """What is new since the last call, as lines to print."""
        now = time.monotonic()
        if not self._awaited or now - self._looked < _LOOK_SECONDS:
            return []
        self._looked = now
        found = [name for name, table in self._awaited.items() if self._has_rows(table)]
        for name in found:
            del self._awaited[name]
        return [f"the first {name} is there ({now - self._begun:.0f} s after the lake was up)" for name in found]

    def _has_rows(self, table: TableSpec) -> bool:
        facts = table.facts(self._settings)
        return facts is not None and facts.rows > 0
