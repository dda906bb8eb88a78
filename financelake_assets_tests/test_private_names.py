"""What of other libraries is private and used here still exists.

When a release changes one of these, look for a public way first; if there is none, mend the one module that is named.
"""

from __future__ import annotations

import inspect

from confluent_kafka import KafkaError
from pyspark.sql.connect.client import SparkConnectClient
from pyspark.sql.connect.plan import CachedRemoteRelation
from pyspark.sql.connect.session import SparkSession


def test_of_pyspark_in_spark_sessions() -> None:
    """``streams_session`` takes back a client's hook at exit, ``let_go`` a relation, ``activated`` sets a session."""
    assert callable(SparkConnectClient._on_exit)
    assert "atexit.register(self._on_exit)" in inspect.getsource(SparkConnectClient)
    assert "self._relation_id" in inspect.getsource(CachedRemoteRelation)
    assert hasattr(SparkSession, "_active_session")


def test_of_confluent_kafka_in_bronze() -> None:
    """The codes of librdkafka's errors: ``bronze/broker.py`` and ``bronze/reading.py`` tell causes apart by them."""
    codes = {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._TRANSPORT, KafkaError._PARTITION_EOF}
    assert len(codes) == 4
