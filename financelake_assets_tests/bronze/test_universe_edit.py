"""Symbols are added to and taken out of a user's file; nothing else in it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.bronze.universe_edit import with_symbol, without_symbol
from financelake_assets.bronze.universe_file import entries_of

BTC: dict[str, str | bool] = {"symbol": "BTC/USD", "provider": "kraken", "live": True}
BLOCK = """\
# mine
defaults: {provider: yfinance}  # for all
symbols:
  - {symbol: AAPL, asset_class: stock}  # an apple
  # London
  - symbol: VOD.L
    asset_class: stock
    calendar: XLON   # not New York

# the end
"""
FLOW = "symbols: [{symbol: AAPL, provider: yfinance, asset_class: stock}]\n"
NARROW = "symbols:\n- symbol: AAPL\n  asset_class: stock\n"


def symbols(text: str) -> list[str]:
    return [entry.symbol for entry in entries_of(text, Path("universe.yaml"))]


def test_a_first_symbol_makes_a_file() -> None:
    text = with_symbol("", BTC)
    assert symbols(text) == ["BTC/USD"]
    assert symbols(with_symbol(text, {**BTC, "symbol": "ETH/USD"})) == ["BTC/USD", "ETH/USD"]


@pytest.mark.parametrize("text", [BLOCK, FLOW, NARROW, BLOCK.removesuffix("\n\n# the end\n"), FLOW.strip()])
def test_one_more_symbol_leaves_the_rest_as_it_was(text: str) -> None:
    more = with_symbol(text, BTC)
    assert symbols(more) == [*symbols(text), "BTC/USD"]
    for line in text.splitlines():
        assert line.rstrip("]") in more
    assert symbols(without_symbol(more, len(symbols(text)))) == symbols(text)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("text", [with_symbol(BLOCK, BTC), with_symbol(with_symbol(FLOW, BTC), {**BTC, "symbol": "X"})])
def test_one_symbol_less_leaves_the_others(text: str, place: int) -> None:
    before = symbols(text)
    less = without_symbol(text, place)
    assert symbols(less) == before[:place] + before[place + 1 :]
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in less.splitlines() if line.startswith("#")
    ]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=8))
def test_any_order_of_additions_and_removals_is_a_good_file(steps: list[tuple[bool, int]]) -> None:
    text, wanted = BLOCK, ["AAPL", "VOD.L"]
    for number, (adds, place) in enumerate(steps):
        if adds or len(wanted) == 1:
            text = with_symbol(text, {**BTC, "symbol": f"C{number}/USD"})
            wanted.append(f"C{number}/USD")
        else:
            text = without_symbol(text, place % len(wanted))
            del wanted[place % len(wanted)]
        assert symbols(text) == wanted
