"""Gold in Dagster: the tables that the continuous gold query writes, and the dashboard that shows them."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import dagster as dg

from financelake_assets.catalogue import BACKTEST, PAPER, SCORED, SUMMARIES
from financelake_assets.defs.model.assets import FOREST, WITH_SIGNALS
from financelake_assets.defs.resources import RETRIES, ContinuousStreamsResource, LakeResource, TablesResource
from financelake_assets.defs.table_assets import OWNERS, markdown_table, table_key, table_spec
from financelake_assets.gold import silver_changes as feed
from financelake_assets.gold.history import repair
from financelake_assets.gold.paper import backtest_store
from financelake_assets.gold.paper.schema import EQUITY, PORTFOLIO, POSITIONS, TRADES
from financelake_assets.gold.query import QUERY, waits_for
from financelake_assets.gold.schema import (
    CALIBRATION,
    CONTRIBUTIONS,
    CORRECTIONS,
    DAILY,
    LATEST,
    PREDICTIONS,
    SCORECARD,
    SIGNALS,
    SUMMARY,
)
from financelake_assets.gold.standing import Standing
from financelake_assets.model.markets import Market
from financelake_assets.model.schema import WALK_FORWARD
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec

DEPS = [table_key(BARS), FOREST]
_OUTCOMES = [table_key(BARS), table_key(PREDICTIONS), table_key(SIGNALS)]

_SOURCES: dict[str, tuple[TableSpec, ...]] = {
    **dict.fromkeys((EQUITY.name, TRADES.name), (SIGNALS, PREDICTIONS, BARS)),
    POSITIONS.name: (EQUITY,),
    PORTFOLIO.name: (EQUITY, TRADES),
    LATEST.name: (SIGNALS, PREDICTIONS),
    CONTRIBUTIONS.name: (LATEST, BARS),
    **dict.fromkeys((SUMMARY.name, DAILY.name, CALIBRATION.name), (SCORECARD,)),
}
"""The tables from which each derived table is computed."""

PUBLISHED = [
    dg.AssetSpec(
        ["published", table.name],
        deps=[table_key(table)],
        group_name="gold",
        kinds={"kafka"},
        owners=OWNERS,
        description=f"Kafka topic gold.{table.name}: each row of gold/{table.name} once, as JSON keyed by symbol. The "
        "process publisher writes it.",
        metadata={"dagster/uri": f"kafka:gold.{table.name}"},
    )
    for table in (SIGNALS, PREDICTIONS)
]

DASHBOARD = dg.AssetSpec(
    "dashboard",
    deps=[table_key(table) for table in (PREDICTIONS, SIGNALS, SCORECARD, EQUITY, SUMMARY)],
    group_name="gold",
    kinds={"plotly"},
    owners=OWNERS,
    description="FinanceLake Pro, the dashboard. It reads gold and silver with delta-rs.",
)


@dg.multi_asset(
    specs=[
        table_spec(PREDICTIONS, DEPS, {"spark"}),
        table_spec(SIGNALS, [*DEPS, table_key(PREDICTIONS)], {"spark"}),
        table_spec(SCORECARD, _OUTCOMES, {"polars"}),
        table_spec(CORRECTIONS, [*_OUTCOMES, table_key(SCORECARD)], {"polars"}),
    ],
    can_subset=True,
    name="gold_tables",
)
def gold_tables(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    tables: TablesResource,
    streams: ContinuousStreamsResource,
) -> Iterator[dg.MaterializeResult[None]]:
    """Make sure that the gold query runs and has scored all bars that are in silver now."""
    lacking = waits_for(lake.settings)
    if lacking:
        raise dg.Failure(f"the gold query waits for {lacking}", allow_retries=False)
    until, checkpoint = int(tables.version(BARS) or 0), Path(lake.settings.checkpoint(QUERY))
    streams.drain(QUERY, lambda: max(0, until - feed.consumed_version(checkpoint)), context.log.info)
    for table in SCORED:
        if table_key(table) in context.selected_asset_keys:
            yield tables.materialised(table)


@dg.multi_asset(
    specs=[
        table_spec(table, [table_key(source) for source in _SOURCES[table.name]], {"polars"})
        for table in (*PAPER, *SUMMARIES)
    ],
    can_subset=True,
    name="gold_standing",
)
def gold_standing(
    context: dg.AssetExecutionContext, lake: LakeResource, tables: TablesResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Move the paper portfolio forward to the newest signals, and write the summaries again."""
    taken = Standing(lake.settings).refresh()
    context.log.info(f"the paper portfolio took {taken.steps} steps")
    for table in (*PAPER, *SUMMARIES):
        if table_key(table) in context.selected_asset_keys:
            yield tables.materialised(table)


