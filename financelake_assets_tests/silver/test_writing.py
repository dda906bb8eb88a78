"""Commits to real Delta tables: counted once, whatever is repeated, cut, killed between or written at once."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.config import Settings
from financelake_assets.silver import writing
from financelake_assets.silver.committing import bars, trades, write_cleaned
from financelake_assets.silver.ledger import uncounted
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver.messages import IDS, START, cleaned, message, tick

TABLES = (BARS, TICKS, QUARANTINE)


def content(lake: Settings, table: TableSpec) -> list[tuple[Any, ...]]:
    """A table's rows in the order of its key, without the times of writing."""
    rows = table.scan(lake).collect().sort(table.key)
    return rows.drop("processed_at", "quarantined_at", strict=False).rows()


def everything(lake: Settings) -> dict[str, Any]:
    """All that silver holds and counts."""
    tables = {table.full_name: table.ensure(lake) for table in TABLES}
    return {
        **{table.full_name: content(lake, table) for table in TABLES},
        "totals": {name: tuple(writing.totals(table)) for name, table in tables.items()},
        "uncounted": uncounted(lake),
    }


def write(lake: Settings, rows: list[dict[str, Any]], ids: dict[str, str] = IDS) -> None:
    write_cleaned(OpenTables(lake), cleaned(rows), ids)


