"""When a rule fires: against a plain walk from bar to bar, and however commits divide the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.alerting.evaluation import Watch, evaluate, holds_now
from financelake_assets.alerting.language import parse
from financelake_assets.gold.paper.schema import EQUITY
from financelake_assets_tests.query import rows
from financelake_assets_tests.query.rows import DAY


def bars(*closes: float | None, first: int = 0, **fields: object) -> pl.DataFrame:
    return pl.concat([rows.bar(first + day, close, **fields) for day, close in enumerate(closes)])  # type: ignore[arg-type]


def signals(*given: tuple[str, float | None]) -> pl.DataFrame:
    return pl.concat([rows.signal(day, signal=one, confidence=sure) for day, (one, sure) in enumerate(given)])


def days(watch: Watch, *commits: pl.DataFrame) -> list[int]:
    """The days at which a rule fires, commit by commit."""
    seen, found = watch.empty, []
    for commit in commits:
        outcome = evaluate(watch, seen, commit)
        seen = outcome.seen
        found += [(time - DAY).days for time in outcome.fired["event_time"].sort()]
    return found


def test_a_rule_fires_when_it_begins_to_hold_and_not_while_it_lasts() -> None:
    given = signals(("HOLD", 0.5), ("BUY", 0.7), ("BUY", 0.8), ("HOLD", 0.9), ("BUY", 0.5), ("BUY", 0.61))
    assert days(Watch(parse("signal is BUY and confidence > 0.6")), given) == [1, 5]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("close crosses 100", [1, 3, 6, 7]),
        ("close crosses above 100", [1, 6]),
        ("close crosses below 100", [3, 7]),
        ("close > 100", [1, 6]),
        ("close >= 100", [1, 6]),
        ("change > 15 %", [1, 6]),
    ],
)
def test_every_crossing_fires_once(rule: str, wanted: list[int]) -> None:
    assert days(Watch(parse(rule)), bars(90, 110, 112, 100, 100, 99, 120, 80)) == wanted


def test_the_first_bar_of_a_series_has_nothing_before_it() -> None:
    assert days(Watch(parse("close > 1")), bars(5, 6)) == []
    assert days(Watch(parse("portfolio drawdown > 10 %")), equity(0.2, 0.3, 0.05, 0.11)) == [3]


def equity(*drawdowns: float) -> pl.DataFrame:
    given = {"asset_class": "crypto", "interval": "1d"}
    return pl.concat(
        [
            rows.as_rows(EQUITY, {**given, "event_time": DAY + timedelta(days=day), "drawdown": one})
            for day, one in enumerate(drawdowns)
        ]
    )


def test_each_account_is_a_series_also_without_a_currency() -> None:
    watch = Watch(parse("portfolio drawdown > 10 %"))
    euros = equity(0.2, 0.05, 0.05, 0.05).with_columns(currency=pl.lit("EUR"))
    outcome = evaluate(watch, watch.empty, pl.concat([equity(0.05, 0.05, 0.2, 0.2, 0.05, 0.05), euros]))
    assert outcome.fired.select("currency", "event_time").rows() == [(None, DAY + timedelta(days=2))]
    late = equity(0.05, 0.05).with_columns(drawdown=pl.Series([0.05, 0.2]))
    assert evaluate(watch, outcome.seen, late).fired.is_empty(), "it is older than the newest of its account"
    named = Watch(parse("portfolio currency is EUR and portfolio drawdown > 10 %"))
    assert days(named, euros) == []
    assert days(named, euros.with_columns(drawdown=pl.Series([0.05, 0.05, 0.2, 0.2]))) == [2]


def test_what_an_earlier_release_remembered_of_accounts_is_gone_on_with() -> None:
    watch = Watch(parse("portfolio drawdown > 10 %"))
    before = evaluate(watch, watch.empty, equity(0.05, 0.2)).seen.drop("currency")
    assert evaluate(watch, before, equity(0.05, 0.2, 0.2)).fired.is_empty()
    rows = equity(0.05, 0.2, 0.05, 0.3).drop("currency")
    assert evaluate(watch, before, rows).fired["event_time"].to_list() == [DAY + timedelta(days=3)]


def test_what_is_no_number_holds_nothing() -> None:
    """polars compares NaN as the largest number."""
    assert days(Watch(parse("close > 100")), bars(90, math.nan, None, 90, 101)) == [4]
    assert days(Watch(parse("close crosses 100")), bars(90, math.nan, 110, 90)) == [3]


def test_a_bar_that_still_forms_fires_at_most_once() -> None:
    watch = Watch(parse("close crosses 100"))
    forming = [bars(close, first=1) for close in (95, 101, 99, 102, 98)]
    assert days(watch, bars(90), *forming) == [1]
    assert days(watch, bars(90), *forming, bars(103, first=2)) == [1, 2], "the bar ended at 98"
    change = Watch(parse("change > 5 %"))
    grows = [bars(100), bars(110, first=1), bars(120, first=2), bars(121, first=2)]
    assert days(change, *grows) == [1], "it held at the bar before, also when the newest comes again"


def test_a_bar_that_comes_too_late_does_not_fire() -> None:
    assert days(Watch(parse("close > 100")), bars(90, 90, first=5), bars(90, 200)) == []


def test_series_do_not_mix_and_only_those_asked_for_count() -> None:
    both = pl.concat([bars(90, 110), bars(200, 210, symbol="ETH-USD"), bars(5, 500, interval="1h")])
    rule = parse("close crosses 100")
    outcome = evaluate(Watch(rule), Watch(rule).empty, both)
    assert sorted(outcome.fired.select("symbol", "interval").rows()) == [("BTC-USD", "1d"), ("BTC-USD", "1h")]
    assert days(Watch(rule, symbols=["ETH-USD"]), both) == []
    assert days(Watch(rule, intervals=["1h"]), both) == [1]
    assert days(Watch(parse("interval is 1h and symbol is BTC-USD and close crosses 100")), both) == [1]


def test_a_firing_tells_the_values_of_the_bar_and_of_the_one_before() -> None:
    watch = Watch(parse("close crosses 100"))
    fired = evaluate(watch, watch.empty, bars(90, 110)).fired.to_dicts()
    wanted = {"symbol": "BTC-USD", "interval": "1d", "event_time": DAY + timedelta(days=1), "close": 110.0}
    assert fired == [{**wanted, "before_close": 90.0}]


def test_where_a_rule_holds_now() -> None:
    watch = Watch(parse("close > 100"))
    both = pl.concat([bars(90, 110), bars(200, 90, symbol="ETH-USD")])
    assert holds_now(watch, watch.rows(both.lazy()).collect())["symbol"].to_list() == ["BTC-USD"]


_RULES: dict[str, Callable[[dict[str, float], dict[str, float]], bool]] = {
    "close crosses above open": lambda now, before: before["close"] < before["open"] and now["close"] >= now["open"],
    "close > 3 and volume <= 2": lambda now, _: now["close"] > 3 and now["volume"] <= 2,
    "not (close > 3 or low = 1)": lambda now, _: not (now["close"] > 3 or now["low"] == 1),
    "high != low or close > 4": lambda now, _: now["high"] != now["low"] or now["close"] > 4,
}
_PRICE = st.integers(0, 6).map(float)
_BAR = st.fixed_dictionaries(dict.fromkeys(("open", "high", "low", "close", "volume"), _PRICE))


@given(
    st.sampled_from(sorted(_RULES)),
    st.lists(st.tuples(st.sampled_from(["A", "B"]), _BAR), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), max_size=3),
)
def test_it_is_what_a_plain_walk_finds_however_commits_divide_the_rows(
    text: str, given_bars: list[tuple[str, dict[str, float]]], cuts: list[int]
) -> None:
    table = pl.concat([rows.bar(day, symbol=symbol, **one) for day, (symbol, one) in enumerate(given_bars)])
    wanted: list[tuple[str, datetime]] = []
    last: dict[str, tuple[dict[str, float], bool]] = {}
    for day, (symbol, now) in enumerate(given_bars):
        before = last.get(symbol)
        holds = before is not None and _RULES[text](now, before[0])
        held = before is not None and ("crosses" not in text and before[1])
        if holds and not held:
            wanted.append((symbol, DAY + timedelta(days=day)))
        last[symbol] = (now, "crosses" not in text and bool(_RULES[text](now, {})))
    watch, found = Watch(parse(text)), []
    seen: Any = watch.empty
    edges = [0, *sorted(min(cut, table.height) for cut in cuts), table.height]
    for first, end in pairwise(edges):
        outcome = evaluate(watch, seen, table[first:end])
        seen = outcome.seen
        found += outcome.fired.select("symbol", "event_time").rows()
    assert sorted(found) == sorted(wanted)
