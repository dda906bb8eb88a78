"""What is known of how a column writes times, and the units in which numbers are moments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1, "epoch_ns": 0.001}
"""Epoch times by their unit, with the factor to microseconds."""
EXCEL, DOTNET, DAY_MS = "excel", "dotnet", "day_ms"
HOURS = "hours"
"""A clock in a column of its own that counts the hours of a day."""
NUMERIC = (*EPOCHS, EXCEL, DOTNET)

UNIT_SECONDS = {"epoch_s": 1.0, "epoch_ms": 1e3, "epoch_us": 1e6, "epoch_ns": 1e9}
EARLIEST_EPOCH = 94_694_400  # 1973: seconds of earlier times look like milliseconds of 1970
EARLIEST = -5_364_662_400  # 1800


@dataclass(frozen=True)
class TimeFormat:
    """How a column writes times: an epoch unit, another kind of number, or a strptime pattern.

    ``zone`` says what tells the zone: ``none``, an ``offset`` behind the time, or a ``name`` behind it. ``fixed``: the
    pattern was named by the user, so that a number's unit is not judged row by row.
    """

    pattern: str
    zone: str = "none"
    fixed: bool = False
    day: str = ""
    clock: str = ""

    @property
    def is_epoch(self) -> bool:
        """Whether times are numbers since 1970."""
        return self.pattern in EPOCHS

    @property
    def zoned(self) -> bool:
        """Whether each time says where it is meant."""
        return self.zone != "none" or self.is_epoch or self.pattern == DOTNET

    @property
    def only_days(self) -> bool:
        """Whether times are dates without a clock."""
        return not self.zoned and self.pattern not in (EXCEL, DAY_MS) and not re.search(r"%[HIT]", self.pattern)


def latest() -> float:
    """The last moment that a time of a market can be, in seconds since 1970: the day after tomorrow."""
    return (datetime.now(UTC) + timedelta(days=2)).timestamp()


def epoch_unit(number: float, until: float) -> str | None:
    """The unit in which a number is a moment between 1973 and now; it is one at most."""
    return next((unit for unit, factor in UNIT_SECONDS.items() if EARLIEST_EPOCH <= number / factor <= until), None)
