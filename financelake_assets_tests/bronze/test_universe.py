from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import AssetClassError, Universe, known_symbols
from financelake_assets.config import Settings
from financelake_assets.providers.base import Instrument


def _known(settings: Settings) -> dict[str, str]:
    return known_symbols(UNIVERSE.ensure(settings))


def test_adding_is_idempotent_and_known_symbols_write_nothing(offline_lake: Settings) -> None:
    universe = Universe(offline_lake, "csv")
    universe.add([Instrument("AAPL", "stock"), Instrument("BTC-USD", "crypto")])
    version = UNIVERSE.ensure(offline_lake).version()
    universe.add([Instrument("AAPL", "stock")])
    Universe(offline_lake, "replay").add([Instrument("BTC-USD", "crypto"), Instrument("AAPL", "stock")])
    assert UNIVERSE.ensure(offline_lake).version() == version
    assert _known(offline_lake) == {"AAPL": "stock", "BTC-USD": "crypto"}


def test_a_symbol_keeps_the_class_it_came_with(offline_lake: Settings) -> None:
    Universe(offline_lake, "csv").add([Instrument("GOLD", "stock")])
    with pytest.raises(AssetClassError, match="GOLD is a stock in this lake and cannot be a commodity too"):
        Universe(offline_lake, "csv").add([Instrument("GOLD", "commodity"), Instrument("OIL", "commodity")])
    assert _known(offline_lake) == {"GOLD": "stock"}


@pytest.mark.parametrize("text", ["", "a b", "aapl", "../etc", "A" * 40, "A'; DROP", "\u0410APL"])
def test_what_no_symbol_can_look_like_is_left_to_quarantine(offline_lake: Settings, text: str) -> None:
    Universe(offline_lake, "csv").add([Instrument(text, "stock"), Instrument("^GSPC", "stock")])
    assert _known(offline_lake) == {"^GSPC": "stock"}


def test_many_who_add_at_once_leave_each_symbol_once(offline_lake: Settings) -> None:
    def add(one: int) -> None:
        # everybody adds its own symbol and one that all of them add
        Universe(offline_lake, "csv").add([Instrument(f"S{one}", "stock"), Instrument("ALL", "crypto")])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(6)))
    table = UNIVERSE.ensure(offline_lake)
    symbols = table.to_pyarrow_table().column("symbol").to_pylist()
    assert sorted(symbols) == ["ALL", *(f"S{one}" for one in range(6))]
