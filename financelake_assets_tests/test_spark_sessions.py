from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pyarrow as pa
import pyspark
import pytest
from pyspark.sql import SparkSession

from financelake_assets.config import Settings
from financelake_assets.spark_sessions import SparkUnavailableError, await_server, let_go, streams_session

pytestmark = pytest.mark.integration

OTHER_CLIENT = """
import sys
from financelake_assets.config import Settings
from financelake_assets.streams.client import stream_status
print(stream_status(Settings.model_validate_json(sys.argv[1]))[0]["name"])
"""


def test_the_streams_session_outlives_its_clients(spark_lake: Settings):
    session = streams_session(spark_lake)
    session.range(50).createOrReplaceTempView("kept")
    other = [sys.executable, "-c", OTHER_CLIENT, spark_lake.model_dump_json()]
    assert subprocess.run(other, check=True, capture_output=True, text=True).stdout.strip() == "silver"
    assert session.table("kept").count() == 50


def test_rows_of_a_micro_batch_that_were_let_go_are_no_call_to_the_server(
    spark_lake: Settings, monkeypatch: pytest.MonkeyPatch
):
    session = streams_session(spark_lake)
    called: list[str] = []
    monkeypatch.setattr(session.client._channel, "unary_unary", lambda method, **_: called.append(method) or print)
    kept, released = (session._create_remote_dataframe(name) for name in ("kept", "released"))  # type: ignore[operator]
    let_go(released)
    del released
    gc.collect()
    assert called == []
    del kept
    gc.collect()
    assert called == ["/spark.connect.SparkConnectService/ExecutePlan"], "what pyspark does by itself"


def test_workers_import_pyspark_with_its_bytecode(spark: SparkSession):
    """From an archive each of them would compile it again, and one that starts on a busy machine would be too late."""

    def place(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        list(parts)
        import pyspark

        yield pa.RecordBatch.from_pydict({"place": [pyspark.__file__]})

    (row,) = spark.range(1, numPartitions=1).mapInArrow(place, "place string").collect()
    assert row["place"] == pyspark.__file__


def test_a_server_that_is_not_there_is_named_with_the_remedy():
    absent = Settings.model_validate({"spark": {"remote": "sc://127.0.0.1:9"}})
    with pytest.raises(SparkUnavailableError, match=r"127\.0\.0\.1:9 .*FINANCELAKE_SPARK__REMOTE"):
        await_server(absent, seconds=0.1)
