"""The Dagster code location: everything under ``defs``, with the resources that it uses."""

from __future__ import annotations

import warnings

import dagster as dg
from dagster_pyspark import LazyPySparkResource

from financelake_assets import defs as definitions_package
from financelake_assets.config import get_settings
from financelake_assets.defs.resources import (
    ContinuousStreamsResource,
    LakeResource,
    StandingResource,
    TablesResource,
    TopicsResource,
)

_lake = LakeResource()

with warnings.catch_warnings():
    # a preview in this release of Dagster, whose version is pinned; test_definitions.py tells when it changes
    warnings.simplefilter("ignore", dg.PreviewWarning)
    _loaded = dg.load_definitions_from_package_module(definitions_package)

defs = dg.Definitions.merge(
    _loaded,
    dg.Definitions(
        executor=dg.in_process_executor,
        resources={
            "lake": _lake,
            "topics": TopicsResource(lake=_lake),
            "tables": TablesResource(lake=_lake),
            "streams": ContinuousStreamsResource(),
            "sums": StandingResource(),
            # nothing connects until an asset asks for the session
            "spark": LazyPySparkResource(spark_config={"spark.remote": get_settings().spark_remote}),
        },
    ),
)
