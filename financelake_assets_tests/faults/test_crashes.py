"""Servers killed beneath the silver query: the next start leaves the tables that no kill would have left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from financelake_assets.bronze.topics import ensure_topics
from financelake_assets.config import Settings
from financelake_assets.resources.delta import TableSpec
from financelake_assets.silver.schema import BARS, QUARANTINE, TICKS
from financelake_assets_tests import servers
from financelake_assets_tests.faults import lakes
from financelake_assets_tests.faults.lakes import Server
from financelake_assets_tests.silver import kafka

pytestmark = pytest.mark.integration


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A lake with a broker of its own and a few symbols."""
    settings = servers.laptop(tmp_path_factory.mktemp("crashes"))
    with servers.broker(settings):
        ensure_topics(settings)
        kafka.add_universe(settings)
        yield settings


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


def test_a_micro_batch_whose_server_is_killed_in_each_of_its_phases_is_counted_once(
    own: Settings, tmp_path_factory: pytest.TempPathFactory
):
    kafka.produce(own, kafka.mixture(2_000))
    # the same batch each time: what it has committed stays, the rest is done by the next
    with lakes.server(own) as server:
        _kill_while_spark_reads(own, server)
    with lakes.server(own) as server:
        _kill_between(own, server, TICKS, BARS)
    with lakes.server(own) as server:
        _kill_between(own, server, BARS, QUARANTINE)
    assert lakes.planned(own)
    with lakes.server(own) as server:
        _catch_up(own, server)
        kafka.produce(own, kafka.mixture(2_000, first=2_000))
        _kill_behind_the_last_table(own, server)
    assert lakes.planned(own)
    with lakes.server(own) as server:
        _catch_up(own, server)
        lakes.assert_as_undisturbed(own, tmp_path_factory.mktemp("whole"))
