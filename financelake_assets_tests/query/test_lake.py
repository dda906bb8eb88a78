"""The lake from Python: tables at a version, bars, and new rows."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from financelake_assets import lake
from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.query import commits, versions
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.query.rows import DAY, add, bar, signal


def opened(settings: Settings) -> DeltaTable:
    table = SIGNALS.open(settings)
    assert table is not None
    return table


def confidences(rows: pl.DataFrame | pl.LazyFrame) -> list[float]:
    return sorted(rows.lazy().select("confidence").collect()["confidence"].to_list())


# -- tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gold.signals", "gold/signals", "GOLD.Signals", '"gold"."signals"'])
def test_a_table_is_a_lazy_frame(asked_lake: Settings, name: str):
    found = lake.table(name, settings=asked_lake)
    assert isinstance(found, pl.LazyFrame)
    assert confidences(found) == [0.5, 0.6, 0.7]


def test_a_table_as_of_a_version_and_a_time(asked_lake: Settings):
    newest = opened(asked_lake).version()
    before = commits.time_of(SIGNALS, asked_lake, newest - 1)
    assert before is not None
    assert confidences(lake.table("gold.signals", as_of=newest - 1, settings=asked_lake)) == [0.5, 0.6]
    assert confidences(lake.table("gold.signals", as_of=before, settings=asked_lake)) == [0.5, 0.6]
    naive = before.replace(tzinfo=None).isoformat()
    assert confidences(lake.table("gold.signals", as_of=naive, settings=asked_lake)) == [0.5, 0.6]


def test_each_commits_time_gives_its_version(asked_lake: Settings):
    for day in range(3, 8):
        add(asked_lake, day)
    times = {
        version: commits.time_of(SIGNALS, asked_lake, version) for version in range(opened(asked_lake).version() + 1)
    }
    for time in set(times.values()):
        table = versions.at(SIGNALS, asked_lake, time)
        assert table is not None
        assert table.version() == max(version for version, made in times.items() if made == time)


def test_a_time_before_the_table_is_refused(asked_lake: Settings):
    with pytest.raises(lake.VersionGoneError, match=r"No version of") as refused:
        lake.table("gold.signals", as_of="2020-01-01", settings=asked_lake)
    assert "log begins at" in refused.value.remedy


@pytest.mark.parametrize("as_of", ["yesterday", "1.5", "-1", -1, ""])
def test_what_is_neither_version_nor_time_is_refused(asked_lake: Settings, as_of: str | int):
    with pytest.raises(lake.QueryError, match=r"not a version|neither"):
        lake.table("gold.signals", as_of=as_of, settings=asked_lake)


def test_a_version_that_is_not_there_yet_names_the_newest(asked_lake: Settings):
    with pytest.raises(lake.VersionGoneError) as refused:
        lake.table("gold.signals", as_of=99, settings=asked_lake)
    assert f"newest version is {opened(asked_lake).version()}" in refused.value.remedy


def test_a_table_that_was_never_made_is_empty_now_and_unknown_as_of(offline_lake: Settings):
    assert lake.table("gold.signals", settings=offline_lake).collect().is_empty()
    with pytest.raises(lake.VersionGoneError, match="has not created"):
        lake.table("gold.signals", as_of=0, settings=offline_lake)


def test_a_vacuumed_version_says_what_is_kept(asked_lake: Settings):
    table = opened(asked_lake)
    full = table.version()
    table.optimize.compact()
    merged = opened(asked_lake).version()
    opened(asked_lake).vacuum(0, dry_run=False, enforce_retention_duration=False)
    add(asked_lake, 3)
    newest = opened(asked_lake).version()
    with pytest.raises(lake.VersionGoneError, match=rf"Version {full} of gold.signals is no longer kept") as refused:
        lake.table("gold.signals", as_of=full, settings=asked_lake)
    assert f"Versions {merged} to {newest} are kept" in refused.value.remedy
    assert versions.kept(SIGNALS, asked_lake) == (merged, newest)
    for kept in range(merged, newest + 1):
        assert lake.table("gold.signals", as_of=kept, settings=asked_lake).collect().height >= 3
    with pytest.raises(lake.VersionGoneError, match="no longer kept"):
        lake.sql("FROM gold.signals", as_of=full, settings=asked_lake)


def test_a_version_whose_log_is_gone_says_what_is_kept(asked_lake: Settings):
    table = opened(asked_lake)
    table.create_checkpoint()
    log = Path(asked_lake.table("gold", "signals"), "_delta_log")
    for version in range(table.version()):
        (log / f"{version:020}.json").unlink()
    with pytest.raises(lake.VersionGoneError, match="no longer kept") as refused:
        lake.table("gold.signals", as_of=1, settings=asked_lake)
    assert f"Versions {table.version()} to {table.version()}" in refused.value.remedy


def test_every_table_is_listed_with_what_its_log_says(asked_lake: Settings):
    found = {info.name: info for info in lake.tables(asked_lake)}
    assert len(found) == len(TABLES)
    signals = found["gold.signals"]
    assert (signals.rows, signals.version, signals.newest) == (3, opened(asked_lake).version(), DAY + timedelta(days=2))
    assert signals.bytes > 0
    assert signals.description == SIGNALS.description
    assert (found["silver.bars"].version, found["silver.bars"].rows) == (None, 0)


# -- bars ------------------------------------------------------------------------------------------------


def test_bars_of_one_symbol_in_order_of_time(offline_lake: Settings):
    for day in (3, 1, 2, 4):
        OpenTables(offline_lake).insert(BARS, bar(day, close=float(day)))
    OpenTables(offline_lake).insert(BARS, bar(2, symbol="AAPL"))
    OpenTables(offline_lake).insert(BARS, bar(2, interval="1h"))
    found = lake.bars("BTC-USD", "1d", start="2024-03-03", end=DAY + timedelta(days=4), settings=offline_lake)
    assert found.collect()["close"].to_list() == [2.0, 3.0]
    assert lake.bars("BTC-USD", "1d", settings=offline_lake).collect()["close"].to_list() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(("interval", "start"), [("daily", None), ("0m", None), ("1d", "yesterday")])
def test_an_odd_interval_or_time_is_refused(offline_lake: Settings, interval: str, start: str | None):
    with pytest.raises(lake.QueryError):
        lake.bars("BTC-USD", interval, start, settings=offline_lake)


# -- new rows --------------------------------------------------------------------------------------------


def test_new_rows_come_as_they_are_committed(asked_lake: Settings):
    following = lake.follow("gold.signals", settings=asked_lake)
    writer = threading.Thread(target=lambda: [add(asked_lake, day) for day in (3, 4)])
    writer.start()
    got = [next(following), next(following)]
    writer.join()
    assert [confidences(new.rows) for new in got] == [[0.8], [0.9]]
    assert got[1].version == opened(asked_lake).version()
    assert got[0].time <= got[1].time <= datetime.now(UTC)


def test_following_waits_for_a_table_that_is_not_there_yet(offline_lake: Settings):
    following = lake.follow("gold.signals", settings=offline_lake)
    writer = threading.Timer(0.3, lambda: add(offline_lake, 0))
    writer.start()
    assert confidences(next(following).rows) == [0.5]
    writer.join()


def test_going_on_from_any_version_misses_none_and_doubles_none(asked_lake: Settings):
    all_rows = list(lake.follow("gold.signals", after=-1, idle_seconds=0, settings=asked_lake))
    assert [confidences(new.rows) for new in all_rows] == [[0.5], [0.6], [0.7]]
    for number, new in enumerate(all_rows):
        rest = lake.follow("gold.signals", after=new.version, idle_seconds=0, settings=asked_lake)
        assert [again.version for again in rest] == [later.version for later in all_rows[number + 1 :]]


def test_maintenance_brings_no_rows_and_a_correction_only_its_own(asked_lake: Settings):
    following = lake.follow("gold.signals", idle_seconds=0, settings=asked_lake)
    opened(asked_lake).optimize.compact()
    opened(asked_lake).update(predicate="confidence > 0.65", new_values={"signal": "HOLD"})
    opened(asked_lake).delete("confidence < 0.55")
    (only,) = list(following)
    assert only.rows.select("confidence", "signal").rows() == [(0.7, "HOLD")]


def test_a_table_that_is_overwritten_brings_what_is_new_in_it(asked_lake: Settings):
    following = lake.follow("gold.signals", idle_seconds=0, settings=asked_lake)
    whole = pl.concat([signal(1), signal(2), signal(5, confidence=None)])
    write_deltalake(opened(asked_lake), whole.to_arrow().cast(SIGNALS.schema), mode="overwrite")
    (only,) = list(following)
    assert only.rows.select("event_time", "confidence").rows() == [(DAY + timedelta(days=5), None)]


def test_going_on_from_a_commit_that_was_cleaned_up_is_refused(asked_lake: Settings):
    table = opened(asked_lake)
    table.create_checkpoint()
    Path(asked_lake.table("gold", "signals"), "_delta_log", f"{1:020}.json").unlink()
    with pytest.raises(lake.VersionGoneError, match=r"log of gold.signals no longer has the commit of version 1"):
        lake.follow("gold.signals", after=0, settings=asked_lake)
    with pytest.raises(lake.VersionGoneError, match="has no version 99"):
        lake.follow("gold.signals", after=99, settings=asked_lake)


def test_files_that_were_cleaned_up_before_they_were_followed_are_an_error(asked_lake: Settings):
    before = opened(asked_lake).version() - 1
    opened(asked_lake).optimize.compact()
    opened(asked_lake).vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(lake.VersionGoneError, match="Maintenance deleted files"):
        list(lake.follow("gold.signals", after=before, idle_seconds=0, settings=asked_lake))


def test_an_unknown_table_is_refused_before_anything_is_read(asked_lake: Settings):
    with pytest.raises(lake.UnknownTableError, match=r"gold.signal"):
        lake.follow("gold.signal", settings=asked_lake)
