"""Dagster's history is bounded: by what is told of, how large it is, and how long it is kept. Bytes are counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from financelake_assets.config import Settings
from financelake_assets.defs.history import forget
from financelake_assets.defs.reporting import SLOT_SECONDS, Told, report
from financelake_assets.defs.resources import LakeResource, TablesResource
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS

TABLES = (BARS, TICKS, QUARANTINE, PREDICTIONS, SIGNALS, SCORECARD)
MOST_BYTES_A_SLOT_AND_TABLE = 100_000
"""docs/operations.md says 10 MB a day and table; there are 96 slots of a quarter of an hour."""
TICK_SECONDS = 5


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One with SQLite files, as a laptop has."""
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as made:
        yield made


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_a_quarter_of_an_hour_of_commits_at_every_tick_stays_within_the_stated_bound(
    instance: dg.DagsterInstance, offline_lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(LakeResource, "settings", offline_lake)
    tables = TablesResource(lake=LakeResource())
    for table in TABLES:
        table.ensure(offline_lake)
    version = [0]
    monkeypatch.setattr(TablesResource, "version", lambda *_: str(version[0]))
    known: dict[str, Told] = {}
    begun = _bytes(tmp_path / "home")
    lineage = 0
    for tick in range(SLOT_SECONDS // TICK_SECONDS):
        version[0] += 1
        events, known = report(tables, TABLES, known, 1.8e9 + tick * TICK_SECONDS, {"messages_behind": 0})
        for event in events:
            instance.report_runless_asset_event(event)
            lineage += "dagster/column_lineage" in event.metadata
    assert lineage <= 2 * len(TABLES), "it goes with the quarter of an hour's materialisation alone"
    assert _bytes(tmp_path / "home") - begun < MOST_BYTES_A_SLOT_AND_TABLE * len(TABLES)


def test_what_is_old_is_forgotten_but_not_what_was_told_last(instance: dg.DagsterInstance):
    key, quiet = dg.AssetKey("busy"), dg.AssetKey("quiet")
    instance.report_runless_asset_event(dg.AssetMaterialization(quiet, metadata={"rows": 1}))
    for number in range(20):
        instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata={"rows": number}))
        instance.report_runless_asset_event(dg.AssetObservation(key, metadata={"rows": number}))
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert forget(instance, datetime.now(UTC) - timedelta(days=1)).events == 0
    assert forget(instance, soon).events == 38
    assert forget(instance, soon).events == 0
    for asset, rows in ((key, 19), (quiet, 1)):
        last = instance.get_latest_materialization_event(asset)
        assert last is not None
        assert last.asset_materialization is not None
        assert last.asset_materialization.metadata["rows"].value == rows
    assert len(instance.fetch_materializations(key, limit=100).records) == 1
    assert len(instance.fetch_observations(key, limit=100).records) == 1


@dg.asset
def made_once() -> int:
    """An asset that one run makes."""
    return 1


def test_runs_that_are_over_are_forgotten_but_not_the_one_that_made_an_asset_last(instance: dg.DagsterInstance):
    runs = [dg.materialize([made_once], instance=instance).run_id for _ in range(3)]
    assert forget(instance, datetime.now(UTC) - timedelta(days=1)).runs == 0
    assert forget(instance, datetime.now(UTC) + timedelta(minutes=1)).runs == 2
    assert [run.run_id for run in instance.get_runs()] == [runs[-1]]
    assert instance.get_latest_materialization_event(made_once.key) is not None
