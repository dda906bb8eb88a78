"""The search in Dagster: one run tries settings of one market's forest inside its training period.

The job ``tune_model`` searches and then trains with what was found, by the asset that trains always. A run that is
stopped or killed loses no judged trial: the next one continues.
"""

from typing import Any

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pydantic import Field

from financelake_assets.defs.model.assets import MARKETS, SEARCH, TrainingConfig, newest_silver
from financelake_assets.defs.resources import LakeResource
from financelake_assets.defs.table_assets import OWNERS, table_key
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model import markets, search_state
from financelake_assets.model.search_state import SearchState
from financelake_assets.model.training import NotEnoughHistoryError
from financelake_assets.silver.schema import BARS


class SearchConfig(dg.Config):
    """What is asked of one search."""

    trials: int = Field(default=20, ge=2, description="how many trials in all; those of an earlier run count")
    fresh: bool = Field(default=False, description="begin another search; the trials ledger keeps the one before")


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            SEARCH,
            deps=[table_key(BARS)],
            group_name="model",
            kinds={"spark"},
            owners=OWNERS,
            description="The settings of a market's forest that predict best inside its training period.",
        )
    ],
    name="search",
    partitions_def=MARKETS,
    pool="search",
)
def search(
    context: dg.AssetExecutionContext, config: SearchConfig, lake: LakeResource, spark: LazyPySparkResource
) -> dg.MaterializeResult[None]:
    """Try settings of the market's forest on bars before its holdout, until there are as many trials as wanted."""
    from financelake_assets.model.tuning import Order, tune  # the code location loads faster without optuna

    settings, silver = lake.settings, newest_silver(lake.settings)
    try:
        market = markets.asked(context.partition_key, settings.model)
    except FinanceLakeError as error:
        raise dg.Failure(
            f"no search of {context.partition_key}: {error} {error.remedy}", allow_retries=False
        ) from error
    own = TrainingConfig().applied(settings.model, market, awaited=False)
    told = 0

    def tell(state: SearchState) -> None:
        nonlocal told
        search_state.tell(settings, state)
        if state.done > told:
            told = state.done
            context.log.info(state.sentence)
            context.log_event(
                dg.AssetObservation(
                    SEARCH, partition=market.name, metadata=_metadata(state), description=state.sentence
                )
            )

    order = Order(config.trials, silver.version, config.fresh, context.run_id)
    try:
        found = tune(spark.spark_session, settings, market, own, order, tell)
    except NotEnoughHistoryError as error:
        raise dg.Failure(f"nothing to search on: {error}. {error.remedy}", allow_retries=False) from error
    except FinanceLakeError as error:
        raise dg.Failure(f"no search of {market.name}: {error} {error.remedy}", allow_retries=False) from error
    return dg.MaterializeResult(asset_key=SEARCH, metadata=_metadata(found))


def _metadata(state: SearchState) -> dict[str, Any]:
    shown = ("done", "wanted", "pruned", "cut_off", "own", "best", "seconds", "silver_version", "parameters")
    return {name: value for name in shown if (value := getattr(state, name)) is not None}
