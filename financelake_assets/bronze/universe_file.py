"""The universe file: a user's own list of symbols, in YAML, with what each is and where it comes from.

Input: a file such as

    defaults: {provider: yfinance, interval: 1d}
    symbols:
      - {symbol: AAPL, asset_class: stock}
      - {symbol: VOD.L, asset_class: stock, calendar: XLON, currency: GBP}
      - {symbol: BTC/USD, provider: kraken, interval: 1h, start: 2024-01-01, live: true}

Output: validated entries, or an error that names line and field. ``financelake up`` makes its symbols known to the
lake and follows them, each by its provider's feed; ``financelake ingest`` asks their providers for them once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from financelake_assets.bronze.universe import Universe, describe
from financelake_assets.calendars import trading_calendar
from financelake_assets.config import AssetClass, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.intervals import TICK
from financelake_assets.providers import pairs, registry
from financelake_assets.providers.base import SYMBOL, Instrument
from financelake_assets.providers.request import Interval
from financelake_assets.providers.units import three_letters
from financelake_assets.yaml_places import refuse_twice, where

_CURRENCY = "[A-Z]{3,5}"


class UniverseFileError(FinanceLakeError, ValueError):
    """The file cannot be used; the message names each line and field that is wrong."""


class Entry(BaseModel):
    """One symbol."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str = Field(description="the provider's ticker")
    asset_class: AssetClass
    calendar: str = Field("", description="of exchange_calendars; default: XNYS, 24/7 or CMES by asset class")
    currency: str = Field(
        "USD",
        pattern=rf"^{_CURRENCY}$",
        description="that its prices are in, such as EUR; that of an exchange's pair is in its name. Prices that Yahoo "
        "says are in pence are kept in pounds (GBP)",
    )
    provider: str = Field("replay", description="whom the lake's feed, or `financelake ingest`, asks for it")
    interval: Interval = Field("1d", description="of its bars")
    start: datetime | None = Field(None, description="from when on its history is wanted; a time without a zone is UTC")
    live: bool = Field(False, description="whether its trades or quotes are followed, where the provider has them")

    @model_validator(mode="before")
    @classmethod
    def _of_an_exchange(cls, value: object) -> object:
        """Exchanges spell a pair in one way, its name says the currency, and they have nothing but crypto."""
        if not isinstance(value, dict) or value.get("provider") not in pairs.SEPARATORS:
            return value
        if value.get("asset_class", "crypto") != "crypto":
            raise ValueError(f"{value['provider']} has nothing but crypto: leave asset_class out")
        symbol = value.get("symbol")
        if not isinstance(symbol, str):
            return {"asset_class": "crypto", **value}
        pair = pairs.pair(symbol)
        told = {"currency": pair[1]} if pair and re.fullmatch(_CURRENCY, pair[1]) else {}
        spelled = pairs.canonical(value["provider"], symbol.strip().upper())
        return {"asset_class": "crypto", **told, **value, "symbol": spelled}

    @field_validator("symbol")
    @classmethod
    def _looks_like_one(cls, value: str) -> str:
        value = value.strip().upper()
        if not SYMBOL.match(value):
            raise ValueError(
                f"{value!r} is no symbol: up to 32 letters, digits and signs without blanks, quotes and brackets"
            )
        return value

    @field_validator("currency", mode="before")
    @classmethod
    def _hundredths(cls, value: object) -> object:
        """Yahoo's names for hundredths of a currency: a pound has a hundred of them."""
        return three_letters(value) if isinstance(value, str) else value

    @field_validator("calendar")
    @classmethod
    def _known_calendar(cls, value: str) -> str:
        if value:
            trading_calendar(value)
        return value

    @field_validator("start")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @field_validator("provider")
    @classmethod
    def _known_provider(cls, value: str) -> str:
        if value not in registry.names():
            raise ValueError(f"no provider {value!r}; there are {', '.join(registry.names())}")
        return value

    @property
    def instrument(self) -> Instrument:
        """The symbol with its class."""
        return Instrument(self.symbol, self.asset_class)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    defaults: dict[str, Any] = {}
    symbols: list[Entry] = Field(min_length=1)

    @field_validator("symbols")
    @classmethod
    def _each_once(cls, value: list[Entry]) -> list[Entry]:
        refuse_twice(entry.symbol for entry in value)
        return value


def read_universe_file(path: Path) -> list[Entry]:
    """The symbols of a file.

    Raises:
        UniverseFileError: it cannot be read, or something in it is wrong.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UniverseFileError(f"the universe file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UniverseFileError(f"the universe file {path} is not YAML: {error}") from error
    return entries_of(text, path)


def entries_of(text: str, path: Path) -> list[Entry]:
    """The symbols of a file with this text; raises as ``read_universe_file`` does."""
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UniverseFileError(f"the universe file {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UniverseFileError(f"the universe file {path} has no list `symbols:`")
    try:
        return _File.model_validate(_with_defaults(content)).symbols
    except ValidationError as error:
        wrong = "\n".join(f"  {where(tree, item['loc'], 'symbols')}: {item['msg']}" for item in error.errors())
        raise UniverseFileError(f"the universe file {path} cannot be used:\n{wrong}") from error


def requests(entries: list[Entry], provider: str | None, live: bool) -> list[dict[str, Any]]:
    """What to ask for, as fields of ``IngestRequest``: history of what can be had together, then what is live.

    Args:
        entries: of the file.
        provider: only this one's; ``None`` is everybody's.
        live: go on with live data of all symbols.

    Raises:
        UniverseFileError: live data of several providers, which one process does not read.
    """
    wanted = sorted((entry for entry in entries if provider in (None, entry.provider)), key=_asked_together)
    found: list[dict[str, Any]] = [
        {"provider": name, "interval": interval, "asset_class": asset_class, "symbols": _symbols(group)}
        | ({"calendar": calendar} if calendar else {})
        | ({"start": start} if start else {})
        for (name, interval, asset_class, calendar, start), group in groupby(wanted, key=_asked_together)
        if interval != TICK
    ]
    if live and wanted:
        providers = sorted({entry.provider for entry in wanted})
        if len(providers) > 1:
            raise UniverseFileError(f"live data come from one provider at a time; choose with --provider: {providers}")
        found.append({"provider": providers[0], "interval": TICK, "symbols": _symbols(wanted), "live": True})
    return found


def remember(settings: Settings, entries: list[Entry]) -> None:
    """Make the symbols known to the lake, with their calendars and currencies.

    Raises:
        AssetClassError: the lake knows a symbol as something else.
    """
    for provider in {entry.provider for entry in entries}:
        of_it = [entry.instrument for entry in entries if entry.provider == provider]
        Universe(settings, provider).add(of_it)
    columns = dict.fromkeys(("symbol", "calendar", "currency"), pl.String)
    traits = [(entry.symbol, entry.calendar or None, entry.currency) for entry in entries]
    describe(settings, pl.DataFrame(traits, schema=columns, orient="row"))


def _symbols(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(entry.symbol for entry in entries)


def _asked_together(entry: Entry) -> tuple[str, str, AssetClass, str, str]:
    start = entry.start.isoformat() if entry.start else ""
    return entry.provider, entry.interval, entry.asset_class, entry.calendar, start


def _with_defaults(content: Mapping[str, Any]) -> dict[str, Any]:
    defaults, symbols = content.get("defaults"), content.get("symbols")
    if not isinstance(defaults, dict) or not isinstance(symbols, list):
        return dict(content)
    return {**content, "symbols": [{**defaults, **one} if isinstance(one, dict) else one for one in symbols]}
