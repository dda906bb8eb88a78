"""What a user asks a provider for: one validated request, the same from the command line and from Dagster."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from financelake_assets.calendars import trading_calendar
from financelake_assets.config import AssetClass
from financelake_assets.intervals import PATTERN
from financelake_assets.providers import pairs
from financelake_assets.providers.bar_intervals import canonical
from financelake_assets.providers.base import CLOCK, COLUMNS


def _as_canonical(value: object) -> object:
    return (canonical(value) or value) if isinstance(value, str) else value


Spelled = Annotated[str, BeforeValidator(_as_canonical)]
"""An interval as people spell it, made canonical where it can be; ``make_provider`` refuses any other."""

Interval = Annotated[Spelled, Field(pattern=PATTERN)]
"""A canonical interval; other spellings of it are taken."""


class IngestRequest(BaseModel):
    """Which rows of which provider are to be published. What is left out is guessed where it can be, and shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = Field(
        "csv",
        description="csv, kraken, coinbase, binance, yfinance, replay, synthetic, or an installed one",
    )
    path: Path | None = Field(None, description="csv: a CSV or Parquet file, or a folder of them")
    asset_class: AssetClass | None = Field(None, description="stock, crypto or commodity")
    only_class: AssetClass | None = Field(None, description="of what the provider gives, only rows of this class")
    interval: Spelled | None = Field(None, description="1m, 1h, 1d …, or tick for single trades")
    calendar: str | None = Field(None, description="of exchange_calendars, where it is not that of the asset class")
    symbol: str | None = Field(None, description="csv: the symbol of a file without a symbol column")
    symbols: tuple[str, ...] = Field((), description="only these symbols")
    columns: dict[str, str] = Field({}, description="csv: field → the file's column, where the guess is wrong")
    timezone: str = Field("UTC", description="csv: the zone of times that name none")
    time_format: str | None = Field(None, description="csv: strptime format of the times, where the guess is wrong")
    decimal: Literal[".", ","] | None = Field(None, description="csv: the decimal sign, where the file leaves it open")
    thousands: Literal[".", ",", " ", "'"] | None = Field(None, description="csv: the thousands' separator")
    scale: float | None = Field(None, gt=0, description="csv: what prices are multiplied with: 1e-9, 0.01 for pence")
    header: tuple[str, ...] = Field((), description="csv: names of the columns of a file without a header")
    format: str | None = Field(None, description="csv: a known format by its name")
    accept_odd: bool = Field(False, description="csv: publish although many rows have a value that cannot be read")
    start: datetime | None = Field(None, description="first event time; a time without a zone is UTC")
    end: datetime | None = Field(None, description="event times before this; a time without a zone is UTC")
    live: bool = Field(False, description="go on with live data after the history, until interrupted")
    live_from: datetime | None = Field(
        None, description="exchanges: from when on trades of a symbol are wanted that is followed for the first time"
    )
    rows: int = Field(100_000, ge=1, description="synthetic: how many rows")
    rate: float = Field(100.0, gt=0, description="synthetic: rows a second of the live part")
    gaps: float = Field(0.0, ge=0, lt=1, description="synthetic: share of rows left out")
    duplicates: float = Field(0.0, ge=0, lt=1, description="synthetic: share of rows that come twice")
    late: float = Field(0.0, ge=0, lt=1, description="synthetic: share of rows that come after later ones")
    corrupted: float = Field(0.0, ge=0, lt=1, description="synthetic: share of rows with a value that is wrong")
    seed: int = Field(1, description="synthetic: the same seed gives the same market")

    @field_validator("columns")
    @classmethod
    def _known_fields(cls, value: dict[str, str]) -> dict[str, str]:
        fields = (*COLUMNS, CLOCK)
        unknown = sorted(set(value) - set(fields))
        if unknown:
            raise ValueError(f"no such field: {', '.join(unknown)}. Fields are {', '.join(fields)}")
        return value

    @field_validator("symbols")
    @classmethod
    def _as_the_provider_spells_them(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return tuple(pairs.canonical(info.data.get("provider", ""), symbol.strip().upper()) for symbol in value)

    @field_validator("symbol")
    @classmethod
    def _one_upper_case(cls, value: str | None) -> str | None:
        return None if value is None else value.strip().upper()

    @field_validator("calendar")
    @classmethod
    def _known_calendar(cls, value: str | None) -> str | None:
        if value is not None:
            trading_calendar(value)
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is not a time zone; one is America/New_York") from error
        return value

    @field_validator("start", "end", "live_from")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @model_validator(mode="after")
    def _two_signs(self) -> IngestRequest:
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"{self.decimal!r} cannot be the decimal sign and the thousands' separator")
        return self

    @model_validator(mode="after")
    def _in_order(self) -> IngestRequest:
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"start {self.start:%Y-%m-%d} is not before end {self.end:%Y-%m-%d}")
        return self
