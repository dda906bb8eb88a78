"""Larger bars: by the market's sessions, the same however messages are cut or ordered, and never half of one."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from financelake_assets.bronze.universe import Universe, describe
from financelake_assets.calendars import trading_calendar
from financelake_assets.config import Settings
from financelake_assets.feeds.bars import present_bars
from financelake_assets.gold.scoring import finished
from financelake_assets.intervals import bar_length
from financelake_assets.providers.base import Instrument
from financelake_assets.silver.building import windows_of
from financelake_assets.silver.committing import write_cleaned
from financelake_assets.silver.larger import catch_up
from financelake_assets.silver.ledger import uncounted
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver.messages import IDS, TIME, cleaned, message

SYMBOL = "BTC-USD"
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)
BUILT = ["5m", "1h", "1d"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minute(offset: int, after: float, close: float = 10.0, **fields: Any) -> dict[str, Any]:
    """A told bar of a minute, so many minutes after midnight."""
    time = MIDNIGHT + timedelta(minutes=after)
    told = {"interval": "1m", "event_time": time, "close": close, "high": close + 1, "low": close - 1, "volume": 0.1}
    return message(offset, **{**told, **fields})


def lake_in(folder: Path | str, built: Sequence[str] = BUILT) -> Settings:
    lake = Settings.model_validate({"data_dir": Path(folder), "silver": {"built_intervals": list(built)}})
    Universe(lake, "test").add(
        [Instrument(SYMBOL, "crypto"), Instrument("ETH-USD", "crypto"), Instrument("AAPL", "stock")]
    )
    return lake


def with_calendar(lake: Settings, calendar: str) -> None:
    traits = pl.DataFrame({"symbol": [SYMBOL], "calendar": [calendar], "currency": ["USD"]})
    describe(lake, traits)


def write(lake: Settings, rows: Sequence[dict[str, Any]]) -> None:
    write_cleaned(OpenTables(lake), cleaned(list(rows)), IDS)


def bars_in(lake: Settings, interval: str | None = None) -> pl.DataFrame:
    rows = BARS.scan(lake).collect().sort(BARS.key).drop("processed_at")
    return rows if interval is None else rows.filter(pl.col("interval") == interval)


@contextmanager
def lakes(count: int) -> Iterator[list[Settings]]:
    with tempfile.TemporaryDirectory() as folder:
        yield [lake_in(Path(folder) / str(number)) for number in range(count)]


def windows(calendar: str, interval: str, *times: str) -> list[tuple[str, str, str]]:
    """The start, the first moment and the end of the window of each time that has one."""
    minutes = pl.DataFrame(
        {"symbol": "X", "event_time": [at(time) for time in times]}, schema_overrides={"event_time": TIME}
    )
    found = windows_of(minutes, [interval], {"X": trading_calendar(calendar)})
    texts = found.select(pl.col("start", "first", "end").dt.strftime("%m-%d %H:%M"))
    return [(start, first, end) for start, first, end in texts.iter_rows()]


@pytest.mark.parametrize(
    ("calendar", "interval", "time", "window"),
    [
        ("24/7", "1h", "2024-03-02T00:59", ("03-02 00:00", "03-02 00:00", "03-02 01:00")),
        ("24/7", "4h", "2024-03-02T23:59", ("03-02 20:00", "03-02 20:00", "03-03 00:00")),
        ("24/7", "1d", "2024-03-02T23:59", ("03-02 00:00", "03-02 00:00", "03-03 00:00")),
        ("XNYS", "1h", "2024-03-08T14:30", ("03-08 14:30", "03-08 14:30", "03-08 15:30")),
        ("XNYS", "1h", "2024-03-11T13:30", ("03-11 13:30", "03-11 13:30", "03-11 14:30")),  # the clock has changed
        ("XNYS", "1h", "2024-03-11T19:59", ("03-11 19:30", "03-11 19:30", "03-11 20:00")),  # half an hour is left
        ("XNYS", "4h", "2024-03-11T17:30", ("03-11 17:30", "03-11 17:30", "03-11 20:00")),
        ("XNYS", "1d", "2024-03-11T19:59", ("03-11 00:00", "03-11 13:30", "03-11 20:00")),
        ("XNYS", "1d", "2024-07-03T16:59", ("07-03 00:00", "07-03 13:30", "07-03 17:00")),  # closes at one
        ("XNYS", "5m", "2024-07-03T17:00", None),  # the close, and what comes after it, is no session
        ("XNYS", "5m", "2024-03-11T13:29", None),
        ("XNYS", "1d", "2024-03-10T15:00", None),
        ("XTKS", "1d", "2024-03-11T00:00", ("03-11 00:00", "03-11 00:00", "03-11 06:00")),
        ("CMES", "1d", "2024-03-10T22:00", ("03-11 00:00", "03-10 22:00", "03-11 22:00")),  # Sunday is Monday's session
        ("CMES", "4h", "2024-03-11T02:01", ("03-11 02:00", "03-11 02:00", "03-11 06:00")),
        ("XNYS", "1d", "1890-03-11T13:30", ("03-11 00:00", "03-11 00:00", "03-12 00:00")),  # no calendar knows
    ],
)
def test_a_bar_is_counted_from_the_open_and_ends_with_the_session(
    calendar: str, interval: str, time: str, window: tuple[str, str, str] | None
) -> None:
    assert windows(calendar, interval, time) == ([window] if window else [])


moments = st.integers(0, 300_000).map(lambda minutes: at("2024-02-01") + timedelta(minutes=minutes))


@given(st.lists(moments, max_size=20), st.sampled_from(["24/7", "XNYS", "CMES", "XTKS"]))
def test_a_minute_of_a_session_is_in_one_window_of_each_interval(times: list[datetime], name: str) -> None:
    calendar = trading_calendar(name)
    minutes = pl.DataFrame({"symbol": "X", "event_time": times}, schema={"symbol": pl.String, "event_time": TIME})
    found = windows_of(minutes, ("5m", "4h", "1d"), {"X": calendar})
    assert found.height == 3 * sum(calendar.is_trading(time) for time in times)
    for row in found.iter_rows(named=True):
        assert row["first"] <= row["event_time"] < row["end"]
        assert row["end"] - row["first"] <= bar_length(row["interval"])
        assert calendar.is_trading(row["first"])
        if row["interval"] == "1d":
            assert calendar.is_session(row["start"])


# -- what is built --------------------------------------------------------------------------------------

told = st.lists(
    st.tuples(st.integers(0, 400), st.integers(2, 9_999).map(lambda cents: cents / 100), st.integers(1, 10**9)),
    min_size=1,
    max_size=30,
    unique_by=lambda one: one[0],
)


@settings(max_examples=5)
@given(told, st.randoms(use_true_random=False))
def test_bars_are_those_of_their_minutes_in_any_order_of_arrival(
    parts: list[tuple[int, float, int]], chance: random.Random
) -> None:
    ordered = sorted(parts)
    chance.shuffle(parts)
    sent = [minute(n, after, close, volume=units / 1e8) for n, (after, close, units) in enumerate(parts)]
    began = ordered[0][0]
    with lakes(1) as (lake,):
        for part in (sent[:3], sent[3:4], sent[4:]):
            write(lake, part)
        found = bars_in(lake).filter(pl.col("interval") != "1m")
    expected = {}
    for interval in BUILT:
        length = bar_length(interval) // timedelta(minutes=1)
        for start in {after // length * length for after, _, _ in ordered}:
            of = [one for one in ordered if start <= one[0] < start + length]
            if began <= start:
                expected[interval, MIDNIGHT + timedelta(minutes=start)] = (
                    of[0][1],
                    max(close for _, close, _ in of) + 1,
                    min(close for _, close, _ in of) - 1,
                    of[-1][1],
                    float(sum(Decimal(units) for _, _, units in of) / 10**8),
                    len(of),
                )
    columns = ("interval", "event_time", "open", "high", "low", "close", "volume", "parts")
    assert {row[:2]: row[2:] for row in found.select(columns).iter_rows()} == expected


def anything(n: int, kind: int, where: int) -> dict[str, Any]:
    """Minutes of two markets, with corrections, hours that are told of one of them, and trades of a third symbol."""
    after = where % 130
    shares = {"symbol": "AAPL", "asset_class": "stock", "topic": "bronze.stock"}
    time = MIDNIGHT + timedelta(seconds=after * 20)
    return (
        minute(n, after, 5.0 + n % 3),
        message(n, interval="1h", event_time=MIDNIGHT + timedelta(hours=after // 60), close=3.0 + n % 2),
        message(n, interval="tick", event_time=time, close=5.0, volume=0.5, trade_id=str(where), symbol="ETH-USD"),
        minute(n, after, 7.0, **shares, event_time=at("2024-03-01T14:00") + timedelta(minutes=after)),
    )[kind]


@settings(max_examples=4)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), min_size=1, max_size=40),
    st.lists(st.integers(1, 39), max_size=2),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 20)), max_size=1),
)
def test_any_cut_and_any_replay_leave_the_same_bars(
    kinds: list[tuple[int, int]], cuts: list[int], replays: list[tuple[int, int]]
) -> None:
    sent = [anything(n, kind, where) for n, (kind, where) in enumerate(kinds)]
    with lakes(2) as (once, often):
        write(once, sent)
        for first, last in pairwise([0, *sorted(set(cuts)), len(sent)]):
            write(often, sent[first:last])
            for start, length in replays:
                write(often, sent[min(start, last) : min(start + length, last)])
        assert bars_in(once).equals(bars_in(often), null_equal=True)
        assert uncounted(once) == uncounted(often) == dict.fromkeys(uncounted(once), 0)
        assert catch_up(OpenTables(often)) == 0


# -- what the rule means, one case each -----------------------------------------------------------------


def test_a_bar_whose_beginning_is_missing_is_not_built_until_history_brings_it(tmp_path: Path) -> None:
    lake = lake_in(tmp_path, ["1h"])
    write(lake, [minute(n, 37 + n) for n in range(90)])
    assert bars_in(lake, "1h")["event_time"].to_list() == [MIDNIGHT + timedelta(hours=hour) for hour in (1, 2)]

    write(lake, [minute(100, -5, 99.0)])  # before the hour: none of its own minutes changes
    first = bars_in(lake, "1h").row(0, named=True)
    assert (first["event_time"], first["parts"], first["close"]) == (MIDNIGHT, 23, 10.0)


def test_a_corrected_minute_corrects_every_bar_that_it_is_part_of(tmp_path: Path) -> None:
    lake = lake_in(tmp_path)
    write(lake, [minute(n, n) for n in range(70)])
    before = BARS.ensure(lake).version()
    write(lake, [minute(70, 3, 500.0, provider="again")])
    assert BARS.ensure(lake).version() == before + 1  # bar and larger bars are one commit
    changed = bars_in(lake).filter(pl.col("high") == 501.0)
    assert changed.select("interval", "parts", "offset", "provider").rows() == [
        ("1d", 70, 70, "again"),
        ("1h", 60, 70, "again"),
        ("1m", None, 70, "again"),
        ("5m", 5, 70, "again"),
    ]
    write(lake, [minute(71, 3, 500.0)])
    assert bars_in(lake).filter(pl.col("offset") == 71).is_empty()


def test_a_told_bar_stays_and_takes_the_place_of_a_built_one(tmp_path: Path) -> None:
    lake = lake_in(tmp_path, ["1h"])
    write(lake, [minute(n, n) for n in range(61)])
    equal = bars_in(lake, "1h").row(0, named=True)
    prices = {name: equal[name] for name in ("open", "high", "low", "close", "volume")}
    write(lake, [message(61, interval="1h", event_time=MIDNIGHT, **prices)])
    write(lake, [minute(62, 3, 500.0)])
    write(lake, [message(63, interval="1h", event_time=MIDNIGHT + timedelta(hours=2), close=3.0), minute(64, 121)])
    found = bars_in(lake, "1h").select("event_time", "close", "parts", "messages").rows()
    assert found == [
        (MIDNIGHT, 10.0, None, 1),
        (MIDNIGHT + timedelta(hours=1), 10.0, 1, 0),
        (MIDNIGHT + timedelta(hours=2), 3.0, None, 1),
    ]
    assert set(uncounted(lake).values()) == {0}


def test_trades_and_told_minutes_make_the_same_bars(tmp_path: Path) -> None:
    lake = lake_in(tmp_path, ["5m"])
    trades = [(0, 5.0, 0.1), (61, 9.0, 0.2), (62, 2.0, None), (299, 4.0, 0.3), (300, 1.0, 1.0)]
    write(
        lake,
        [
            message(n, interval="tick", event_time=MIDNIGHT + timedelta(seconds=s), close=p, volume=v, trade_id=str(n))
            for n, (s, p, v) in enumerate(trades)
        ],
    )
    columns = ("open", "high", "low", "close", "volume", "trades", "late_trades", "parts", "messages")
    assert bars_in(lake, "5m").select(columns).rows() == [
        (5.0, 9.0, 2.0, 4.0, 0.6, 4, 0, 3, 0),
        (1.0, 1.0, 1.0, 1.0, 1.0, 1, 0, 1, 0),
    ]


def test_volume_and_trades_are_null_where_no_minute_has_any(tmp_path: Path) -> None:
    lake = lake_in(tmp_path, ["5m"])
    write(lake, [minute(0, 0, volume=None), minute(1, 1, volume=None), minute(2, 5, volume=None), minute(3, 6)])
    assert bars_in(lake, "5m").select("volume", "trades").rows() == [(None, None), (0.1, None)]


def test_a_setting_that_comes_later_builds_what_it_would_have_built(tmp_path: Path) -> None:
    sent = [minute(n, 17 + n, 5.0 + n % 7) for n in range(200)]
    along, later = lake_in(tmp_path / "along"), lake_in(tmp_path / "later", [])
    write(along, sent)
    write(later, sent)
    assert bars_in(later)["interval"].unique().to_list() == ["1m"]
    assert catch_up(OpenTables(later)) == 0
    again = later.model_copy(update={"silver": along.silver})
    assert catch_up(OpenTables(again)) == bars_in(along).height - 200
    assert bars_in(again).equals(bars_in(along), null_equal=True)
    assert catch_up(OpenTables(again)) == 0


def test_another_calendar_takes_away_the_bars_of_the_one_before(tmp_path: Path) -> None:
    lake = lake_in(tmp_path, ["1h", "1d"])
    write(lake, [minute(n, 8 * 60 + n) for n in range(600)])
    with_calendar(lake, "XNYS")
    catch_up(OpenTables(lake))
    starts = bars_in(lake).filter(pl.col("interval") != "1m").select("interval", "event_time").rows()
    assert starts == [
        ("1d", MIDNIGHT),
        *(("1h", MIDNIGHT + timedelta(hours=14.5 + hour)) for hour in range(4)),
    ]
    assert set(uncounted(lake).values()) == {0}


def test_a_built_bar_is_scored_when_the_next_one_has_begun(tmp_path: Path) -> None:
    lake = lake_in(tmp_path, ["1h"])
    write(lake, [minute(n, n) for n in range(61)])
    bars = bars_in(lake, "1h")
    first, second = bars.head(1), bars.tail(1)
    assert finished(bars, second).equals(first.select(BARS.key))
    assert finished(first, first).is_empty()


def test_a_feed_still_asks_for_a_series_that_is_only_built(tmp_path: Path) -> None:
    lake = lake_in(tmp_path, ["1h"])
    write(lake, [minute(n, n) for n in range(61)])
    assert set(present_bars(lake, [SYMBOL])) == {(SYMBOL, "1m")}


def test_nothing_is_built_unasked_and_of_minutes_only_what_can_be(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).silver.built_intervals == ()
    asked = Settings.model_validate({"data_dir": tmp_path, "silver": {"built_intervals": ["60m", "1h", "24h"]}})
    assert asked.silver.built_intervals == ("1h", "1d")
    for wrong in ("1m", "1w", "tick", "3m"):
        with pytest.raises(ValidationError):
            lake_in(tmp_path, [wrong])
