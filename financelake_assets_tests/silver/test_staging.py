"""What tasks stage and a driver commits: the same tables as without it, however messages are cut into tasks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.bronze.universe import Universe
from financelake_assets.config import Settings
from financelake_assets.providers.base import Instrument
from financelake_assets.silver import sources, staging, writing
from financelake_assets.silver.cleaning import MESSAGES, cleaned
from financelake_assets.silver.committing import write_cleaned, write_staged
from financelake_assets.silver.holes import seen
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.silver.staged import Staged, StagingError, rules_of
from financelake_assets.silver.staging import Plan, Report
from financelake_assets.silver.writing import TopicIds
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.maintenance import maintain
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets.storage.staged_files import RuleError, statistics
from financelake_assets_tests.silver.messages import IDS, START
from financelake_assets_tests.silver.test_writing import TABLES, everything

UNIVERSE = {"AAPL": "stock", "MSFT": "stock"}
TOPIC = "bronze.stock"


def sent(offset: int, value: bytes | dict[str, Any], partition: int = 0) -> dict[str, Any]:
    """A message on the topic of stocks, taken by the broker some seconds after the start."""
    return {
        "key": b"AAPL",
        "value": value if isinstance(value, bytes) else json.dumps(value).encode(),
        "topic": TOPIC,
        "partition": partition,
        "offset": offset,
        "timestamp": START + timedelta(seconds=offset),
        "provider": b"test",
    }


def bar(day: int, close: float, symbol: str = "AAPL") -> dict[str, Any]:
    at = (START - timedelta(days=900 - day)).isoformat()
    return {"symbol": symbol, "interval": "1d", "event_time": at, "close": close}


def tick(second: float, price: float, **fields: Any) -> dict[str, Any]:
    at = (START - timedelta(days=1) + timedelta(seconds=second)).isoformat()
    return {"symbol": "AAPL", "interval": "tick", "event_time": at, "close": price, "volume": 0.5, **fields}


def table(messages: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(messages), schema=MESSAGES)


def plan_for(tables: OpenTables, ids: TopicIds = IDS) -> Plan:
    rules = {spec.full_name: rules_of(tables, spec) for spec in TABLES}
    return Plan(tables.settings.without_secrets(), UNIVERSE, ids, rules)


def staged(
    lake: Settings, tasks: Sequence[Sequence[dict[str, Any]]], batch: int = 4, ids: TopicIds = IDS
) -> tuple[OpenTables, Staged]:
    """What tasks stage of their messages, each given to it in small Arrow batches."""
    tables = OpenTables(lake)
    plan = plan_for(tables, ids)
    parts = [[table(of[at : at + batch]) for at in range(0, len(of), batch)] for of in tasks]
    return tables, Staged(tables, [staging.stage(part, plan) for part in parts])


def by_staging(lake: Settings, tasks: Sequence[Sequence[dict[str, Any]]], ids: TopicIds = IDS) -> None:
    """Write messages as a large batch is written."""
    tables, found = staged(lake, tasks, ids=ids)
    ranges: dict[int, tuple[int, int]] = {}
    for message in (message for of in tasks for message in of):
        first, end = ranges.get(message["partition"], (message["offset"], 0))
        ranges[message["partition"]] = (min(first, message["offset"]), max(end, message["offset"] + 1))
    write_staged(tables, found, {TOPIC: ranges}, ids)


def directly(lake: Settings, messages: Sequence[dict[str, Any]], ids: TopicIds = IDS) -> None:
    """Write messages as a small batch is written."""
    if messages:
        write_cleaned(OpenTables(lake), cleaned(pl.DataFrame(pl.from_arrow(table(messages))), UNIVERSE), ids)


def fresh(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Bars that silver does not have."""
    return [sent(first + n, bar(first + n, 1.0 + n)) for n in range(count)]