@dg.asset(
    key=["gold", "report"],
    deps=[table_key(table) for table in (EQUITY, CALIBRATION, LATEST)],
    group_name="gold",
    kinds={"polars", "matplotlib"},
    owners=OWNERS,
    # at most once an hour, and only if all inputs have changed: an idle lake draws nothing
    automation_condition=dg.AutomationCondition.on_cron("0 * * * *"),
    retry_policy=RETRIES,
)
def gold_report(lake: LakeResource) -> dg.MaterializeResult[None]:
    """Equity and calibration as figures, and the newest signals, at most once an hour and only after changes."""
    from financelake_assets.gold import report  # the code location loads faster without matplotlib
    from financelake_assets.model.figure import as_markdown, as_png

    shown: dict[str, dg.MetadataValue] = {}
    for name, table, draw in (
        ("equity", EQUITY, report.equity_figure),
        ("calibration", CALIBRATION, report.calibration_figure),
    ):
        rows = table.scan(lake.settings).collect()
        if not rows.is_empty():
            shown[name] = dg.MetadataValue.md(as_markdown(as_png(draw(rows)), name))
    latest = report.newest_signals(LATEST.scan(lake.settings).collect())
    return dg.MaterializeResult(metadata={**shown, "newest_signals": dg.MetadataValue.md(markdown_table(latest))})


@dg.multi_asset(
    specs=[
        table_spec(table, [table_key(WALK_FORWARD), table_key(BARS)], {"polars"}).replace_attributes(
            # after each training, and not with each bar
            automation_condition=dg.AutomationCondition.eager().ignore(dg.AssetSelection.assets(table_key(BARS)))
        )
        for table in BACKTEST
    ],
    name="gold_backtest",
    partitions_def=WITH_SIGNALS,
    retry_policy=RETRIES,
)
def gold_backtest(
    context: dg.AssetExecutionContext, lake: LakeResource, tables: TablesResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Trade what a market's newest version forecast out of sample, by the lake's rules: ``financelake backtest``."""
    record = backtest_store.newest(lake.settings, Market(context.partition_key))
    made = backtest_store.make(lake.settings, record, context.log.info)
    backtest_store.keep(lake.settings, made)
    for table in BACKTEST:
        yield tables.materialised(table, model_version=record.model_version)


FIRST_MONTH = "1986-01"
MONTHS = dg.TimeWindowPartitionsDefinition(start=FIRST_MONTH, cron_schedule="0 0 1 * *", fmt="%Y-%m", end_offset=1)


@dg.asset(
    key=["gold", "history"],
    # a month is scored by the models of all markets
    deps=[table_key(BARS), dg.AssetDep(FOREST, partition_mapping=dg.AllPartitionMapping())],
    group_name="gold",
    kinds={"polars"},
    owners=OWNERS,
    partitions_def=MONTHS,
    # one run repairs all the months of a back-fill, because the start of a run takes longer than to score a month
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="gold_history",
    retry_policy=RETRIES,
)
def gold_history(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[None]:
    """Missing predictions, signals and outcomes of past months; existing rows are never rewritten."""
    window = context.partition_time_window
    done = repair(lake.settings, window.start, window.end)
    context.log.info(f"{window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}: {done}")
    return dg.MaterializeResult(metadata=asdict(done))
