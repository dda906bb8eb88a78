from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dash_app.data.cached_tables import CachedTable
from financelake_assets.config import Settings
from financelake_assets.gold.paper.accounts import ACCOUNT
from financelake_assets.gold.paper.schema import EQUITY
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.dash_app import written
from financelake_assets_tests.gold import frames


def _bars(lake: Settings, keep: int = 1_000) -> CachedTable:
    return CachedTable(BARS, lake, group_by=("symbol", "interval"), keep=keep)


def test_an_absent_table_is_a_state(offline_lake: Settings) -> None:
    table = _bars(offline_lake)
    assert table.refresh() is False
    assert (table.view.state, table.view.problem) == ("absent", None)
    assert table.view.group("AAPL", "1d").columns == BARS.schema.names


def test_an_empty_table_is_a_state_and_read_once(offline_lake: Settings) -> None:
    BARS.ensure(offline_lake)
    table = _bars(offline_lake)
    assert table.refresh() is True
    assert (table.view.state, table.view.version) == ("empty", len(BARS.constraints))
    assert table.refresh() is False


def test_groups_are_sorted_and_cut_to_the_newest(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL", "FB"), count=150)
    written.write_bars(offline_lake, rows.sample(fraction=1.0, shuffle=True, seed=1))
    table = _bars(offline_lake, keep=100)
    table.refresh()
    assert table.view.rows == 300
    for symbol in ("AAPL", "FB"):
        expected = rows.filter(pl.col("symbol") == symbol).tail(100)["close"].to_list()
        assert table.view.group(symbol, "1d")["close"].to_list() == expected


def test_appended_bars_are_read_alone_and_join_what_is_known(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = written.bars(("AAPL",), count=120)
    written.write_bars(offline_lake, rows.head(119))
    table = _bars(offline_lake)
    table.refresh()
    read: list[int] = []
    scan = pl.scan_parquet
    monkeypatch.setattr(pl, "scan_parquet", lambda files, **more: read.append(len(files)) or scan(files, **more))
    written.write_bars(offline_lake, rows.tail(1))
    assert table.refresh() is True
    assert read == [1]
    assert table.view.group("AAPL", "1d")["close"].to_list() == rows["close"].to_list()
    assert table.view.rows == 120
    assert table.refresh() is False


def test_a_correction_and_a_deletion_are_seen(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), count=10)
    written.write_bars(offline_lake, rows)
    table = _bars(offline_lake)
    table.refresh()
    last = rows["event_time"][-1].isoformat()
    DeltaTable(BARS.path(offline_lake)).update({"low": "1.5", "close": "1.5"}, predicate=f"event_time = '{last}'")
    assert table.refresh() is True
    assert table.view.group("AAPL", "1d")["close"].to_list()[-1] == 1.5
    DeltaTable(BARS.path(offline_lake)).delete(f"event_time = '{last}'")
    assert table.refresh() is True
    assert table.view.group("AAPL", "1d").height == 9


def test_a_table_that_is_travelled_back_is_shown_as_it_was_and_goes_on_from_there(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL", "FB"), count=40)
    known = rows.filter(pl.col("event_time") < rows["event_time"].sort()[-10])
    written.write_bars(offline_lake, known)
    table = _bars(offline_lake)
    table.refresh()
    then = table.view
    written.write_bars(offline_lake, rows.join(known, on=["symbol", "event_time"], how="anti"))
    assert table.refresh() is True
    DeltaTable(BARS.path(offline_lake)).restore(then.version)
    assert table.refresh() is True
    assert table.view.rows == then.rows
    for key, frame in then.groups.items():
        assert table.view.groups[key].equals(frame)
    assert table.view.version != then.version
    written.write_bars(offline_lake, rows.filter(symbol="FB").tail(1))
    table.refresh()
    assert table.view.group("FB", "1d").height == then.group("FB", "1d").height + 1


def test_compaction_changes_nothing_that_is_shown(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL", "FB"), count=40)
    for part in rows.iter_slices(20):
        written.write_bars(offline_lake, part)
    table = _bars(offline_lake)
    table.refresh()
    before = table.view
    DeltaTable(BARS.path(offline_lake)).optimize.compact()
    assert table.refresh() is True
    for key, frame in before.groups.items():
        assert table.view.groups[key].equals(frame)


def test_the_latest_prediction_of_a_bar_wins(offline_lake: Settings) -> None:
    rows = written.gold_of(written.bars(("AAPL",), count=40))
    early, late = (
        pl.lit(text).str.to_datetime(time_unit="us", time_zone="UTC") for text in ("2026-01-01", "2026-01-02")
    )
    written.write(offline_lake, SIGNALS, rows.with_columns(late.alias("as_of"), pl.lit("SELL").alias("signal")))
    written.write(
        offline_lake,
        SIGNALS,
        rows.with_columns(early.alias("as_of"), pl.lit("BUY").alias("signal"), pl.lit("older").alias("model_version")),
    )
    unique = ("symbol", "interval", "event_time")
    table = CachedTable(SIGNALS, offline_lake, group_by=("symbol", "interval"), unique=unique)
    table.refresh()
    assert set(table.view.group("AAPL", "1d")["signal"]) == {"SELL"}


def test_a_table_with_more_columns_and_one_with_fewer_are_read(offline_lake: Settings) -> None:
    rows = (
        written.bars(("AAPL",), count=5).select("symbol", "interval", "event_time", "close").with_columns(new=pl.lit(1))
    )
    write_deltalake(BARS.path(offline_lake), rows.to_arrow())
    table = _bars(offline_lake)
    table.refresh()
    assert table.view.state == "ready"
    assert table.view.group("AAPL", "1d")["volume"].null_count() == 5
    evolved = rows.with_columns(newer=pl.lit("x"), event_time=pl.col("event_time") + pl.duration(days=900))
    write_deltalake(BARS.path(offline_lake), evolved.to_arrow(), mode="append", schema_mode="merge")
    table.refresh()
    assert table.view.group("AAPL", "1d").height == 10


def test_a_table_without_its_key_is_a_problem_in_plain_words(offline_lake: Settings) -> None:
    write_deltalake(BARS.path(offline_lake), pl.DataFrame({"close": [1.0]}).to_arrow())
    table = _bars(offline_lake)
    assert table.refresh() is True
    assert table.view.state == "broken"
    assert table.view.problem == "silver/bars has no column symbol, interval, event_time"
    assert table.refresh() is False


@pytest.mark.parametrize("harm", ["log", "file", "version"])
def test_a_damaged_table_keeps_what_was_known_and_recovers(offline_lake: Settings, harm: str) -> None:
    rows = written.bars(("AAPL",), count=30)
    written.write_bars(offline_lake, rows.head(29))
    table = _bars(offline_lake)
    table.refresh()
    folder = Path(BARS.path(offline_lake))
    if harm == "log":
        next_commit = folder / "_delta_log" / f"{table.view.version + 1:020}.json"  # type: ignore[operator]
        next_commit.write_text('{"add": {"path"')
    elif harm == "version":
        commit = folder / "_delta_log" / f"{table.view.version + 1:020}.json"  # type: ignore[operator]
        commit.write_text('{"protocol":{"minReaderVersion":99,"minWriterVersion":99}}\n')
        next_commit = commit
    else:
        written.write_bars(offline_lake, rows.tail(1))
        newest = max(folder.glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
        content = newest.read_bytes()
        newest.unlink()
    assert table.refresh() is True
    assert table.view.state == "broken"
    problem = table.view.problem or ""
    assert "silver/bars" in problem
    assert str(offline_lake.data_dir) not in problem
    assert "Traceback" not in problem
    assert table.view.group("AAPL", "1d").height == 29
    if harm == "file":
        newest.write_bytes(content)
    else:
        next_commit.unlink()
    assert table.refresh() is True
    assert (table.view.state, table.view.problem) == ("ready", None)


def test_a_deleted_lake_is_absent_and_a_new_one_is_read_afresh(offline_lake: Settings) -> None:
    written.write_bars(offline_lake, written.bars(("AAPL",), count=30))
    table = _bars(offline_lake)
    table.refresh()
    shutil.rmtree(offline_lake.data_dir)
    assert table.refresh() is True
    assert table.view.state == "absent"
    assert table.refresh() is False
    written.write_bars(offline_lake, written.bars(("FB",), count=20))
    assert table.refresh() is True
    assert list(table.view.groups) == [("FB", "1d")]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 12), st.floats(1, 9)), min_size=1, max_size=8))
