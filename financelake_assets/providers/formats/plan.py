"""How one file is read: which column is which field, and how its times and numbers are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from financelake_assets.providers.formats import symbols, times
from financelake_assets.providers.formats.numbers import NumberFormat


@dataclass(frozen=True)
class Reading:
    """Which column is which field, how times and numbers are written, and what the columns do not say."""

    format: str
    columns: Mapping[str, str]
    time: times.TimeFormat | None
    zone: str
    zone_told: bool
    numbers: NumberFormat
    symbol: str | None
    asset_class: str | None
    interval: str | None
    descending: bool = False
    clock: bool = False

    def notes(self, label: str) -> tuple[str, ...]:
        """What was found out, for the user to check."""
        mapping = ", ".join(f"{field}={column}" for field, column in self.columns.items())
        written = "typed" if self.time is None else self.time.pattern
        in_zone = f" in {self.zone}" if self.time is not None and not self.time.zoned else ""
        fixed = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("symbol", self.symbol),
                ("asset class", None if "asset_class" in self.columns else self.asset_class or self._guessed_class()),
                ("interval", self.interval),
                ("numbers with", self.numbers.note),
            )
            if value
        )
        return (f"{label}: columns {mapping}", f"{label}: times {written}{in_zone}; {fixed}")

    def _guessed_class(self) -> str:
        return f"{symbols.guess_class(self.symbol)} (by its symbol)" if self.symbol else "by each symbol"
