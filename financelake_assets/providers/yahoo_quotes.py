"""Live quotes in the unit that the lake keeps: those of a symbol wait until its unit is known.

Input: ticks as Yahoo sends them, and who asks for a unit. Output: the ticks, converted. A quote does not say its unit,
and one of pence among pounds is a hundred times too high: so none passes unjudged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import polars as pl
import structlog

from financelake_assets.providers.base import COLUMNS, Chunk, ProviderError
from financelake_assets.providers.units import PriceUnit, UnitError, converted

_AGAIN_SECONDS = 60.0
_MOST_HELD = 1_000

_NOTHING = Chunk(pl.DataFrame(schema=dict(COLUMNS)))

log = structlog.get_logger()


class QuoteUnits:
    """The units of some symbols, asked for one after the other while quotes go on coming."""

    def __init__(self, units: Mapping[str, PriceUnit | None], ask: Callable[[str], PriceUnit]) -> None:
        """Set it up; nothing is asked.

        Args:
            units: by symbol; ``None`` where it is not known.
            ask: finds it out; raises UnitError where the lake's is another, and ProviderError where it cannot be had.
        """
        self._units = {symbol: unit for symbol, unit in units.items() if unit is not None}
        self._ask = ask
        self._open = {symbol: 0.0 for symbol, unit in units.items() if unit is None}
        self._held: dict[str, pl.DataFrame] = {}
        self._refused: set[str] = set()

    def is_due(self) -> bool:
        """Whether a unit is to be asked for now."""
        return any(due <= time.monotonic() for due in self._open.values())

    def convert(self, chunk: Chunk) -> Chunk:
        """The quotes whose unit is known; the others are held back."""
        if chunk.rows.is_empty() or not (
            self._open or self._refused or any(unit.is_converted for unit in self._units.values())
        ):
            return chunk
        passed = [
            converted(rows, self._units[symbol]) if symbol in self._units else rows
            for (symbol,), rows in chunk.rows.partition_by("symbol", as_dict=True, maintain_order=True).items()
            if not self._hold(str(symbol), rows)
        ]
        return Chunk(pl.concat(passed) if passed else chunk.rows.clear(), chunk.odd)

    def ask_one(self) -> Chunk:
        """Ask for the unit of one symbol; the quotes of it that waited."""
        symbol = min(self._open, key=self._open.__getitem__)
        try:
            self._units[symbol] = self._ask(symbol)
        except UnitError as error:
            self._refused.add(symbol)
            log.warning("quotes are not published", symbol=symbol, problem=str(error))
        except ProviderError as error:
            self._open[symbol] = time.monotonic() + _AGAIN_SECONDS
            log.warning("quotes wait for the unit of their prices", symbol=symbol, problem=str(error))
            return _NOTHING
        del self._open[symbol]
        held = self._held.pop(symbol, None)
        if held is None or symbol in self._refused:
            return _NOTHING
        return Chunk(converted(held, self._units[symbol]))

    def _hold(self, symbol: str, rows: pl.DataFrame) -> bool:
        if symbol in self._open:
            held = pl.concat([self._held[symbol], rows]) if symbol in self._held else rows
            if held.height > _MOST_HELD:
                log.warning("quotes are lost: the unit of their prices is not known", symbol=symbol)
            self._held[symbol] = held.tail(_MOST_HELD)
        return symbol in self._open or symbol in self._refused
