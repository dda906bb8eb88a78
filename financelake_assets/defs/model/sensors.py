"""The sensor that starts a market's training when one is due, and keeps the gold query running."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from financelake_assets.bronze.feed_choice import loads_history
from financelake_assets.catalogue import SCORED
from financelake_assets.config import Settings
from financelake_assets.defs import reporting, run_history
from financelake_assets.defs.model.jobs import train_model
from financelake_assets.defs.news import NewsResource
from financelake_assets.defs.reporting import Cursor
from financelake_assets.defs.resources import (
    ContinuousStreamsResource,
    LakeResource,
    TablesResource,
    TopicsResource,
)
from financelake_assets.gold import monitoring
from financelake_assets.gold import query as gold
from financelake_assets.model import markets, readiness, registry
from financelake_assets.model.champions import champions_of, newest_of
from financelake_assets.model.readiness import MarketBars
from financelake_assets.model.record import ModelRecord
from financelake_assets.operations import decisions
from financelake_assets.operations.decisions import TRAIN_JOB
from financelake_assets.silver.schema import BARS
from financelake_assets.streams.keeping import keep_running

_TRAINED_JUST_NOW = timedelta(hours=1)
_FOLLOWED: dict[str, readiness.Followed] = {}
"""By the place of the tables: what was counted is kept from tick to tick."""


@dg.sensor(job=train_model, minimum_interval_seconds=2, default_status=dg.DefaultSensorStatus.RUNNING, name="champion")
def champion(
    context: dg.SensorEvaluationContext,
    lake: LakeResource,
    topics: TopicsResource,
    tables: TablesResource,
    streams: ContinuousStreamsResource,
    news: NewsResource,
) -> dg.SensorResult | dg.SkipReason:
    """Start the training of a market that is due, and keep the gold query running if there is a champion."""
    from financelake_assets.bronze.broker import BrokerUnavailableError

    settings = lake.settings
    news.wait("champion", calm=lambda: gold.QUERY in streams.streams.active() or bool(gold.waits_for(settings)))
    try:
        behind = topics.lag()
    except BrokerUnavailableError as error:
        return dg.SkipReason(f"the broker does not answer, the next tick retries: {error}")
    training, why = _next_training(context.instance, settings, tables, behind)
    lacking = gold.waits_for(settings)
    if lacking:
        said = f"waits for {lacking}"
    elif settings.streams.continuous:
        said = keep_running(streams.streams, settings, gold.QUERY)
    else:
        said = "starts when enough messages wait"
    cursor = Cursor.parse(context.cursor)
    written, told = reporting.report(tables, SCORED, cursor.told, time.time(), {})
    requests = [] if training is None else [training]
    return dg.SensorResult(
        run_requests=requests,
        asset_events=written,
        cursor=Cursor(told=told).dump(),
        skip_reason=None if requests else dg.SkipReason(f"training: {why}; query gold {said}"),
    )


def _next_training(
    instance: dg.DagsterInstance, settings: Settings, tables: TablesResource, behind: int
) -> tuple[dg.RunRequest | None, str]:
    """The training to start now, and its reason; or none, and what all markets wait for."""
    facts = tables.facts(BARS)
    state = decisions.LakeState(
        silver_rows=0 if facts is None else facts.rows,
        lag=behind,
        loading_history=loads_history(settings),
        in_flight=run_history.of_job(instance, TRAIN_JOB).in_flight,
    )
    nothing = decisions.nothing_to_train(state)
    if nothing or facts is None:
        return None, nothing or "there are no bars yet"
    versions = registry.versions(settings)
    states = _markets(instance, settings, facts.version, versions, behind)
    market, why = decisions.next_training(states, settings.model)
    if market is None:
        return None, why
    newest = newest_of(versions).get(markets.named(market))
    after = "none" if newest is None else newest.model_version
    # a run key never runs twice, so it contains everything that distinguishes one attempt from another
    key = f"{market}/{after}/{states[market].new_rows}/{states[market].failures}"
    return dg.RunRequest(run_key=key, partition_key=market, tags={"financelake/why": why}), why


def _markets(
    instance: dg.DagsterInstance, settings: Settings, silver_version: int, versions: list[ModelRecord], behind: int
) -> dict[str, decisions.MarketState]:
    """The state of each market that has bars and that the settings want a model for; those with signals come first."""
    now, newest, champions = datetime.now(UTC), newest_of(versions), champions_of(versions)
    followed = _FOLLOWED.setdefault(str(settings.tables), readiness.Followed(settings))
    found = followed.of(silver_version, {market: record.trained_at for market, record in newest.items()})
    return {
        market.name: _state(instance, settings, found[market], newest.get(market), champions.get(market), behind, now)
        for market in sorted(markets.wanted(settings.model, found), key=lambda one: one.further is not None)
    }


def _state(
    instance: dg.DagsterInstance,
    settings: Settings,
    bars: MarketBars,
    newest: ModelRecord | None,
    champion: ModelRecord | None,
    behind: int,
    now: datetime,
) -> decisions.MarketState:
    past = run_history.of_job(instance, TRAIN_JOB, bars.market.name)
    # with fewer new bars the verdict changes nothing, and reading it at every tick costs
    judged = bars.new >= settings.model.retrain_rows // 10
    return decisions.MarketState(
        labelled=bars.labelled,
        progress=bars.progress(settings.model, now),
        loading=bars.loading(behind, now),
        new_rows=bars.new,
        trained_days=None if newest is None else (now - newest.trained_at).total_seconds() / 86_400,
        failures=past.failures,
        seconds_since_failure=past.seconds_since_failure,
        drift=monitoring.last_verdict(settings, champion) if judged and champion is not None else None,
        outdated=champion is not None and (champion.outdated or _lacks_plugins(settings, champion, newest, now)),
    )


def _lacks_plugins(settings: Settings, champion: ModelRecord, newest: ModelRecord | None, now: datetime) -> bool:
    """Whether the champion cannot be scored for lack of its plug-ins, and no training has just made it.

    A training sees a plug-in that was updated; this process has the code that it loaded, until the lake is restarted.
    """
    if newest is not None and now - newest.trained_at < _TRAINED_JUST_NOW:
        return False
    return champion.plugin_problem(settings.skipped_plugins) is not None