VALUES: list[Callable[[int], bytes | dict[str, Any]]] = [
    lambda n: bar(n // 9, 1.0 + n % 4),
    lambda _: bar(500, 1.0, "MSFT"),
    lambda n: bar(n + 20, 2.0),
    lambda n: tick(n * 7 % 200, 5.0 + n, trade_id=str(n // 6)),
    lambda n: tick(n * 11 % 200, 5.0 + n),
    lambda _: b"{",
]
kinds = st.lists(st.integers(0, len(VALUES) - 1), min_size=1, max_size=40)
partitions = st.lists(st.integers(0, 2), min_size=40, max_size=40)


@settings(max_examples=10, deadline=None)
@given(kinds, partitions, st.lists(st.integers(1, 39), max_size=3), st.booleans(), st.integers(1, 3))
def test_any_cut_into_batches_and_tasks_leaves_the_tables_that_no_cut_leaves(
    kinds: list[int], partitions: list[int], cuts: list[int], keyed: bool, tasks: int
):
    """Keyed messages of a symbol share a partition; others are spread, so that tasks share keys."""
    messages = [sent(n, VALUES[kind](n), 0 if keyed else partitions[n]) for n, kind in enumerate(kinds)]
    with tempfile.TemporaryDirectory() as folder:
        once, often = (Settings(data_dir=Path(folder) / name) for name in ("once", "often"))
        directly(once, messages)
        for number, (first, end) in enumerate(pairwise([0, *sorted(set(cuts) - {0}), 40])):
            part = messages[first:end]
            if number % 3 == 2:
                directly(often, part)
            elif part:
                by_staging(often, [[m for m in part if m["partition"] % tasks == task] for task in range(tasks)])
        found, expected = everything(often), everything(once)
    assert found == expected
    assert not any(found["uncounted"].values())


_TOLD_AGAIN: list[Callable[[int], bytes | dict[str, Any]]] = [
    # few instants, prices and sizes: what a topic carries is often what the topic before it carried
    lambda n: tick(n % 3, 5.0),
    lambda n: tick(n % 2, 6.0, symbol="MSFT"),
    lambda n: tick(n % 5, 5.0 + n % 3, trade_id=str(n % 4)),
    lambda n: bar(n % 5, 1.0 + n % 3),
    lambda n: {**tick(0, 9.0 + n), "interval": "1m"},
    lambda _: b"{",
]
told = st.lists(st.integers(0, len(_TOLD_AGAIN) - 1), min_size=1, max_size=15)
ways = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["staged", "plain"])), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(told, ways), min_size=1, max_size=3), st.integers(1, 2))
def test_topics_made_again_leave_the_same_tables_staged_or_plain_however_they_are_cut(
    topics: list[tuple[list[int], list[tuple[int, str]]]], tasks: int
):
    """Messages of a symbol share a partition, as keyed ones do: without a key nobody knows which trade came first."""
    with tempfile.TemporaryDirectory() as folder:
        plain, cut = (Settings(data_dir=Path(folder) / name) for name in ("plain", "cut"))
        for number, (kinds, ways) in enumerate(topics):
            ids = {**IDS, TOPIC: f"topic {number}"}
            values = [_TOLD_AGAIN[kind](n) for n, kind in enumerate(kinds)]
            messages = [
                {**sent(n, value, int("MSFT" in str(value))), "timestamp": START + timedelta(hours=number, seconds=n)}
                for n, value in enumerate(values)
            ]
            for lake in (plain, cut):
                sources.register(lake, ids, {TOPIC: {0: (0, 0), 1: (0, 0)}})
            directly(plain, messages, ids)
            begin = 0
            for size, way in [*ways, (len(messages), "staged")]:
                part = messages[begin : begin + size]
                begin += size
                if way == "plain" or not part:
                    directly(cut, part, ids)
                else:
                    by_staging(cut, [[m for m in part if m["partition"] % tasks == task] for task in range(tasks)], ids)
        found, expected = everything(cut), everything(plain)
    assert found == expected
    assert not any(found["uncounted"].values())
    assert {row[TICKS.schema.names.index("topic_id")] for row in found["silver/ticks"]} <= {
        f"topic {number}" for number in range(len(topics))
    }


def test_new_rows_are_committed_as_they_were_staged(offline_lake: Settings):
    tables, found = staged(offline_lake, [fresh(5), [sent(0, bar(0, 1.0, "MSFT"), 1), sent(1, b"{", 1)]])
    write_staged(tables, found, {TOPIC: {0: (0, 5), 1: (0, 2)}}, IDS)
    for spec, count in ((BARS, 2), (QUARANTINE, 1)):
        names = {file.name for file in found.files(spec)}
        assert {Path(uri).name for uri in spec.ensure(offline_lake).file_uris()} == names
        assert len(names) == count


