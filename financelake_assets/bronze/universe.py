"""The universe: which symbols this lake knows, as silver judges them.

Input: symbols with their asset class. Output: rows of reference/universe, each symbol once. Adding is idempotent and
safe beside others who add; a symbol keeps the asset class that it came with. Its calendar and currency are what the
universe file says; until one does, they are null, and the calendar is that of its class. Of prices that came in a
minor unit (``quoted``), the currency is what the lake keeps them in, and no file changes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.calendars import BY_CLASS, TradingCalendar, trading_calendar
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.providers import pairs
from financelake_assets.providers.base import SYMBOL, Instrument
from financelake_assets.providers.units import MINOR_UNITS, UNSAID
from financelake_assets.storage.delta import retried


class AssetClassError(FinanceLakeError, ValueError):
    """A symbol is already known as something else."""


class Universe:
    """The symbols of a lake, remembered, so that adding known ones costs nothing."""

    def __init__(self, settings: Settings, provider: str) -> None:
        self._settings = settings
        self._provider = provider
        self._known: dict[str, str] = {}

    def add(self, instruments: Collection[Instrument]) -> None:
        """Make sure that the symbols are known; those that no symbol can look like are left to quarantine.

        Raises:
            AssetClassError: a symbol is already known with another asset class.
            CommitFailedError: others wrote to the universe again and again.
        """
        wanted = {one.symbol: one.asset_class for one in instruments if SYMBOL.match(one.symbol)}
        if all(self._known.get(symbol) == asset_class for symbol, asset_class in wanted.items()):
            return
        retried(lambda: self._add(wanted))

    def _add(self, wanted: Mapping[str, str]) -> None:
        table = UNIVERSE.ensure(self._settings)
        new = self._not_known(table, wanted)
        if new:
            self._insert(table, new)
            table.update_incremental()
            self._not_known(table, wanted)  # what others added in the meantime has its say too

    def _not_known(self, table: DeltaTable, wanted: Mapping[str, str]) -> dict[str, str]:
        self._known = known_symbols(table)
        self._refuse_other_classes(wanted)
        return {symbol: asset_class for symbol, asset_class in wanted.items() if symbol not in self._known}

    def _insert(self, table: DeltaTable, new: Mapping[str, str]) -> None:
        now = datetime.now(UTC)
        rows = [
            {"symbol": symbol, "asset_class": asset_class, "provider": self._provider, "added_at": now, "quoted": ""}
            for symbol, asset_class in new.items()
        ]
        (
            table.merge(
                pa.Table.from_pylist(rows, schema=UNIVERSE.schema),
                predicate="t.symbol = s.symbol",
                source_alias="s",
                target_alias="t",
            )
            .when_not_matched_insert_all()
            .execute()
        )

    def _refuse_other_classes(self, wanted: Mapping[str, str]) -> None:
        for symbol, asset_class in wanted.items():
            known = self._known.get(symbol, asset_class)
            if known != asset_class:
                raise AssetClassError(
                    f"{symbol} is a {known} in this lake and cannot be a {asset_class} too. "
                    "Publish it under another symbol, or with the asset class it has."
                )


def describe(settings: Settings, traits: pl.DataFrame) -> None:
    """Note what a user says of symbols that are in the universe; saying it again writes nothing.

    Args:
        settings: the lake.
        traits: symbol, calendar and currency.
    """

    def attempt() -> None:
        table = UNIVERSE.ensure(settings)
        known = pl.scan_delta(table).select(*traits.columns, "quoted").collect()
        kept = known.filter(pl.col("quoted").is_in(list(MINOR_UNITS))).select("symbol", "currency")
        wanted = traits.update(kept, on="symbol")
        news = wanted.join(known, on=traits.columns, how="anti", nulls_equal=True)
        if news.is_empty():
            return
        merger = table.merge(news.to_arrow(), "t.symbol = s.symbol", source_alias="s", target_alias="t")
        merger.when_matched_update({"calendar": "s.calendar", "currency": "s.currency"}).execute()

    retried(attempt)


def calendars(universe: pl.DataFrame) -> dict[str, TradingCalendar]:
    """The trading calendar of each symbol: its own, or that of its class."""
    names = universe.select("symbol", pl.coalesce("calendar", pl.col("asset_class").replace(BY_CLASS)))
    return {symbol: trading_calendar(name) for symbol, name in names.iter_rows()}


def currencies(universe: pl.DataFrame) -> dict[str, str]:
    """The currency of each symbol's prices; a symbol of which nobody told it is left out.

    What the prices came in comes first, then the name of an exchange's pair, then what the universe file says: its
    default is USD. Hundredths count as their currency: their returns are the same.
    """
    found = {}
    for symbol, provider, quoted, currency in universe.select("symbol", "provider", "quoted", "currency").iter_rows():
        pair = pairs.pair(symbol) if provider in pairs.SEPARATORS else None
        told = (None if quoted == UNSAID else quoted) or (pair and pair[1]) or currency
        if told:
            found[symbol] = MINOR_UNITS.get(told, told)
    return found


def known_symbols(table: DeltaTable) -> dict[str, str]:
    """Asset class by symbol."""
    return dict(pl.scan_delta(table).select("symbol", "asset_class").collect().iter_rows())
