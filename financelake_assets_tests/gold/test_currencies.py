from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.gold.paper.currencies import mixed

UNIVERSE = pl.DataFrame(
    {
        "symbol": ["AAPL", "IBM", "VOD.L", "BP.L", "SAP.DE", "MINE"],
        "currency": ["USD", "USD", "GBX", "GBP", "EUR", None],
    }
)


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        (["AAPL", "IBM"], None),
        (["VOD.L", "BP.L"], None),  # pence and pounds have the same returns
        (["MINE", "ELSE"], None),  # nothing is known of either
        ([], None),
        (["AAPL", "VOD.L"], "quoted in GBP and USD. "),
        (["AAPL", "VOD.L", "SAP.DE"], "quoted in EUR, GBP and USD. "),
        (["AAPL", "MINE"], "quoted in USD and a currency that nobody named. "),
        (["AAPL", "ELSE"], "quoted in USD and a currency that nobody named. "),
    ],
)
def test_currencies_are_told_where_they_differ(symbols: list[str], said: str | None) -> None:
    found = mixed(UNIVERSE, symbols)
    assert found is None if said is None else said in str(found)


@given(st.lists(st.sampled_from([*UNIVERSE["symbol"], "ELSE"]), unique=True), st.randoms())
def test_neither_the_order_of_symbols_nor_that_of_the_universe_matters(symbols: list[str], random: object) -> None:
    shuffled = random.sample(symbols, len(symbols))  # type: ignore[attr-defined]
    assert mixed(UNIVERSE.reverse(), shuffled) == mixed(UNIVERSE, symbols)
