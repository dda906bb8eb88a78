"""The Dagster code location: everything in ``defs``, with its resources."""

from __future__ import annotations

import warnings

import dagster as dg
from dagster import InMemoryIOManager
from dagster_pyspark import LazyPySparkResource

from financelake_assets import defs as definitions_package
from financelake_assets.config import get_settings
from financelake_assets.defs.news import WAIT_SECONDS, NewsResource
from financelake_assets.defs.resources import (
    ContinuousStreamsResource,
    LakeResource,
    StandingResource,
    TablesResource,
    TopicsResource,
    fixed,
)

_lake = LakeResource()


def _of_folders() -> dg.Definitions:
    """Everything in ``defs``; in a function, because Dagster refuses a module with two ``Definitions``."""
    with warnings.catch_warnings():
        # a preview API in this release of Dagster, whose version is pinned; test_definitions.py fails when it changes
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.load_definitions_from_package_module(definitions_package)


defs = dg.Definitions.merge(
    _of_folders(),
    dg.Definitions(
        executor=dg.in_process_executor,
        resources={
            "lake": _lake,
            "topics": TopicsResource(lake=_lake),
            "tables": TablesResource(lake=_lake),
            "streams": ContinuousStreamsResource(),
            "sums": StandingResource(),
            "news": fixed(lambda: NewsResource(wait_seconds=WAIT_SECONDS)),
            # nothing connects until an asset asks for the session. Its configuration contains the token. If a run's
            # configuration could name another Spark server, that server would execute the run's code
            "spark": fixed(lambda: LazyPySparkResource(spark_config={"spark.remote": get_settings().spark_remote})),
            # no asset passes a value on; Dagster's default manager would unpickle any folder that a run names
            "io_manager": dg.IOManagerDefinition(lambda _: InMemoryIOManager(), config_schema={}),
        },
    ),
)