def test_larger_bars_are_built_of_what_is_staged_as_of_anything_else(tmp_path: Path):
    minutes = [
        sent(n, {**tick(60 * n, 5.0 + n % 7, symbol="MSFT"), "interval": "1m"}, partition=1) for n in range(1, 12)
    ]
    trades = [sent(n, tick(n * 17, 5.0 + n % 5, trade_id=str(n))) for n in range(40)]
    days = [sent(n, bar(n, 1.0 + n, "MSFT"), partition=2) for n in range(3)]
    built = {"silver": {"built_intervals": ["5m", "1d"]}}
    once, often = (Settings.model_validate({"data_dir": tmp_path / name, **built}) for name in ("once", "often"))
    for lake in (once, often):
        Universe(lake, "test").add([Instrument(symbol, "stock") for symbol in UNIVERSE])
    directly(once, [*minutes, *trades, *days])
    by_staging(often, [minutes[:4], trades[:25], days])
    by_staging(often, [minutes[4:], trades[25:]])
    assert everything(often) == everything(once)
    found = BARS.scan(often).filter(pl.col("parts").is_not_null()).collect()
    assert set(found["symbol"]) == {"AAPL", "MSFT"}


def test_a_correction_and_a_repetition_of_known_bars_are_merged(offline_lake: Settings):
    by_staging(offline_lake, [fresh(5)])
    by_staging(offline_lake, [[sent(5, bar(0, 9.0)), sent(6, bar(1, 2.0)), sent(7, bar(7, 3.0))]])
    assert everything(offline_lake)["totals"]["silver/bars"] == (7, 1)
    feed = pl.DataFrame(BARS.ensure(offline_lake).load_cdf(starting_version=2).read_all())
    changes = feed.filter(pl.col("close").is_in([1.0, 9.0]) | (pl.col("_change_type") == "insert"))
    assert sorted(changes["_change_type"].to_list()) == [*["insert"] * 6, "update_postimage", "update_preimage"]


def test_a_batch_that_was_staged_twice_is_counted_once(offline_lake: Settings):
    """As after a kill between two commits, or by two drivers of the same checkpoint."""
    messages = [sent(n, VALUES[n % 6](n)) for n in range(30)]
    twice = [staged(offline_lake, [messages]) for _ in range(2)]
    for tables, found in [*twice, *reversed(twice)]:
        write_staged(tables, found, {TOPIC: {0: (0, 30)}}, IDS)
    counts = everything(offline_lake)["totals"].values()
    assert sum(sum(pair) for pair in counts) == 30


@pytest.mark.parametrize("last", TABLES, ids=lambda spec: spec.name)
def test_a_kill_between_two_commits_is_repaired_when_the_batch_is_staged_again(
    offline_lake: Settings, tmp_path: Path, last: TableSpec, monkeypatch: pytest.MonkeyPatch
):
    messages = [sent(n, VALUES[n % 6](n)) for n in range(30)]
    undisturbed = Settings(data_dir=tmp_path / "undisturbed")
    by_staging(undisturbed, [messages])
    real = writing.add_files

    def killed(spec: TableSpec, *arguments: Any) -> bool:
        done = real(spec, *arguments)
        if spec is last:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(writing, "add_files", killed)
    with pytest.raises(KeyboardInterrupt):
        by_staging(offline_lake, [messages])
    monkeypatch.undo()
    by_staging(offline_lake, [messages])
    assert everything(offline_lake) == everything(undisturbed)


def test_another_writer_between_the_look_and_the_commit_makes_the_driver_look_again(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
):
    messages = fresh(3)
    tables, found = staged(offline_lake, [messages])
    real, calls = DeltaTable.create_write_transaction, []

    def late(self: DeltaTable, *arguments: Any, **named: Any) -> None:
        calls.append(len(arguments[0]))
        if len(calls) == 1:
            monkeypatch.setattr(TableSpec, "turn", _no_turn)
            directly(offline_lake, messages[:2])
        real(self, *arguments, **named)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", late)
    write_staged(tables, found, {TOPIC: {0: (0, 3)}}, IDS)
    assert calls == [1]
    assert everything(offline_lake)["totals"]["silver/bars"] == (3, 0)
    assert everything(offline_lake)["uncounted"]["silver/bars"] == 0


def _no_turn(*_: Any) -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_a_file_that_is_not_where_the_driver_looks_is_not_committed(offline_lake: Settings):
    """As when an executor writes to a disk of its own."""
    tables = OpenTables(offline_lake)
    report = staging.stage([table(fresh(3))], plan_for(tables))
    staged_file = report.tables[BARS.full_name].rows
    assert staged_file is not None
    place = Path(BARS.path(offline_lake), staged_file.name)
    content = place.read_bytes()
    for wrong in (None, content[:-1]):
        place.unlink(missing_ok=True)
        if wrong is not None:
            place.write_bytes(wrong)
        with pytest.raises(StagingError, match=staged_file.name):
            Staged(tables, [report])


