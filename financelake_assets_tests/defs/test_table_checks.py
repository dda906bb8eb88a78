"""Asset checks on tables that were damaged on purpose: what guards them says so, and what follows waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings
from financelake_assets.definitions import defs
from financelake_assets.defs.gold import checks as gold
from financelake_assets.defs.operations import sensors
from financelake_assets.defs.resources import LakeResource
from financelake_assets.defs.silver import checks as silver
from financelake_assets.defs.table_checks import Check, CheckOutcome, every_table_has
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.silver.schema import BARS, FINDINGS
from financelake_assets.storage.delta import TableSpec

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
OF_TABLES = ("schema", "unique_key", "values")


def append(settings: Settings, table: TableSpec, *rows: dict[str, object]) -> None:
    """Rows with some columns; the others are null."""
    table.ensure(settings)
    frame = pl.DataFrame([{**dict.fromkeys(table.schema.names), **row} for row in rows], schema=table.empty.schema)
    write_deltalake(table.path(settings), frame.to_arrow().cast(table.schema), mode="append")


def bar(minute: int, **more: object) -> dict[str, object]:
    """A minute of AAPL."""
    event_time = NOON + timedelta(minutes=minute)
    prices = dict.fromkeys(("open", "high", "low", "close"), 5.0)
    return {"symbol": "AAPL", "interval": "1m", "event_time": event_time, **prices, **more}


def signal(**more: object) -> dict[str, object]:
    """A signal that breaks no rule."""
    row = {**bar(0), "horizon": 1, "model_version": "rf-1", "signal": "BUY", "confidence": 0.6, "cost_bps": 1.0}
    return {**row, **more}


def found(settings: Settings, checks: list[Check], table: TableSpec, name: str) -> CheckOutcome:
    """What one check says."""
    (check,) = (one for one in checks if one.table == table and one.name == name)
    return check.find(settings)


def single(check: str) -> dg.JobDefinition:
    """A job of one check of silver/bars, as its page starts it."""
    wanted = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(["silver", "bars"]), check))
    return dg.define_asset_job("single", wanted).resolve(asset_graph=defs.resolve_asset_graph())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.full_name)
def test_a_table_as_declared_is_well_and_so_is_one_that_is_not_there_yet(
    table: TableSpec, offline_lake: Settings
) -> None:
    for check in every_table_has(table):
        assert check.find(offline_lake).passed
    table.ensure(offline_lake)
    for check in every_table_has(table):
        assert check.find(offline_lake).passed, check.name


def test_every_table_that_is_an_asset_has_its_checks() -> None:
    graph = defs.resolve_asset_graph()
    for table in TABLES:
        key = dg.AssetKey([table.layer, table.name])
        if table.layer in ("silver", "gold") and graph.has(key):
            names = {check.name for check in graph.get_check_keys_for_assets([key])}
            assert {"schema", "unique_key"} <= names, table.full_name
            assert ("values" in names) == bool(table.rules), table.full_name


def test_a_key_that_is_there_twice_is_counted(offline_lake: Settings) -> None:
    append(offline_lake, BARS, bar(0), bar(1), bar(1))
    finding = found(offline_lake, silver.CHECKS, BARS, "unique_key")
    assert (finding.passed, finding.metadata) == (False, {"repeated_keys": 1})


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ({"signal": "SHORT"}, "signal"),
        ({"signal": "HOLD", "reason": None}, "hold_has_a_reason"),
        ({"confidence": 1.01}, "confidence"),
        ({"cost_bps": -0.1}, "cost_not_negative"),
    ],
)
def test_a_row_that_breaks_a_rule_is_counted_by_rule(
    broken: dict[str, object], rule: str, offline_lake: Settings
) -> None:
    append(offline_lake, SIGNALS, signal(), signal(confidence=None), signal(signal="HOLD", reason="costs"))
    assert found(offline_lake, gold.CHECKS, SIGNALS, "values").passed, "what is not known breaks no rule"
    append(offline_lake, SIGNALS, signal(**broken))
    finding = found(offline_lake, gold.CHECKS, SIGNALS, "values")
    assert not finding.passed
    assert finding.metadata["rows_that_break"] == {**dict.fromkeys(SIGNALS.rules, 0), rule: 1}


def test_a_column_that_is_missing_or_of_another_type_is_named_and_one_too_many_is_no_fault(
    offline_lake: Settings,
) -> None:
    declared = PREDICTIONS.empty
    other = declared.drop("coverage").with_columns(pl.col("close").cast(pl.String), extra=pl.lit(1))
    write_deltalake(PREDICTIONS.path(offline_lake), other.to_arrow())
    finding = found(offline_lake, gold.CHECKS, PREDICTIONS, "schema")
    assert not finding.passed
    assert finding.metadata["missing"] == ["coverage"]
    assert list(finding.metadata["other_type"]) == ["close"]
    assert finding.metadata["undeclared"] == ["extra"]


def test_series_with_more_gaps_than_a_hundredth_are_named(offline_lake: Settings) -> None:
    append(offline_lake, BARS, *(bar(minute) for minute in range(100)))
    gap = {**bar(100), "kind": "gap"}
    append(offline_lake, FINDINGS, {**gap, "missing": 1})
    assert found(offline_lake, silver.CHECKS, FINDINGS, "gaps").passed
    append(offline_lake, FINDINGS, {**gap, "event_time": NOON + timedelta(days=1), "missing": 1})
    finding = found(offline_lake, silver.CHECKS, FINDINGS, "gaps")
    assert not finding.passed
    assert finding.metadata["bars_missing_in"] == {"AAPL 1m": 2}


def test_no_model_learns_from_bars_that_a_blocking_check_refuses(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LakeResource, "settings", offline_lake)
    append(offline_lake, BARS, bar(1), bar(1))
    done = defs.get_repository_def().get_job("train_model").execute_in_process(raise_on_error=False, partition_key="1d")
    failed = {each.check_name for each in done.get_asset_check_evaluations() if not each.passed}
    assert failed == {"unique_key"}
    assert not done.success
    assert not done.asset_materializations_for_node("random_forest")
    assert "random_forest" not in {event.step_key for event in done.all_events if event.is_step_start}


def test_a_single_check_can_be_run_by_itself(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LakeResource, "settings", offline_lake)
    append(offline_lake, BARS, bar(1), bar(1))
    (evaluation,) = single("unique_key").execute_in_process(raise_on_error=False).get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == ("unique_key", False)


def test_a_check_that_fails_is_an_alert_until_it_passes(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LakeResource, "settings", offline_lake)
    append(offline_lake, BARS, bar(1), bar(1))
    job = single("unique_key")
    with dg.DagsterInstance.ephemeral() as instance:
        assert sensors.failed_checks(instance) == {}
        job.execute_in_process(instance=instance, raise_on_error=False)
        assert sensors.failed_checks(instance) == {
            "silver/bars/unique_key": "one row for each symbol, interval, event_time"
        }
        DeltaTable(BARS.path(offline_lake)).delete()
        job.execute_in_process(instance=instance)
        assert sensors.failed_checks(instance) == {}
