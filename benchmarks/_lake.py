"""What benchmarks share: a session on a Spark server of their own, and the packaged history as silver's bars."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from pyspark.sql import DataFrame, SparkSession

from financelake_assets.bronze.message import encode
from financelake_assets.providers.replay import ReplayProvider
from financelake_assets.silver.cleaning import MESSAGES, cleaned
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
    provider = ReplayProvider()
    (part,) = provider.history()
    sent = [message for chunk in part.chunks for message in encode(chunk)]
    now = datetime.now(UTC)
    messages = pl.DataFrame(
        {
            "key": pl.Series([key.encode() for _, key, _ in sent], dtype=pl.Binary),
            "value": pl.Series([value.encode() for _, _, value in sent], dtype=pl.Binary),
            "topic": [topic for topic, _, _ in sent],
            "partition": pl.Series([0] * len(sent), dtype=pl.Int32),
            "offset": range(len(sent)),
            "timestamp": [now] * len(sent),
            "provider": pl.Series([None] * len(sent), dtype=pl.Binary),
            "size": pl.Series([None] * len(sent), dtype=pl.Int64),
            "sha256": pl.Series([None] * len(sent), dtype=pl.String),
        }
    )
    universe = {one.symbol: one.asset_class for one in provider.universe()}
    good = cleaned(messages.select(MESSAGES.names), universe).filter(pl.col("reason").is_null())
    return session.createDataFrame(good.to_arrow())
