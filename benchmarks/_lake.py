"""What several benchmarks share: a Spark Connect server of their own, and the packaged history as silver's bars."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from subprocess import STDOUT, Popen, TimeoutExpired
from time import monotonic, sleep

import polars as pl
from pyspark.sql import DataFrame, SparkSession

from financelake_assets.bronze.message import encode
from financelake_assets.config import Settings
from financelake_assets.providers.replay import ReplayProvider
from financelake_assets.servers import jars, spark
from financelake_assets.servers.command import lake_environment
from financelake_assets.servers.java import find_java
from financelake_assets.silver.cleaning import MESSAGES, cleaned
from financelake_assets.spark_sessions import job_session
from financelake_assets.supervision import probes


@contextmanager
def spark_session(port: int, memory: str = "2g") -> Iterator[SparkSession]:
    """A session on a new Spark Connect server with the lake's own configuration, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder:
        settings = Settings.model_validate({"data_dir": folder, "spark": {"port": port, "driver_memory": memory}})
        with _server(settings):
            session = job_session(settings)
            try:
                yield session
            finally:
                session.stop()


@contextmanager
def _server(settings: Settings) -> Iterator[None]:
    spark.prepare(settings)
    command = spark.command(settings, find_java(), jars.spark_class_path(settings))
    log = Path(settings.data_dir) / "spark.log"
    with log.open("wb") as output:
        process = Popen(
            command.argv,
            cwd=command.cwd,
            env={**lake_environment(settings), **command.env},
            stdout=output,
            stderr=STDOUT,
        )
    try:
        deadline = monotonic() + 120
        while probes.grpc(settings.host, settings.spark_port):
            if process.poll() is not None or monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-2000:])
            sleep(0.2)
        yield
    finally:
        process.terminate()
        with suppress(TimeoutExpired):
            process.wait(30)
        if process.poll() is None:
            process.kill()
            process.wait()


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
