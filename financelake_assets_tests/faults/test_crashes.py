"""Servers killed beneath the silver query: the next start leaves the tables that no kill would have left."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from financelake_assets.bronze.topics import ensure_topics
from financelake_assets.config import Settings, SparkSettings
from financelake_assets.silver import reading
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets.storage.delta import TableSpec
from financelake_assets_tests import shared_servers
from financelake_assets_tests.faults import lakes
from financelake_assets_tests.faults.lakes import Server
from financelake_assets_tests.silver import kafka

pytestmark = pytest.mark.integration


# A writer waits for its turn at a table, so a test that has the turn knows where the micro-batch stands.


def _kill_while_spark_reads(lake: Settings, server: Server) -> None:
    before = [lakes.version(lake, table) for table in (TICKS, BARS, QUARANTINE)]
    with TICKS.turn(lake):
        server.start_query()
        kafka.eventually(lambda: lakes.planned(lake), "a micro-batch began")
        server.kill()
    assert [lakes.version(lake, table) for table in (TICKS, BARS, QUARANTINE)] == before


def _kill_between(lake: Settings, server: Server, first: TableSpec, second: TableSpec) -> None:
    before, waiting = lakes.version(lake, first), lakes.version(lake, second)
    with second.turn(lake):
        server.start_query()
        lakes.await_commit(lake, first, before)
        server.kill()
    assert lakes.version(lake, second) == waiting


def _kill_behind_the_last_table(lake: Settings, server: Server) -> None:
    """The server dies alone, before its worker commits the last table and could tell it of that."""
    before, last = lakes.version(lake, BARS), lakes.version(lake, QUARANTINE)
    with QUARANTINE.turn(lake):
        server.start_query()
        lakes.await_commit(lake, BARS, before)
        server.kill_alone()
    lakes.await_commit(lake, QUARANTINE, last)


def _catch_up(lake: Settings, server: Server) -> None:
    query = server.start_query()
    assert kafka.drain(lake, query).balanced
    query.stop()


@pytest.mark.slow
def test_a_micro_batch_whose_server_is_killed_in_each_of_its_phases_is_counted_once(tmp_path: Path):
    lake = shared_servers.laptop(tmp_path / "lake")
    with shared_servers.broker(lake):
        ensure_topics(lake)
        kafka.add_universe(lake)
        # the same batch each time: what it has committed stays, the rest is done by the next. It is so large that
        # executors stage it, and the one behind it is not
        kafka.produce(lake, kafka.mixture(reading.SMALL + 1_000))
        with lakes.server(lake) as server:
            _kill_while_spark_reads(lake, server)
        with lakes.server(lake) as server:
            _kill_between(lake, server, TICKS, BARS)
        with lakes.server(lake) as server:
            _kill_between(lake, server, BARS, QUARANTINE)
        assert lakes.planned(lake)
        with lakes.server(lake) as server:
            _catch_up(lake, server)
            kafka.produce(lake, kafka.mixture(2_000, first=reading.SMALL + 1_000))
            _kill_behind_the_last_table(lake, server)
        assert lakes.planned(lake)
        with lakes.server(lake) as server:
            _catch_up(lake, server)
            lakes.assert_as_undisturbed(lake, tmp_path / "undisturbed")


def test_a_broker_killed_and_started_again_beneath_the_query_costs_no_message(tmp_path: Path, spark_server: str):
    """It dies while the query reads and others send; the query goes on by itself, or goes on when started again."""
    lake = shared_servers.laptop(tmp_path / "lake").model_copy(update={"spark": SparkSettings(remote=spark_server)})
    in_parts = lake.model_copy(update={"spark": lake.spark.model_copy(update={"max_offsets_per_trigger": 500})})
    dead = threading.Event()

    def across_the_kill() -> Iterator[Any]:
        yield from kafka.mixture(2_000)
        assert dead.wait(120)
        yield from kafka.mixture(1_000, first=2_000)

    with ExitStack() as brokers, ThreadPoolExecutor(1) as pool:
        broker = brokers.enter_context(shared_servers.broker(lake))
        ensure_topics(lake)
        kafka.add_universe(lake)
        with kafka.running(in_parts) as query:
            sent = pool.submit(kafka.produce, lake, across_the_kill())
            kafka.eventually(lambda: kafka.count_consumed(lake) > 0, "the query reads")
            os.killpg(broker, signal.SIGKILL)
            dead.set()
            brokers.enter_context(shared_servers.broker(lake))
            assert sent.result(120) == 3_000
            kafka.eventually(lambda: not query.isActive or kafka.caught_up(lake), "the query went on or ended")
        with kafka.running(lake) as query:
            assert kafka.drain(lake, query).consumed >= 3_000
        lakes.assert_as_undisturbed(lake, tmp_path / "undisturbed")
