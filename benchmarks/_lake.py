"""What benchmarks share: a session on a Spark server of their own, and the packaged history as silver's bars."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from financelake_assets.silver import packaged
from financelake_assets.spark_sessions import job_session
from financelake_assets_tests.shared_servers import laptop, spark_server


@contextmanager
def spark_session(memory: str = "2g") -> Iterator[SparkSession]:
    """A session on a new Spark Connect server with the lake's own configuration, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder:
        settings = laptop(Path(folder), spark={"driver_memory": memory})
        with spark_server(settings):
            session = job_session(settings)
            try:
                yield session
            finally:
                session.stop()


def packaged_bars(session: SparkSession) -> DataFrame:
    """Every packaged bar as the silver query cleans it, without those that go to quarantine."""
    return session.createDataFrame(packaged.packaged_bars().to_arrow())
