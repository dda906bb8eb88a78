"""The ledger: rows in = rows in silver + duplicates + rows in quarantine.

Enters: the tables and the silver query's committed offsets. Leaves: the four counts. Each comes from its own
place, none is the difference of the others, so an imbalance is a real one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import polars as pl

from financelake_assets.config import Settings
from financelake_assets.resources.delta import TableSpec
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS

Offsets = Mapping[str, Mapping[int, int]]


@dataclass(frozen=True)
class Ledger:
    """Message counts since the topics began; ``silver`` are those that became or corrected a bar or a trade."""

    consumed: int
    silver: int
    duplicates: int
    quarantine: int

    @property
    def balanced(self) -> bool:
        """Whether every consumed message is accounted for exactly once."""
        return self.missing == 0

    @property
    def missing(self) -> int:
        """Messages that are in no place; negative when some are in two."""
        return self.consumed - self.silver - self.duplicates - self.quarantine

    def as_dict(self) -> dict[str, int | bool]:
        """The counts under the names that ``financelake status --json`` gives them."""
        counts = asdict(self)
        return {"in": counts.pop("consumed"), **counts, "balanced": self.balanced}


def count_consumed(consumed: Offsets) -> int:
    """Messages in a set of committed end offsets; bronze topics have no control records, so offsets count messages."""
    return sum(end for ends in consumed.values() for end in ends.values())


def read_ledger(settings: Settings, patience_seconds: float = 20.0) -> Ledger:
    """Read the ledger of a lake whose silver query may be running.

    Between a micro-batch's writes and its commit the tables are ahead of the offsets. So an imbalance is believed only
    when the committed offsets have not moved since the tables were read and go on not moving.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        before = consumed_offsets(settings)
        ledger = _read(settings, before)
        if ledger.balanced or time.monotonic() > deadline:
            return ledger
        time.sleep(0.3)


def _read(settings: Settings, consumed: Offsets) -> Ledger:
    messages, repeated = _sums(settings, BARS, pl.col("messages"), pl.col("duplicates"))
    trades, repeated_trades = _sums(settings, TICKS, pl.lit(1), pl.col("duplicates"))
    quarantined, _ = _sums(settings, QUARANTINE, pl.lit(1), pl.lit(0))
    return Ledger(count_consumed(consumed), messages + trades, repeated + repeated_trades, quarantined)


def _sums(settings: Settings, table: TableSpec, *values: pl.Expr) -> tuple[int, int]:
    opened = table.open(settings)
    if opened is None:
        return 0, 0
    per_row = [value.alias(str(position)) for position, value in enumerate(values)]
    rows = pl.scan_delta(opened).select(pl.col("offset"), *per_row).select(pl.exclude("offset").sum()).collect()
    first, second = rows.row(0)
    return int(first), int(second)
