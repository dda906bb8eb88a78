"""The fold of messages into rows: the same table however the messages were cut, repeated or ordered by time."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.silver.merging import (
    Change,
    bar_changes,
    bars_of_trades,
    trade_changes,
    with_bars_of_trades,
    without_growing,
)
from financelake_assets.silver.schema import BARS, TICKS
from financelake_assets_tests.silver.messages import START, TIME, cleaned, message, tick


def empty(table: Any) -> pl.DataFrame:
    frame = pl.from_arrow(table.schema.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


def applied(table: pl.DataFrame, change: Change, key: tuple[str, ...]) -> pl.DataFrame:
    """What the table is after a change, as a MERGE would leave it."""
    rows = change.rows.with_columns(processed_at=pl.lit(None, TIME))
    kept = table.join(rows, on=list(key), how="anti")
    return pl.concat([kept, rows.select(kept.columns)]).sort(key)


def cut(rows: list[dict[str, Any]], places: list[int]) -> list[list[dict[str, Any]]]:
    bounds = [0, *sorted(place % (len(rows) + 1) for place in places), len(rows)]
    return [rows[first:last] for first, last in pairwise(bounds)]


bar_message = st.fixed_dictionaries(
    {
        "event_time": st.integers(0, 2).map(lambda day: START + timedelta(days=day)),
        "close": st.sampled_from([1.0, 2.0]),
        "volume": st.sampled_from([None, 5.0]),
    }
)
some_bars = st.lists(bar_message, max_size=12).map(
    lambda rows: [message(offset, **fields) for offset, fields in enumerate(rows)]
)


def expected_bars(rows: list[dict[str, Any]]) -> tuple[dict[Any, tuple[Any, ...]], int, int]:
    """The rule, one message at a time: other values than before are taken, the same are a repetition."""
    state: dict[Any, tuple[Any, ...]] = {}
    accepted = 0
    for row in rows:
        before = state.get(row["event_time"])
        if before is None or before[:2] != (row["close"], row["volume"]):
            state[row["event_time"]] = (row["close"], row["volume"], row["offset"], (before[3] if before else 0) + 1)
            accepted += 1
    return state, accepted, len(rows) - accepted


@given(some_bars, st.lists(st.integers(0, 12), max_size=3))
def test_bars_do_not_depend_on_how_messages_were_cut_into_batches(rows: list[dict[str, Any]], places: list[int]):
    table, accepted, duplicates = empty(BARS), 0, 0
    for part in cut(rows, places):
        change = bar_changes(table, cleaned(part))
        assert change.rows.select(BARS.key).is_unique().all()
        assert change.replaces == (not change.rows.join(table, on=list(BARS.key), how="semi").is_empty())
        table = applied(table, change, BARS.key)
        accepted, duplicates = accepted + change.accepted, duplicates + change.duplicates
    found = {row[0]: row[1:] for row in table.select("event_time", "close", "volume", "offset", "messages").iter_rows()}
    assert (found, accepted, duplicates) == expected_bars(rows)
    assert table["messages"].sum() == accepted


def test_a_correction_replaces_the_bar_and_a_repetition_changes_nothing():
    table = applied(empty(BARS), bar_changes(empty(BARS), cleaned([message(0, close=1.0)])), BARS.key)
    again = bar_changes(table, cleaned([message(1, close=1.0)]))
    assert again.rows.is_empty()
    assert (again.accepted, again.duplicates) == (0, 1)
    corrected = bar_changes(table, cleaned([message(2, close=3.0)]))
    assert corrected.replaces
    assert corrected.rows.select("close", "offset", "messages").row(0) == (3.0, 2, 2)


def test_a_split_corrects_adjusted_closes_and_leaves_what_was_traded_alone():
    """As a provider tells it: the day of the split, and earlier bars again with another adjusted close."""
    before = [message(0, close=100.0, adj_close=100.0)]
    day = START + timedelta(days=1)
    after = [message(1, close=51.0, adj_close=51.0, split=2.0, event_time=day), message(2, close=100.0, adj_close=50.0)]
    table = applied(empty(BARS), bar_changes(empty(BARS), cleaned(before)), BARS.key)
    table = applied(table, bar_changes(table, cleaned(after)), BARS.key).sort("event_time")
    assert table.select("close", "adj_close", "split", "messages").rows() == [
        (100.0, 50.0, None, 2),
        (51.0, 51.0, 2.0, 1),
    ]
    paid = bar_changes(table, cleaned([message(3, close=100.0, adj_close=50.0, dividend=0.24)]))
    assert paid.rows.select("dividend", "messages").row(0) == (0.24, 3), "a dividend that is told later"


def test_null_is_a_value_that_can_be_corrected_and_repeated():
    table = applied(empty(BARS), bar_changes(empty(BARS), cleaned([message(0, volume=None)])), BARS.key)
    assert bar_changes(table, cleaned([message(1, volume=None)])).duplicates == 1
    assert bar_changes(table, cleaned([message(1, volume=0.0)])).accepted == 1


# -- trades ---------------------------------------------------------------------------------------------


trades_of_minutes = st.lists(
    st.tuples(
        st.floats(0, 179.999).map(lambda seconds: round(seconds, 3)),
        st.integers(1, 10_000).map(lambda cents: cents / 100),
        st.integers(1, 10_000_000).map(lambda units: units / 1e8),
    ),
    min_size=1,
    max_size=20,
)


def in_order_of_trading(trades: list[tuple[float, float, float]]) -> list[dict[str, Any]]:
    ordered = sorted(trades, key=lambda trade: trade[0])
    return [tick(0, price, size, at, trade_id=str(900 + n)) for n, (at, price, size) in enumerate(ordered)]


def arriving(trades: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**trade, "offset": offset} for offset, trade in enumerate(trades)]


def run_trades(batches: list[list[dict[str, Any]]]) -> tuple[pl.DataFrame, pl.DataFrame, int, int]:
    """The whole path of ticks, as the query runs it: trades, then the bars of every minute touched."""
    ticks, bars, accepted, duplicates = empty(TICKS), empty(BARS), 0, 0
    for batch in batches:
        if not batch:
            continue
        change = trade_changes(ticks, cleaned(batch))
        ticks = applied(ticks, change, TICKS.key)
        accepted, duplicates = accepted + change.accepted, duplicates + change.duplicates
        touched = cleaned(batch).select(minute=pl.col("event_time").dt.truncate("1m")).unique()
        minutes = ticks.with_columns(minute=pl.col("event_time").dt.truncate("1m")).join(
            touched, on="minute", how="semi"
        )
        nothing = Change(empty(BARS).drop("processed_at"), False, 0)
        bars = applied(bars, with_bars_of_trades(bars, nothing, bars_of_trades(minutes)), BARS.key)
    return ticks, bars, accepted, duplicates


@given(trades_of_minutes, st.randoms(use_true_random=False), st.lists(st.integers(0, 40), max_size=3))
def test_trades_give_the_exact_candles_in_any_order_of_arrival_with_any_repetition(
    trades: list[tuple[float, float, float]], chance: random.Random, places: list[int]
):
    ordered = in_order_of_trading(trades)
    sent = ordered + [trade for trade in ordered if chance.random() < 0.3]
    chance.shuffle(sent)
    ticks, bars, accepted, duplicates = run_trades(cut(arriving(sent), places))

    assert (ticks.height, accepted, duplicates) == (len(ordered), len(ordered), len(sent) - len(ordered))
    by_minute: dict[Any, list[dict[str, Any]]] = {}
    for trade in ordered:
        by_minute.setdefault(trade["event_time"].replace(second=0, microsecond=0), []).append(trade)
    expected = {
        minute: (
            of[0]["close"],
            max(trade["close"] for trade in of),
            min(trade["close"] for trade in of),
            of[-1]["close"],
            float(sum(Decimal(str(trade["volume"])) for trade in of)),
            len(of),
        )
        for minute, of in by_minute.items()
    }
    columns = ("event_time", "open", "high", "low", "close", "volume", "trades")
    assert {row[0]: row[1:] for row in bars.select(columns).iter_rows()} == expected


def test_trades_without_an_id_are_all_counted_even_when_they_look_the_same():
    ticks, bars, accepted, _ = run_trades([[tick(0, 5.0, 1.0, 1), tick(1, 5.0, 1.0, 1)]])
    assert (ticks.height, accepted) == (2, 2)
    assert bars["volume"].to_list() == [2.0]


def test_a_corrected_trade_replaces_the_trade_and_its_bar():
    ticks, bars, accepted, _ = run_trades([[tick(0, 5.0, 1.0, 1, trade_id="a")], [tick(1, 6.0, 1.0, 1, trade_id="a")]])
    assert (ticks.height, accepted, ticks["messages"].to_list()) == (1, 2, [2])
    assert bars["close"].to_list() == [6.0]


def test_a_volume_is_null_only_where_no_trade_has_a_size():
    _, bars, _, _ = run_trades([[tick(0, 5.0, None, 1), tick(1, 5.0, None, 61), tick(2, 5.0, 2.0, 62)]])
    assert bars.sort("event_time")["volume"].to_list() == [None, 2.0]


def test_sizes_beyond_exact_decimals_are_still_summed():
    _, bars, _, _ = run_trades([[tick(0, 5.0, 2e15, 1), tick(1, 5.0, 1e15, 2)]])
    assert bars["volume"].to_list() == [3e15]


def test_lateness_is_measured_within_a_minute_so_a_load_of_old_trades_is_not_late():
    history = [tick(n, 5.0, 1.0, n, trade_id=str(n)) for n in range(5)]
    for trade in history:
        trade["ingested_at"] = START + timedelta(days=900)
    _, bars, _, _ = run_trades([history])
    assert bars["late_trades"].to_list() == [0]

    straggler = tick(9, 7.0, 1.0, 3.5, trade_id="99")
    straggler["ingested_at"] = START + timedelta(days=900, seconds=71)
    _, bars, _, _ = run_trades([history, [straggler]])
    assert bars.select("late_trades", "trades", "high").row(0) == (1, 6, 7.0)


def test_of_a_bar_that_is_told_and_one_of_trades_the_last_to_arrive_stays():
    told = message(10, interval="1m", close=50.0)
    known = applied(empty(BARS), bar_changes(empty(BARS), cleaned([told])), BARS.key)
    nothing = Change(empty(BARS).drop("processed_at"), False, 0)
    before = bars_of_trades(trade_changes(empty(TICKS), cleaned([tick(9, 5.0, 1.0, 1)])).rows)
    assert with_bars_of_trades(known, nothing, before).rows.is_empty()

    after = bars_of_trades(trade_changes(empty(TICKS), cleaned([tick(11, 5.0, 1.0, 1)])).rows)
    change = with_bars_of_trades(known, nothing, after)
    assert change.replaces
    assert change.rows.select("close", "trades", "messages").row(0) == (5.0, 1, 1)

    same_batch = with_bars_of_trades(empty(BARS), bar_changes(empty(BARS), cleaned([told])), after)
    assert not same_batch.replaces
    assert same_batch.rows.select("close", "trades", "messages").row(0) == (5.0, 1, 1)


def test_only_the_newest_bar_of_a_series_that_is_made_of_trades_or_parts_may_grow():
    bars = pl.DataFrame(
        [("A", day, trades, parts) for day in range(3) for trades, parts in [(7, None)]]
        + [("B", day, None, 60) for day in range(2)]
        + [("C", day, None, None) for day in range(2)]
        + [("D", 0, 0, None)],
        schema={"symbol": pl.String, "event_time": pl.Int64, "trades": pl.Int64, "parts": pl.Int64},
        orient="row",
    ).with_columns(interval=pl.lit("1h"))
    left = without_growing(bars.reverse()).select("symbol", "event_time").sort("symbol", "event_time").rows()
    assert left == [("A", 0), ("A", 1), ("B", 0), ("C", 0), ("C", 1), ("D", 0)]


def test_rebuilding_an_unchanged_bar_writes_nothing():
    _, bars, _, _ = run_trades([[tick(0, 5.0, 1.0, 1, trade_id="a")]])
    ticks = trade_changes(empty(TICKS), cleaned([tick(0, 5.0, 1.0, 1, trade_id="a")])).rows
    nothing = Change(empty(BARS).drop("processed_at"), False, 0)
    assert with_bars_of_trades(bars, nothing, bars_of_trades(ticks)).rows.is_empty()


def test_a_correction_without_a_key_wins_whatever_partition_it_is_on_and_however_the_batches_are_cut():
    sent = [
        message(7, partition=1, close=185.0, ingested_at=START),
        message(3, partition=0, close=186.0, ingested_at=START + timedelta(seconds=1)),
    ]
    whole = bar_changes(BARS.empty, cleaned(sent)).rows
    rows = []
    for order in (sent, sent[::-1]):
        known, accepted = BARS.empty, 0
        for one in order:
            change = bar_changes(known, cleaned([one]))
            known = change.rows.with_columns(processed_at=pl.lit(START).cast(pl.Datetime("us", "UTC")))
            accepted += change.accepted
        assert accepted == 2
        rows.append(known.drop("processed_at").rows())
    assert whole["close"].to_list() == [186.0]
    assert rows == [whole.rows(), whole.rows()]