def mixed(count: int) -> list[dict[str, Any]]:
    """Messages of every kind on one partition: bars, corrections, repetitions, trades, late and bad ones."""
    kinds: list[Callable[[int], dict[str, Any]]] = [
        lambda n: message(n, event_time=START + timedelta(days=n // 9), close=1.0 + n % 4),
        lambda n: message(n, event_time=START, close=1.0),
        lambda n: tick(n, 5.0 + n, 0.1, n * 7 % 200, trade_id=str(n // 6)),
        lambda n: tick(n, 5.0 + n, 0.1, n * 11 % 200),
        lambda n: message(n, reason="not_json", raw=b"{", symbol=None, event_time=None),
    ]
    return [kinds[n % len(kinds)](n) for n in range(count)]


ranges = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 25)), max_size=3)


@settings(max_examples=12)
@given(ranges, st.lists(st.integers(1, 39), max_size=3))
def test_any_replay_of_any_range_leaves_the_same_tables(replays: list[tuple[int, int]], cuts: list[int]):
    rows = mixed(40)
    with tempfile.TemporaryDirectory() as folder:
        once, often = (Settings(data_dir=Path(folder) / name) for name in ("once", "often"))
        write(once, rows)
        bounds = [0, *sorted(set(cuts)), 40]
        for first, last in pairwise(bounds):
            write(often, rows[first:last])
            for start, length in replays:
                # a replay begins anywhere in what was written and may reach beyond it
                write(often, rows[min(start, last) : min(start, last) + length])
        write(often, rows)
        found, expected = everything(often), everything(once)
    assert found == expected
    assert not any(found["uncounted"].values())


def test_every_message_is_in_one_place(offline_lake: Settings):
    write(offline_lake, mixed(40))
    totals = everything(offline_lake)["totals"].values()
    assert sum(sum(pair) for pair in totals) == 40


@pytest.mark.parametrize("last_table", TABLES, ids=lambda table: table.name)
def test_a_kill_between_two_commits_is_repaired_by_the_replay(offline_lake: Settings, tmp_path: Path, last_table: Any):
    rows = mixed(40)
    whole = Settings(data_dir=tmp_path / "whole")
    write(whole, rows)

    frame = cleaned(rows)
    good = frame.filter(pl.col("reason").is_null())
    ticks = good.filter(pl.col("interval") == "tick")
    # what `write_cleaned` does, up to the commit behind which the process died
    tables = OpenTables(offline_lake)
    writing.write(TICKS, tables, ticks, IDS, partial(trades, tables, IDS))
    if last_table is not TICKS:
        writing.write(BARS, tables, good, IDS, lambda table, fresh: bars(tables, table, fresh))
    write(offline_lake, rows)
    assert everything(offline_lake) == everything(whole)


def test_two_writers_of_the_same_messages_at_once_write_them_once(offline_lake: Settings, tmp_path: Path):
    rows = mixed(60)
    alone = Settings(data_dir=tmp_path / "alone")
    write(alone, rows)
    for table in TABLES:
        table.ensure(offline_lake)
    start = threading.Barrier(2)
    failures: list[BaseException] = []

    def writer(size: int) -> None:
        try:
            start.wait()
            for first in range(0, 60, size):
                write(offline_lake, rows[first : first + size])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=writer, args=(size,)) for size in (10, 15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert everything(offline_lake) == everything(alone)


def test_a_conflict_makes_the_second_writer_look_again(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch):
    """Deterministic: another machine, which takes no turns with us, commits between our look and our commit."""
    monkeypatch.setattr(TableSpec, "turn", lambda *_: nullcontext())
    rows, tables = [message(0, close=1.0), message(1, close=2.0)], OpenTables(offline_lake)
    calls: list[int] = []

    def slow(table: DeltaTable, fresh: pl.DataFrame) -> Any:
        change = bars(tables, table, fresh)
        calls.append(fresh.height)
        if len(calls) == 1:
            write(offline_lake, rows[:1])
        return change

    writing.write(BARS, tables, cleaned(rows), IDS, slow)
    assert calls == [2, 1]
    assert content(offline_lake, BARS) == content(offline_lake, BARS)[:1]
    assert everything(offline_lake)["totals"]["silver/bars"] == (2, 0)


def test_a_topic_made_again_has_offsets_of_its_own(offline_lake: Settings):
    write(offline_lake, [message(n, event_time=START + timedelta(days=n)) for n in range(5)])
    again = [message(n, event_time=START + timedelta(days=10 + n)) for n in range(3)]
    write(offline_lake, again, {**IDS, "bronze.crypto": "second"})
    assert everything(offline_lake)["totals"]["silver/bars"] == (8, 0)


def test_repetitions_are_counted_without_rewriting_a_file(offline_lake: Settings):
    write(offline_lake, [message(n, event_time=START + timedelta(days=n)) for n in range(5)])
    files = BARS.ensure(offline_lake).file_uris()
    write(offline_lake, [message(5 + n, event_time=START + timedelta(days=n)) for n in range(5)])
    assert BARS.ensure(offline_lake).file_uris() == files
    assert everything(offline_lake)["totals"]["silver/bars"] == (5, 5)


def test_a_correction_is_in_the_change_feed(offline_lake: Settings):
    write(offline_lake, [message(0, close=1.0)])
    write(offline_lake, [message(1, close=2.0)])
    feed = pl.DataFrame(BARS.ensure(offline_lake).load_cdf(starting_version=1).read_all())
    changes = dict(feed.select("_change_type", "close").iter_rows())
    assert changes == {"insert": 1.0, "update_preimage": 1.0, "update_postimage": 2.0}


def test_only_files_that_may_hold_the_keys_are_read(offline_lake: Settings):
    for year in range(3):
        write(offline_lake, [message(year, event_time=START + timedelta(days=365 * year))])
    table = BARS.ensure(offline_lake)
    newest = sorted(table.file_uris())
    keys = cleaned([message(9, event_time=START + timedelta(days=730))]).select(BARS.key)
    touched = [uri for uri in newest if _holds(uri, START + timedelta(days=730))]
    for uri in set(newest) - set(touched):
        Path(uri.removeprefix("file://")).unlink()  # reading one of these would fail
    assert writing.rows_with(table, keys).height == 1


@pytest.mark.parametrize("micros", [1, 123_456, 999_999])
def test_a_time_with_microseconds_is_found_though_the_log_cuts_it(offline_lake: Settings, micros: int):
    """polars leaves files out by the log's newest time, which has milliseconds alone."""
    at = START + timedelta(microseconds=micros)
    write(offline_lake, [message(0, event_time=at, close=1.0), tick(1, 5.0, 0.1, micros / 1e6, trade_id="a")])
    again = [message(2, event_time=at, close=1.0), tick(3, 5.0, 0.1, micros / 1e6, trade_id="a")]
    write(offline_lake, [*again, message(4, event_time=at, close=2.0)])
    totals = everything(offline_lake)["totals"]
    assert totals["silver/bars"] == (2, 1)
    assert totals["silver/ticks"] == (1, 1)
    assert BARS.scan(offline_lake).filter(pl.col("event_time") == at).collect().height == 1


def _holds(uri: str, time: Any) -> bool:
    return time in pl.read_parquet(uri)["event_time"].to_list()


def test_far_and_near_trades_of_one_batch_are_all_found(offline_lake: Settings):
    days = [0.0, 30.0, 86_400.0 * 40, 86_400.0 * 40 + 59]
    write(offline_lake, [tick(n, 5.0 + n, 1.0, at) for n, at in enumerate(days)])
    write(offline_lake, [tick(10 + n, 9.0, 1.0, at + 1) for n, at in enumerate([0.0, 86_400.0 * 40])])
    bars = BARS.scan(offline_lake).collect().sort("event_time")
    assert bars["trades"].to_list() == [3, 3]
    assert bars["volume"].to_list() == [3.0, 3.0]


def test_more_runs_of_times_than_fit_a_predicate_are_still_found(offline_lake: Settings):
    rows = [message(n, event_time=START + timedelta(days=2 * n)) for n in range(100)]
    write(offline_lake, rows)
    write(offline_lake, [{**row, "offset": 100 + row["offset"]} for row in rows])
    assert everything(offline_lake)["totals"]["silver/bars"] == (100, 100)
