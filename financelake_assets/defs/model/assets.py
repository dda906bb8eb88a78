"""The model in Dagster: one run trains, evaluates out of sample and registers a version of one market's random forest.

Each market is a partition. The list is closed, as that of intervals is: no run can name another one. The settings'
further horizons lengthen it when the code location is loaded.
"""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pydantic import Field

from financelake_assets.config import ModelSettings, Settings, get_settings
from financelake_assets.defs.resources import LakeResource, TablesResource
from financelake_assets.defs.table_assets import OWNERS, table_key, table_spec
from financelake_assets.errors import FinanceLakeError
from financelake_assets.gold import history
from financelake_assets.intervals import BAR_LENGTHS
from financelake_assets.model import (
    markets,
    other_reading,
    other_series,
    registration,
    registry,
    search_state,
    standstill,
)
from financelake_assets.model.costs import Costs
from financelake_assets.model.markets import Market
from financelake_assets.model.schema import BASELINE_METRICS, MODEL_METRICS, WALK_FORWARD
from financelake_assets.model.training import NotEnoughHistoryError, train
from financelake_assets.model.training_rows import read_bars
from financelake_assets.plugins import PluginError, installed
from financelake_assets.silver.schema import BARS
from financelake_assets.spark_sessions import await_server
from financelake_assets.storage.delta import TableFacts

FOREST, SEARCH = dg.AssetKey(["model", "random_forest"]), dg.AssetKey(["model", "search"])

MARKETS = dg.StaticPartitionsDefinition([market.name for market in markets.every(get_settings().model)])
"""One partition for each market that can have a model."""

WITH_SIGNALS = dg.StaticPartitionsDefinition(list(BAR_LENGTHS))
"""Those of them whose predictions become signals: all but those of further horizons."""


class TrainingConfig(dg.Config):
    """Settings for one training; fields without a value use the lake's settings."""

    symbols: list[str] = Field(default=[], description="train only on these symbols; empty means all")
    window_days: int | None = Field(default=None, description="a sliding window of this many days")
    folds: int | None = Field(default=None, description="walk-forward folds")
    refits: int | None = Field(default=None, description="refits as often as a live lake makes them, the newest ones")
    refit_rows: int | None = Field(default=None, description="rows that they may learn, added up; 0 is any number")
    horizon: int | None = Field(default=None, description="how many bars ahead to predict")
    trees: int | None = Field(default=None, description="number of trees of the forest")
    depth: int | None = Field(default=None, description="depth of its trees")
    searched: bool = Field(default=False, description="with what the market's search found, see model/search")

    def applied(self, settings: ModelSettings, market: Market, *, awaited: bool) -> ModelSettings:
        """The settings of this training.

        Args:
            settings: of the lake.
            market: to train.
            awaited: whether the market has no signals until it ends: then no refits are made unless they are asked for.

        Raises:
            ValueError: a value is out of its range, or another horizon than that of the partition.
        """
        asked = self.model_dump(exclude={"searched"})
        given = {name: value for name, value in asked.items() if value not in (None, [])}
        if awaited:
            given.setdefault("refits", 0)
        if market.further is not None and self.horizon not in (None, market.further):
            raise ValueError(f"{market.name} looks {market.further} bars ahead, and not {self.horizon}")
        return market.settings(settings, **given)


def newest_silver(settings: Settings) -> TableFacts:
    """The newest version of silver.bars, when the Spark server answers.

    Raises:
        dg.Failure: it does not exist yet.
    """
    await_server(settings)
    silver = BARS.facts(settings)
    if silver is None:
        raise dg.Failure("silver/bars does not exist yet: start the silver query first", allow_retries=False)
    return silver


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            FOREST,
            deps=[table_key(BARS), SEARCH],
            group_name="model",
            kinds={"spark"},
            owners=OWNERS,
            description="Random forests on scale-free features, one for each market: predict the volatility-scaled "
            "return of the next bar, or of so many bars as the horizon.",
            # one training a week, and more when one is due earlier
            freshness_policy=dg.FreshnessPolicy.time_window(
                fail_window=timedelta(days=15), warn_window=timedelta(days=8)
            ),
        ),
        *(
            table_spec(table, [FOREST], {"spark"}).replace_attributes(group_name="model")
            for table in (MODEL_METRICS, BASELINE_METRICS, WALK_FORWARD)
        ),
    ],
    name="random_forest",
    partitions_def=MARKETS,
    pool="training",
)
def random_forest(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    lake: LakeResource,
    tables: TablesResource,
    spark: LazyPySparkResource,
) -> Iterator[dg.MaterializeResult[None]]:
    """Train on the market's bars in silver, evaluate on the latest part as holdout, and register the version."""
    settings, silver = lake.settings, newest_silver(lake.settings)
    try:
        market = markets.asked(context.partition_key, settings.model)
        champion = registry.champion(settings, market)
        chosen = config.applied(settings.model, market, awaited=champion is None or champion.outdated)
        chosen = search_state.chosen(settings, market, chosen) if config.searched else chosen
    except (ValueError, FinanceLakeError) as error:
        raise dg.Failure(f"the training's configuration is wrong: {error}", allow_retries=False) from error
    session = spark.spark_session
    bars = read_bars(session, settings, silver.version, market)
    try:
        plugins = other_series.usable(installed.features(settings.skipped_plugins), market.interval)
        others = other_reading.of_lake(settings, BARS.scan(settings, silver.version), plugins, market.interval)
        costs, label = Costs.of(settings), installed.label(settings.skipped_plugins)
        learner = installed.learner(chosen.learners.get(market.interval), settings.skipped_plugins)
        trained = train(session, bars, chosen, silver.version, context.log.info, costs, plugins, label, learner, others)
    except NotEnoughHistoryError as error:
        raise dg.Failure(f"nothing to train on: {error}", allow_retries=False) from error
    except PluginError as error:
        standstill.note(settings, market, "training", str(error))
        raise dg.Failure(f"no training of {market.name}: {error}. {error.remedy}", allow_retries=False) from error
    standstill.note(settings, market, "training", None)
    record = registration.save(settings, trained)
    if champion is None:
        try:
            scored = history.score_newest(settings, record)
            made = f"{scored.predictions} predictions and {scored.signals} signals of its newest bars"
            context.log.info(f"the first model of {market.name}: {made}")
        except PluginError as error:  # the version is registered; its market stands still until the plug-in is mended
            standstill.note(settings, market, "scoring", str(error))
            context.log.warning(f"no signals of {market.name}: {error}")
    from financelake_assets.model.figure import figure_markdown  # the code location loads faster without matplotlib

    yield dg.MaterializeResult(
        asset_key=FOREST,
        metadata={
            **registry.metadata(record),
            "baselines": registry.baselines(settings).get(record.model_version, {}),
            "model_card": dg.MetadataValue.md(
                f"{registry.card(settings, record)}\n\n{figure_markdown(trained, record)}"
            ),
        },
        data_version=dg.DataVersion(record.model_version),
    )
    for table in (MODEL_METRICS, BASELINE_METRICS, WALK_FORWARD):
        yield tables.materialised(table)
