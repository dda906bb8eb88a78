"""Pence become pounds to the last digit, and no series has both."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.providers.base import COLUMNS, Chunk, ProviderError
from financelake_assets.providers.units import (
    MINOR_UNITS,
    UNSAID,
    KnownUnit,
    PriceUnit,
    UnitError,
    converted,
    decide,
    hundredth,
    noted,
    three_letters,
)
from financelake_assets.providers.yahoo_quotes import QuoteUnits

PENCE, POUNDS = PriceUnit("GBp", "GBX"), PriceUnit("GBp", "GBP")
written = st.decimals(0, 10**9, places=4, allow_nan=False)
says = st.sampled_from([None, "GBp", "GBX", "GBP", "USD"])
brought = st.sampled_from(
    [
        None,
        *(
            KnownUnit(who, quoted, currency)
            for who in ("yfinance", "csv")
            for quoted in (None, "", UNSAID, "GBp", "GBP", "USD")
            for currency in (None, "USD", "GBP", "GBX")
        ),
    ]
)


@given(written)
def test_a_hundredth_is_exact_as_it_is_written(price: Decimal) -> None:
    assert hundredth(float(price)) == float(price / 100)


def test_a_division_would_not_be() -> None:
    assert hundredth(7312.5) == 73.125
    assert any(hundredth(pence / 10) != pence / 10 / 100 for pence in range(1_000)), "else divide, it is quicker"


@given(st.lists(st.none() | written.map(float), min_size=1, max_size=4))
def test_money_is_converted_and_nothing_else(prices: list[float | None]) -> None:
    rows = pl.DataFrame(
        [dict.fromkeys(("open", "close", "dividend", "volume", "split"), price) for price in prices],
        schema=dict(COLUMNS),
    )
    found = converted(rows, POUNDS)
    for name in ("open", "close", "dividend"):
        assert found[name].to_list() == [None if price is None else hundredth(price) for price in prices]
    same = ["volume", "split", "symbol", "high"]
    assert found.select(same).equals(rows.select(same))
    assert converted(rows, PENCE).equals(rows)


@pytest.mark.parametrize(
    ("said", "known", "unit"),
    [
        ("GBp", None, POUNDS),
        ("GBp", KnownUnit("yfinance", "", "USD"), POUNDS),
        ("GBp", KnownUnit("yfinance", "", "GBX"), POUNDS),  # a universe file that says pence
        ("GBp", KnownUnit("yfinance", None, "GBP"), PENCE),  # bars of an older release
        ("GBp", KnownUnit("yfinance", "GBp", "GBX"), PENCE),
        ("GBp", KnownUnit("yfinance", "GBp", "GBP"), POUNDS),
        (None, KnownUnit("yfinance", "GBp", "GBP"), POUNDS),
        (None, KnownUnit("yfinance", "", "GBX"), PriceUnit("GBX", "GBP")),
        (None, KnownUnit("yfinance", "", "GBP"), PriceUnit("", "")),
        (None, None, PriceUnit("", "")),
        ("USD", KnownUnit("yfinance", UNSAID, ""), PriceUnit("USD", "USD")),
        ("USD", KnownUnit("csv", "", "USD"), PriceUnit("USD", "USD")),
        ("GBp", KnownUnit("csv", "", "GBP"), POUNDS),  # the user says what the file's prices are in
        ("GBp", KnownUnit("csv", "", "GBX"), PENCE),
    ],
)
def test_what_is_converted(said: str | None, known: KnownUnit | None, unit: PriceUnit) -> None:
    assert decide("VOD.L", said, known, "yfinance") == unit


@pytest.mark.parametrize(
    ("said", "known", "words"),
    [
        ("GBp", KnownUnit("yfinance", "GBP", "GBP"), "the lake has some that were in GBP"),
        ("GBP", KnownUnit("yfinance", "GBp", "GBX"), "the lake has some that were in GBp"),
        ("ILA", KnownUnit("yfinance", "GBp", "GBP"), "the lake has some that were in GBp"),
        ("GBp", KnownUnit("yfinance", UNSAID, "USD"), "the lake has some that were in no unit"),
        ("GBp", KnownUnit("csv", "", "USD"), "came to this lake from csv first"),
    ],
)
def test_what_would_mix_is_refused(said: str, known: KnownUnit, words: str) -> None:
    with pytest.raises(UnitError, match=words):
        decide("VOD.L", said, known, "yfinance")


@given(brought, st.lists(says, min_size=1, max_size=6))
def test_whatever_yahoo_says_one_after_the_other_a_series_has_one_unit(
    known: KnownUnit | None, answers: list[str | None]
) -> None:
    kept = set()
    for said in answers:
        try:
            unit = decide("VOD.L", said, known, "yfinance")
        except UnitError:
            continue
        kept.add(unit.is_converted)
        currency = unit.kept if unit.quoted in MINOR_UNITS else (known.currency if known else None)
        who, before = (known.provider, known.quoted) if known else ("yfinance", "")
        known = KnownUnit(who, noted(unit, before), currency)
    assert len(kept) <= 1


def test_units_are_told_apart_by_letters_of_any_size() -> None:
    assert {three_letters(unit) for unit in MINOR_UNITS} == {"GBX", "ZAC", "ILA"}


def quotes(*told: tuple[str, float]) -> Chunk:
    return Chunk(pl.DataFrame([{"symbol": symbol, "close": price} for symbol, price in told], schema=dict(COLUMNS)))


def test_quotes_wait_until_their_unit_is_known_and_keep_their_order() -> None:
    units = QuoteUnits({"AAPL": PriceUnit("USD", "USD"), "VOD.L": None}, lambda _: POUNDS)
    assert units.is_due()
    assert units.convert(quotes(("AAPL", 1.5), ("VOD.L", 7312.5))).rows["close"].to_list() == [1.5]
    assert len(units.convert(quotes(("VOD.L", 7313.5)))) == 0
    assert units.ask_one().rows["close"].to_list() == [73.125, 73.135]
    assert not units.is_due()
    assert units.convert(quotes(("VOD.L", 7314.0), ("AAPL", 1.6))).rows["close"].to_list() == [73.14, 1.6]


def test_quotes_of_a_refused_symbol_are_left_out_and_of_one_that_cannot_be_asked_they_wait() -> None:
    problems: list[ProviderError] = [UnitError("mixed"), ProviderError("no network")]

    def ask(_: str) -> PriceUnit:
        raise problems.pop(0)

    units = QuoteUnits({"A": None, "B": None, "C": PriceUnit("USD", "USD")}, ask)
    assert len(units.convert(quotes(("A", 1.0), ("B", 1.0)))) == 0
    assert len(units.ask_one()) == len(units.ask_one()) == 0
    assert not units.is_due(), "B is asked for in a minute"
    assert units.convert(quotes(("A", 1.0), ("B", 1.0), ("C", 2.0))).rows["symbol"].to_list() == ["C"]