def test_bars_that_come_one_by_one_in_any_order_are_shown_as_if_read_at_once(
    tmp_path: Path, days: list[tuple[int, float]]
) -> None:
    """A bar that follows all others takes a shorter way; one that is late, or there already, must not."""
    lake = Settings(data_dir=Path(tempfile.mkdtemp(dir=tmp_path)))
    pattern = written.bars(("AAPL",), count=13)
    slowly = _bars(lake, keep=5)
    for day, volume in days:
        written.write_bars(lake, pattern[day].with_columns(volume=pl.lit(volume)))
        slowly.refresh()
    expected = pl.DataFrame(
        [{"event_time": pattern["event_time"][day], "volume": volume} for day, volume in dict(days).items()]
    ).sort("event_time")
    assert slowly.view.group("AAPL", "1d").select("event_time", "volume").equals(expected.tail(5))


def test_files_that_lack_a_part_of_the_key_hide_it_in_no_other_file(offline_lake: Settings) -> None:
    def step(number: int, currency: str | None) -> pl.DataFrame:
        named = {"asset_class": "stock", "interval": "1d", "event_time": frames.day(number), "equity": float(number)}
        return frames.frame(EQUITY, [{**named, "currency": currency}])

    for number in range(6):
        old = step(number, None).select("asset_class", "interval", "event_time", "equity")
        fields = [EQUITY.schema.field(name) for name in old.columns]
        write_deltalake(EQUITY.path(offline_lake), old.to_arrow().cast(pa.schema(fields)), mode="append")
    table = CachedTable(EQUITY, offline_lake, group_by=ACCOUNT)
    table.refresh()
    assert set(table.view.groups) == {("stock", "1d", "")}
    for number in range(6):
        written.write(offline_lake, EQUITY, step(number, "EUR"))
    for seen in (table, CachedTable(EQUITY, offline_lake, group_by=ACCOUNT)):
        seen.refresh()
        for currency in (None, "EUR"):
            assert seen.view.group("stock", "1d", currency)["equity"].to_list() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
