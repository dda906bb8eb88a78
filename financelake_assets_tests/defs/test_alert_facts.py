"""The facts of the alert sensor, found out one by one: damage of one thing hides nothing of the others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from financelake_assets.config import Settings, get_settings
from financelake_assets.defs.operations import sensors
from financelake_assets.defs.reporting import report
from financelake_assets.defs.resources import LakeResource, TablesResource, TopicsResource
from financelake_assets.gold.paper.schema import PORTFOLIO
from financelake_assets.silver.checkpoint import QUERY
from financelake_assets.silver.schema import BARS, TICKS
from financelake_assets.storage.delta import TableSpec
from financelake_assets.streams.failures import record_failure
from financelake_assets_tests.shared_servers import free_ports
from financelake_assets_tests.silver.test_checkpoint import write_batch


@pytest.fixture
def watched(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A lake whose broker is down, with a query that fails."""
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(offline_lake.data_dir))
    monkeypatch.setenv("FINANCELAKE_KAFKA__BOOTSTRAP", f"127.0.0.1:{free_ports(1)[0]}")
    get_settings.cache_clear()
    for _ in range(2):
        record_failure(offline_lake, QUERY, "out of memory")
    yield get_settings()
    get_settings.cache_clear()


def cut_last_commit(lake: Settings, table: TableSpec) -> Path:
    """Leave half of a table's newest commit, as a machine that lost power does."""
    version = table.ensure(lake).version()
    file = Path(table.path(lake)) / "_delta_log" / f"{version:020}.json"
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    return file


def empty_offsets(lake: Settings) -> None:
    checkpoint = Path(lake.checkpoint(QUERY))
    write_batch(checkpoint, 0, {"bronze.stock": {"0": 7}}, committed=True)
    (checkpoint / "offsets" / "0").write_text("")


def look(cursor: str | None = None) -> dict[str, dict[str, float]]:
    lake = LakeResource()
    resources = {"lake": lake, "topics": TopicsResource(lake=lake)}
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, cursor, resources=resources) as context,
    ):
        result = sensors.watch_lake(context)
    assert isinstance(result, dg.SensorResult)
    return dict(json.loads(result.cursor or ""))


def test_damage_of_each_thing_is_told_beside_what_else_is_wrong(watched: Settings):
    empty_offsets(watched)
    cut_last_commit(watched, PORTFOLIO)
    (watched.run_dir / "clock.json").write_text("")
    said = set(look()["log"])
    assert said >= {"unknown/checkpoint", "unknown/portfolio", "bronze/broker", "stream/silver"}


def test_a_dead_address_is_told_of_in_the_log_and_costs_no_cursor(watched: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FINANCELAKE_ALERTS__URLS", json.dumps([f"json://127.0.0.1:{free_ports(1)[0]}/x"]))
    get_settings.cache_clear()
    first = look()
    assert set(first["log"]) >= {"bronze/broker", "stream/silver"}
    assert first["1"] == {}
    second = look(json.dumps(first))
    assert "alerts/1" in second["log"]
    assert {key: second["log"][key] for key in first["log"]} == first["log"], "nothing is said again"


def test_a_table_whose_last_commit_is_cut_hides_no_other_from_dagster(watched: Settings):
    BARS.ensure(watched)
    TICKS.ensure(watched)
    tables = TablesResource(lake=LakeResource())
    _, known = report(tables, (BARS, TICKS), {}, 0.0, {})
    cut_last_commit(watched, BARS)
    events, told = report(
        TablesResource(lake=LakeResource()), (BARS, TICKS), {"silver/bars": known["silver/bars"]}, 0, {}
    )
    assert [event.asset_key.path for event in events] == [["silver", "ticks"]]
    assert told == known


def test_a_commit_time_that_is_yet_to_come_is_no_idle_time(watched: Settings):
    commits = Path(watched.checkpoint(QUERY)) / "commits"
    commits.mkdir(parents=True)
    os.utime(commits, (10**10, 10**10))
    assert sensors._idle_seconds(watched, 1e9) == 0
