"""The model in Dagster: one run trains, evaluates out of sample and registers a version of the random forest."""

from collections.abc import Iterator

import dagster as dg
from dagster_pyspark import LazyPySparkResource

from financelake_assets.bronze.assets import OWNERS
from financelake_assets.gold.schema import MODEL_METRICS
from financelake_assets.model import registry
from financelake_assets.model.training import NotEnoughHistoryError, train
from financelake_assets.resources.dagster import LakeResource, TablesResource
from financelake_assets.resources.spark import await_server
from financelake_assets.silver.assets import table_key, table_spec
from financelake_assets.silver.schema import BARS

FOREST = dg.AssetKey(["model", "random_forest"])
METRICS = table_key(MODEL_METRICS)

_FOREST_SPEC = dg.AssetSpec(
    FOREST,
    deps=[table_key(BARS)],
    group_name="model",
    kinds={"spark"},
    owners=OWNERS,
    description="Random forest on scale-free features that predicts the volatility-scaled return of the next bar.",
)
_METRICS_SPEC = table_spec(MODEL_METRICS, [FOREST], {"spark"}).replace_attributes(group_name="model")


@dg.multi_asset(specs=[_FOREST_SPEC, _METRICS_SPEC], name="random_forest", pool="training")
def random_forest(
    context: dg.AssetExecutionContext, lake: LakeResource, tables: TablesResource, spark: LazyPySparkResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Train on silver as it is now, evaluate on the latest part held out, and register the version."""
    settings = lake.settings
    await_server(settings)
    silver = BARS.facts(settings)
    if silver is None:
        raise dg.Failure("silver/bars does not exist yet: start the silver query first", allow_retries=False)
    session = spark.spark_session
    bars = (
        session.read.format("delta")
        .option("versionAsOf", silver.version)
        .load(BARS.path(settings))
        .where(f"interval = '{settings.model.interval}'")
    )
    try:
        trained = train(session, bars, settings.model, silver.version, context.log.info)
    except NotEnoughHistoryError as error:
        raise dg.Failure(f"nothing to learn from: {error}", allow_retries=False) from error
    record = registry.save(settings, trained)
    yield dg.MaterializeResult(
        asset_key=FOREST,
        metadata={
            **registry.metadata(record),
            "model_card": dg.MetadataValue.md(registry.card(settings, record)),
        },
        data_version=dg.DataVersion(record.model_version),
    )
    yield dg.MaterializeResult(
        asset_key=METRICS,
        metadata=tables.metadata(MODEL_METRICS),
        data_version=dg.DataVersion(tables.version(MODEL_METRICS) or "0"),
    )
