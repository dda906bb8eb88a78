"""Bars in the shapes of public exports, for tests: written from what their sources document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Bar(NamedTuple):
    """One invented bar."""

    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int

    @property
    def prices(self) -> str:
        """Open, high, low and close with commas between them."""
        return f"{self.open:.2f},{self.high:.2f},{self.low:.2f},{self.close:.2f}"

    def epoch(self, factor: int = 1) -> int:
        """The time in units of so many a second since 1970."""
        return int((self.at - datetime(1970, 1, 1)).total_seconds() * factor)


def bars(
    step: timedelta = DAY, first: datetime = datetime(2024, 1, 2), count: int = 12, base: float = 185.0
) -> list[Bar]:
    """Bars in order; daily ones on weekdays only."""
    found: list[Bar] = []
    at = first
    while len(found) < count:
        if step < DAY or at.weekday() < 5:
            number = len(found)
            close = base + 0.5 * number * (1 if number % 2 else -1)
            found.append(Bar(at, close - 0.1, close + 0.5, close - 0.6, close, 1000 + 10 * number))
        at += step
    return found


DAYS = bars()
MINUTES = bars(MINUTE, datetime(2024, 1, 2, 9, 30))
HOURS = bars(HOUR)
OHLCV = "Open,High,Low,Close,Volume"


def text(rows: Sequence[Bar], line: Callable[[Bar], str], header: str | None = None) -> str:
    """A file of these rows."""
    return "".join(f"{one}\n" for one in [*([header] if header else []), *map(line, rows)])


def daily(header: str = f"Date,{OHLCV}", extra: str = "") -> str:
    """A file of daily bars, its times in the first column."""
    return text(DAYS, lambda bar: f"{bar.at:%Y-%m-%d},{bar.prices},{bar.volume}{extra}", header)
