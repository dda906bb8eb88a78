"""Snapshots of the lake: what one brings together, and what it costs where nothing is new."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from dash_app.data import lake_reader
from dash_app.data.lake_reader import LakeReader
from financelake_assets.bronze.universe import Universe, describe
from financelake_assets.calendars import trading_calendar
from financelake_assets.config import Settings
from financelake_assets.providers.base import Instrument
from financelake_assets.silver import lateness
from financelake_assets_tests.dash_app import written


def test_commits_that_follow_each_other_are_one_snapshot(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = written.bars(("AAPL",), count=40)
    gold = written.gold_of(bars)
    left = [(written.PREDICTIONS, gold), (written.SIGNALS, gold)]
    reader = LakeReader(offline_lake)
    written.write_bars(offline_lake, bars)
    monkeypatch.setattr(reader._stopped, "wait", lambda _: left and written.write(offline_lake, *left.pop(0)))
    assert reader.refresh(settled_after=0.05)
    snapshot = reader.snapshot
    assert [view.rows for view in (snapshot.bars, snapshot.predictions, snapshot.signals)] == [40, len(gold), len(gold)]


def test_a_table_that_always_changes_does_not_keep_the_snapshot_back(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = iter(range(1, 30))
    reader = LakeReader(offline_lake)

    def write(_: float) -> None:
        written.write_bars(offline_lake, written.bars(("AAPL",), next(days), count=40).tail(1))

    write(0)
    monkeypatch.setattr(reader._stopped, "wait", write)
    assert reader.refresh(settled_after=0.05)
    assert 1 < reader.snapshot.bars.rows < 10


def test_overdue_bars_are_counted_again_each_second_or_where_bars_came(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    monkeypatch.setattr(lateness, "overdue", lambda newest, *_: counted.append(newest.height) or {})
    reader = LakeReader(offline_lake)
    for _ in range(3):
        reader.refresh()
    assert counted == [0]
    written.write_bars(offline_lake, written.bars(("AAPL",), count=3))
    reader.refresh()
    assert counted == [0, 1]
    assert reader._late is not None
    reader._late = replace(reader._late, until=datetime(2000, 1, 1, tzinfo=UTC))
    reader.refresh()
    assert counted == [0, 1, 1]


def test_calendars_are_built_before_a_visitor_needs_them(offline_lake: Settings) -> None:
    trading_calendar.cache_clear()
    reader = LakeReader(offline_lake)
    written.write_bars(offline_lake, written.bars(("AAPL", "BTC-USD"), count=3))
    reader.refresh()
    assert lake_reader.build_calendars(reader.snapshot)
    built = trading_calendar.cache_info()
    assert built.currsize == 2
    assert not lake_reader.build_calendars(reader.snapshot)
    trading_calendar("24/7")
    trading_calendar("XNYS")
    assert trading_calendar.cache_info().misses == built.misses


def test_a_calendar_that_nobody_knows_is_no_new_one_at_each_look(offline_lake: Settings) -> None:
    reader = LakeReader(offline_lake)
    Universe(offline_lake, "csv").add([Instrument("AAPL", "stock")])
    describe(offline_lake, pl.DataFrame({"symbol": ["AAPL"], "calendar": ["NONE"], "currency": ["USD"]}))
    reader.refresh()
    lake_reader.build_calendars(reader.snapshot)
    assert set(reader.snapshot.universe["calendar"]) == {"NONE"}
    assert not lake_reader.build_calendars(reader.snapshot)
