"""What every provider of market data is: a small protocol, and the rows that it yields.

Input: whatever a source speaks. Output: ``Chunk``s of bars and ticks in one set of columns, UTC, in a fixed order.
Providers know nothing of Kafka. They judge nothing either: a row that is wrong is passed on as it came, and silver
says why it is unusable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

import polars as pl

from financelake_assets.config import ASSET_CLASSES, AssetClass
from financelake_assets.errors import FinanceLakeError

PRICES = ("open", "high", "low", "close", "adj_close")
EVENTS = ("dividend", "split")
"""Of a stock, on the bar of the day: cash a share, and new shares for an old one. Most rows have none."""
OPTIONAL = ("adj_close", *EVENTS, "trade_id")
"""What many sources know nothing of: a chunk without any value of one leaves it out of its messages."""
NUMBERS = (*PRICES, "volume", *EVENTS)
_NEVER = r"\s\x00-\x20a-z,;|\"'`\\<>(){}\[\]?%*~\u0370-\u052f\uff00-\uffef"
SYMBOL = re.compile(rf"^[^{_NEVER}.=/:\-][^{_NEVER}]{{0,31}}$")
"""What a symbol may look like, in any script: no blanks, small Latin letters, quotes or brackets.

Greek, Cyrillic and full-width letters look like Latin ones: a Cyrillic A must not make a second AAPL."""

CLOCK = "time_of_day"
"""A field of files only: the clock of a time whose date is in a column of its own."""

COLUMNS: Mapping[str, pl.DataType] = {
    "symbol": pl.String(),
    "asset_class": pl.String(),
    "interval": pl.String(),
    "event_time": pl.Datetime("us", "UTC"),
    **dict.fromkeys(NUMBERS, pl.Float64()),
    "trade_id": pl.String(),
}
"""The columns of a chunk. ``event_time`` is the start of a bar, or the moment of a tick (a bar of one price)."""

OddRow = Mapping[str, str | float | datetime | None]


class ProviderError(FinanceLakeError, RuntimeError):
    """A source cannot give what was asked of it; the message says what to do."""


class Instrument(NamedTuple):
    """A symbol and what it is."""

    symbol: str
    asset_class: AssetClass


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do; ``network``: it contacts somebody else's machine, only when the user chose it."""

    history: bool
    live: bool
    network: bool


@dataclass(frozen=True)
class Chunk:
    """Some rows, in order: ``rows`` typed as ``COLUMNS``, then ``odd`` ones that have a value which is not."""

    rows: pl.DataFrame
    odd: tuple[OddRow, ...] = field(default=())

    def __len__(self) -> int:
        return self.rows.height + len(self.odd)

    def skip(self, count: int) -> Chunk:
        """The chunk without its first ``count`` rows."""
        return Chunk(self.rows.slice(count), self.odd[max(0, count - self.rows.height) :])

    def instruments(self) -> set[Instrument]:
        """The symbols in the chunk with their class, where that is one."""
        pairs = set(self.rows.select("symbol", "asset_class").unique().drop_nulls().iter_rows())
        pairs |= {(row.get("symbol"), row.get("asset_class")) for row in self.odd}
        return {
            Instrument(symbol, asset_class) for symbol, asset_class in pairs if symbol and asset_class in ASSET_CLASSES
        }


class Part(NamedTuple):
    """A piece of history that is loaded, and continued after a crash, by itself: a file, or a symbol.

    ``identity`` tells its rows from any other's: the same text means the same rows in the same order, perhaps with
    further ones behind them. ``total`` is how many rows there are, where that is known. ``notes`` say what was guessed.
    ``refused``: why nothing of this piece is published, while others are.
    """

    identity: str
    chunks: Iterator[Chunk]
    total: int | None = None
    notes: tuple[str, ...] = ()
    refused: str | None = None


@runtime_checkable
class Provider(Protocol):
    """A source of market data, set up for one request."""

    name: str
    capabilities: Capabilities

    def history(self) -> Iterator[Part]:
        """The past, as fast as it can be read.

        Raises:
            ProviderError: the source cannot give it.
        """
        ...

    def live(self, start: int = 0) -> Iterator[Chunk]:
        """What happens from now on, when it happens; ends when it is over or the provider is told to stop.

        Args:
            start: rows of a repeatable provider that were taken before and shall not come again.
        """
        ...


def skip_rows(chunks: Iterator[Chunk], count: int) -> Iterator[Chunk]:
    """The chunks without their first ``count`` rows."""
    for chunk in chunks:
        left = chunk.skip(count)
        count = max(0, count - len(chunk))
        if len(left):
            yield left


def typed(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with exactly the columns of a chunk; those that are absent are null."""
    return rows.select(
        pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, kind).alias(name)
        for name, kind in COLUMNS.items()
    )