def test_a_message_that_no_table_counts_is_an_error(offline_lake: Settings):
    BARS.ensure(offline_lake)
    report = Report(seen(pl.DataFrame({"topic": [TOPIC], "partition": [0], "offset": [0]})), {})
    with pytest.raises(AssertionError, match="of 1 messages 0"):
        Staged(OpenTables(offline_lake), [report])


def test_a_rule_of_the_table_holds_for_staged_rows_too(offline_lake: Settings):
    tables = OpenTables(offline_lake)
    assert rules_of(tables, BARS).keys() == BARS.constraints.keys()
    rules = {**{spec.full_name: {} for spec in TABLES}, BARS.full_name: {"dear": "close > 2"}}
    with pytest.raises(RuleError, match="silver/bars breaks dear"):
        staging.stage([table(fresh(3))], Plan(offline_lake.without_secrets(), UNIVERSE, IDS, rules))
    assert BARS.ensure(offline_lake).file_uris() == []


def test_the_log_says_of_a_staged_file_what_it_says_of_any_other(offline_lake: Settings, tmp_path: Path):
    """Statistics are what readers skip files by."""
    messages = [sent(n, VALUES[n % 6](n)) for n in range(30)] + [sent(30, tick(1.123456, 2.0, trade_id="x" * 40))]
    other = Settings(data_dir=tmp_path / "other")
    by_staging(offline_lake, [messages])
    directly(other, messages)
    for spec in TABLES:
        ours, theirs = _logged(offline_lake, spec), _logged(other, spec)
        assert ours.keys() == theirs.keys()
        for kind in ("minValues", "maxValues", "nullCount"):
            stamps = ("processed_at", "quarantined_at")
            assert _least(ours[kind], stamps, kind) == _least(theirs[kind], stamps, kind), (spec.name, kind)


def _logged(lake: Settings, spec: TableSpec) -> dict[str, list[Any]]:
    actions = [
        json.loads(line)
        for file in Path(spec.path(lake), "_delta_log").glob("*.json")
        for line in file.read_text().splitlines()
    ]
    found = [json.loads(action["add"]["stats"]) for action in actions if "add" in action]
    return {kind: [stats[kind] for stats in found] for kind in found[0]}


def _least(told: list[dict[str, Any]], without: tuple[str, ...], kind: str) -> dict[str, Any]:
    """Over all files of a table, which may be cut otherwise."""
    whole: Callable[[list[Any]], Any] = {"minValues": min, "maxValues": max, "nullCount": sum}[kind]  # type: ignore[assignment]
    names = {name for one in told for name in one} - set(without)
    return {name: whole([one[name] for one in told if name in one]) for name in names}


def test_a_long_text_is_cut_so_that_it_stays_a_bound():
    told = json.loads(statistics(pl.DataFrame({"name": ["a" * 100, "b" * 100]})))
    assert told["minValues"]["name"] <= "a" * 100
    assert told["maxValues"]["name"] >= "b" * 100
    assert len(told["maxValues"]["name"]) == 65


def test_long_refused_messages_are_written_in_turns_and_kept_whole(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(staging, "AT_ONCE", 1_000)
    messages = [sent(n, bytes([97 + n]) * 900) for n in range(9)]
    tables, found = staged(offline_lake, [messages], batch=1)
    assert [file.groups for file in found.files(QUARANTINE)] == [[2, 2, 2, 2, 1]]
    assert pl.concat(found.refused())["offset"].to_list() == list(range(9))
    write_staged(tables, found, {TOPIC: {0: (0, 9)}}, IDS)
    assert pl.read_delta(QUARANTINE.path(offline_lake)).sort("offset")["raw"].to_list() == [
        message["value"] for message in messages
    ]


def test_staged_commits_leave_checkpoints_and_what_was_not_committed_is_deleted(offline_lake: Settings):
    for number in range(22):
        by_staging(offline_lake, [fresh(2, 2 * number)])
    log = [file.name for file in Path(BARS.path(offline_lake), "_delta_log").iterdir()]
    assert any(".checkpoint" in name for name in log)
    staged(offline_lake, [fresh(2, 100)])
    _, found = staged(offline_lake, [fresh(2, 200)])
    lost = Path(BARS.path(offline_lake), found.files(BARS)[0].name)
    before = BARS.ensure(offline_lake).to_pyarrow_table().num_rows
    import os

    long_ago = 1_000_000_000
    os.utime(lost, (long_ago, long_ago))
    maintain(BARS, offline_lake)
    assert not lost.exists()
    assert BARS.ensure(offline_lake).to_pyarrow_table().num_rows == before == 44
