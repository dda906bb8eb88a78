"""The sensor that looks for what is wrong and has it said. It acts on nothing but its cursor and the notifier."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from financelake_assets.automation import alerts, decisions, notifier
from financelake_assets.config import Settings
from financelake_assets.gold import checks as gold
from financelake_assets.gold import performance
from financelake_assets.gold.derived import PORTFOLIO
from financelake_assets.model import monitoring, registry
from financelake_assets.resources import streams
from financelake_assets.resources.dagster import LakeResource, TopicsResource, total
from financelake_assets.silver import checks as silver
from financelake_assets.silver.checkpoint import QUERY, consumed_offsets
from financelake_assets.silver.ledger import read_ledger

_RECENT_SECONDS = 24 * 3600


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING, name="alerts")
def watch_lake(context: dg.SensorEvaluationContext, lake: LakeResource, topics: TopicsResource) -> dg.SensorResult:
    """Say what is wrong with the lake: to the log, and to the addresses in the settings."""
    from financelake_assets.bronze.broker import BrokerUnavailableError

    settings = lake.settings
    behind, problem = 0, None
    try:
        behind = total(decisions.lag(consumed_offsets(settings), topics.watermarks()))
    except BrokerUnavailableError as error:
        problem = str(error)
    facts = _facts(context.instance, settings, behind, problem)
    active = alerts.conditions(facts, settings.alerts, settings.model.max_age_days)
    said = json.loads(context.cursor) if context.cursor else {}
    out = alerts.outbox(active, said, time.time(), settings.alerts)
    notifier.send(out, settings.alerts, context.log.warning)
    summary = f"{len(active)} conditions, {len(out.alerts)} said now, {len(out.over)} over"
    return dg.SensorResult(cursor=json.dumps(dict(out.said)), skip_reason=dg.SkipReason(summary))


def _facts(instance: dg.DagsterInstance, settings: Settings, behind: int, broker: str | None) -> alerts.LakeFacts:
    record = registry.champion(settings)
    # while messages wait, a batch may be half written, and the ledger says nothing
    ledger = None if behind or broker else read_ledger(settings)
    return alerts.LakeFacts(
        streams={name: _stream_facts(settings, name) for name in streams.QUERIES},
        lag=behind,
        silver_idle_seconds=_idle_seconds(settings),
        unbalanced=0 if ledger is None or ledger.balanced else abs(ledger.missing),
        champion_age_days=None if record is None else (datetime.now(UTC) - record.trained_at).total_seconds() / 86_400,
        failed_runs=_failed_runs(instance),
        broker=broker,
        drift=None if record is None else monitoring.last_verdict(settings, record),
        failed_checks=failed_checks(instance),
        kill_switch=performance.halted(PORTFOLIO.scan(settings).collect()),
    )


def _stream_facts(settings: Settings, name: str) -> alerts.StreamFacts:
    failure = streams.last_failure(settings, name)
    return alerts.StreamFacts(failure.count, failure.error)


def _idle_seconds(settings: Settings) -> float:
    commits = Path(settings.checkpoint(QUERY)) / "commits"
    try:
        return time.time() - commits.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # never started: the bronze_offsets sensor says so


def failed_checks(instance: dg.DagsterInstance) -> dict[str, str]:
    """Checks of tables that failed the last time; not the ledger's, which is looked at here, and no warnings."""
    grave = {
        check.spec.key: check
        for check in (*silver.CHECKS, *gold.CHECKS)
        if check.severity == dg.AssetCheckSeverity.ERROR and check.name != silver.LEDGER
    }
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(grave))
    return {
        f"{grave[key].table.full_name}/{key.name}": grave[key].description
        for key, record in latest.items()
        if record.status.value == "FAILED"
    }


def _failed_runs(instance: dg.DagsterInstance) -> dict[str, str]:
    since = datetime.fromtimestamp(time.time() - _RECENT_SECONDS, UTC)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    records = instance.get_run_records(failed, limit=20)
    return {record.dagster_run.run_id: record.dagster_run.job_name for record in records}
