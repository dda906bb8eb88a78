"""The same rows from a store, and by other tools' own clients."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from financelake_assets import lake
from financelake_assets.config import Settings
from financelake_assets_tests.deployment.object_store import object_store
from financelake_assets_tests.query.rows import add


def test_tables_in_a_store_are_read_as_of_and_followed(tmp_path: Path):
    with object_store(tmp_path) as found:
        settings = found.lake(tmp_path / "lake")
        for day in range(3):
            add(settings, day)
        count = "SELECT count(*) FROM gold.signals WHERE confidence > 0.55"
        newest = next(info.version for info in lake.tables(settings) if info.name == "gold.signals")
        assert newest is not None
        assert lake.sql(count, settings=settings).item() == 2
        assert lake.sql(count, as_of=newest - 1, settings=settings).item() == 1
        assert lake.table("gold.signals", as_of=newest - 1, settings=settings).collect().height == 2
        rows = [new.rows.height for new in lake.follow("gold.signals", after=-1, idle_seconds=0, settings=settings)]
        assert rows == [1, 1, 1]


def test_pandas_reads_the_same_rows(asked_lake: Settings):
    by_pandas = DeltaTable(asked_lake.table("gold", "signals")).to_pandas().sort_values("event_time")
    ours = lake.table("gold.signals", settings=asked_lake).sort("event_time").collect().to_pandas()
    assert isinstance(by_pandas, pd.DataFrame)
    assert by_pandas["confidence"].to_list() == ours["confidence"].to_list()
    assert (by_pandas["event_time"].to_numpy() == ours["event_time"].to_numpy()).all()


@pytest.mark.integration
def test_spark_sql_through_connect_reads_the_same_rows(asked_lake: Settings, spark: SparkSession):
    folder = asked_lake.table("gold", "signals")
    newest = DeltaTable(folder).version()
    table = f"delta.`{folder}`"
    found = spark.sql(f"SELECT confidence FROM {table} ORDER BY event_time").collect()  # noqa: S608
    ours = lake.table("gold.signals", settings=asked_lake).sort("event_time").collect()["confidence"].to_list()
    assert [row.confidence for row in found] == ours
    before = spark.sql(f"SELECT count(*) AS rows FROM {table} VERSION AS OF {newest - 1}").collect()  # noqa: S608
    assert before[0].rows == lake.table("gold.signals", as_of=newest - 1, settings=asked_lake).collect().height


def test_duckdbs_own_extension_reads_the_same_rows(asked_lake: Settings):
    folder = asked_lake.table("gold", "signals")
    newest = DeltaTable(folder).version()
    with duckdb.connect() as connection:
        _load_delta(connection)
        found = connection.execute("SELECT confidence FROM delta_scan(?) ORDER BY 1", [folder])
        assert [row[0] for row in found.fetchall()] == [0.5, 0.6, 0.7]
        connection.execute(f"ATTACH '{folder}' AS earlier (TYPE delta, VERSION {newest - 1})")
        assert connection.execute("SELECT count(*) FROM earlier").fetchall() == [(2,)]


def _load_delta(connection: duckdb.DuckDBPyConnection) -> None:
    """DuckDB's extension, as it was installed or from a package; without either the test is skipped."""
    package = find_spec("duckdb_extension_delta")
    found = Path(package.origin or "").parent / "extensions" / f"v{duckdb.__version__}" if package else Path("none")
    file = found / "delta.duckdb_extension"
    try:
        connection.execute(f"LOAD '{file}'" if file.exists() else "LOAD delta")
    except duckdb.Error:
        pytest.skip("DuckDB's delta extension is not installed: duckdb -c 'INSTALL delta' fetches it")
