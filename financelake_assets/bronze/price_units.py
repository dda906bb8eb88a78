"""What the lake knows of the unit of its prices, told to a provider before it is asked, and noted when it has said.

Input: a provider, and reference/universe. Output: its columns ``quoted`` and ``currency``. One note a symbol holds for
history, refresh and live quotes, in every process and after every restart, so no two of them differ.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import polars as pl

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.config import Settings
from financelake_assets.providers.base import Chunk, Provider
from financelake_assets.providers.units import MINOR_UNITS, KnownUnit, PriceUnit, TellsUnits, noted
from financelake_assets.storage.delta import retried


class PriceUnits:
    """The units of one provider's symbols, for one load."""

    def __init__(self, settings: Settings, provider: Provider) -> None:
        """Tell the provider what the lake knows."""
        self._settings = settings
        self._teller = provider if isinstance(provider, TellsUnits) else None
        self._noted: dict[str, PriceUnit] = {}
        if self._teller is not None:
            self._teller.know(known_units(settings))

    @property
    def words(self) -> dict[str, str]:
        """What the prices of each symbol are in, where the provider tells."""
        return {symbol: unit.words for symbol, unit in self._teller.units.items()} if self._teller else {}

    def note(self, published: Chunk) -> None:
        """Keep what the provider has said of the symbols of these rows, which the universe has by now."""
        if self._teller is None or published.rows.is_empty():
            return
        units = self._teller.units
        symbols = published.rows["symbol"].drop_nulls().unique().to_list()
        new = {one: units[one] for one in symbols if one in units and self._noted.get(one) != units[one]}
        if new:
            _write(self._settings, new)
            self._noted |= new

    def reminders(self, symbols: Collection[str]) -> Iterator[str]:
        """What to say of a file with prices of symbols that the lake has in a unit by somebody else's word."""
        if self._teller is not None or not symbols:
            return
        for symbol, known in known_units(self._settings).items():
            if symbol in symbols and known.quoted in MINOR_UNITS:
                yield (
                    f"{symbol}: this lake keeps its prices in {known.currency}, {known.provider} quotes them in "
                    f"{known.quoted}. A file must have the lake's unit: --scale 0.01 makes pounds of pence"
                )


def known_units(settings: Settings) -> dict[str, KnownUnit]:
    """What the lake knows of each symbol's unit."""
    rows = UNIVERSE.scan(settings).select("symbol", "provider", "quoted", "currency").collect()
    return {symbol: KnownUnit(*known) for symbol, *known in rows.iter_rows()}


def _write(settings: Settings, units: dict[str, PriceUnit]) -> None:
    def attempt() -> None:
        table = UNIVERSE.ensure(settings)
        columns = ["symbol", "quoted", "currency"]
        known = pl.scan_delta(table).select(columns).filter(pl.col("symbol").is_in(list(units))).collect()
        wanted = [
            # what the user says of the currency holds, but for prices in a minor unit
            (
                symbol,
                noted(units[symbol], quoted),
                units[symbol].kept if units[symbol].quoted in MINOR_UNITS else currency,
            )
            for symbol, quoted, currency in known.iter_rows()
        ]
        said = pl.DataFrame(wanted, schema=dict.fromkeys(columns, pl.String), orient="row")
        news = said.join(known, on=columns, how="anti", nulls_equal=True)
        if not news.is_empty():
            merger = table.merge(news.to_arrow(), "t.symbol = s.symbol", source_alias="s", target_alias="t")
            merger.when_matched_update({"quoted": "s.quoted", "currency": "s.currency"}).execute()

    retried(attempt)
