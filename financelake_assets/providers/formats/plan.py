"""How one file is read: which column is which field, and how its times and numbers are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from financelake_assets.providers.formats import symbols
from financelake_assets.providers.formats.numbers import NumberFormat
from financelake_assets.providers.formats.time_formats import TimeFormat


@dataclass(frozen=True)
class Reading:
    """Which column is which field, how times and numbers are written, and what the columns do not say."""

    format: str
    columns: Mapping[str, str]
    time: TimeFormat | None
    zone: str
    zone_told: bool
    numbers: NumberFormat
    symbol: str | None
    asset_class: str | None
    interval: str | None
    descending: bool = False
    unused: tuple[str, ...] = field(default=(), repr=False)
    notice: tuple[str, ...] = field(default=(), repr=False)

    def notes(self, label: str) -> tuple[str, ...]:
        """What was found out, for the user to check."""
        mapping = ", ".join(f"{name}={column}" for name, column in self.columns.items())
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
        unused = (f"{label}: not read: {', '.join(self.unused)}",) if self.unused else ()
        return (
            f"{label}: columns {mapping}",
            f"{label}: times {written}{in_zone}; {fixed}",
            *unused,
            *(f"{label}: {one}" for one in self.notice),
        )

    def _guessed_class(self) -> str:
        return f"{symbols.guess_class(self.symbol)} (by its symbol)" if self.symbol else "by each symbol"
