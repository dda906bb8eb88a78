"""A Spark server that may be killed, and what the tests of faults ask of a lake."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.bronze.topics import watermarks
from financelake_assets.config import Settings
from financelake_assets.silver import query
from financelake_assets.silver.checkpoint import QUERY, committed_batch
from financelake_assets.silver.ledger import read_ledger, uncounted
from financelake_assets.spark_sessions import streams_session
from financelake_assets.storage.delta import TableSpec
from financelake_assets_tests import shared_servers
from financelake_assets_tests.silver import kafka


class Server:
    """A lake's own Spark server, from the outside."""

    def __init__(self, lake: Settings, pid: int) -> None:
        self._lake = lake
        self._process = psutil.Process(pid)
        self._session = streams_session(lake)

    def start_query(self) -> StreamingQuery:
        """Start silver as the lake does, in the session of its streams."""
        return query.start(self._session, self._lake)

    def kill(self) -> None:
        """SIGKILL to the server and everything that it started."""
        family = self._process.children(recursive=True)
        os.killpg(self._process.pid, signal.SIGKILL)
        for member in family:  # a worker may have a group of its own
            if member.is_running():
                member.kill()
        psutil.wait_procs(family, timeout=30)

    def kill_alone(self) -> None:
        """SIGKILL to the server, as by the kernel when memory is short; its Python workers live on."""
        self._process.kill()

    def forget(self) -> None:
        """Close the client of a server that may be gone."""
        self._session.release_session_on_close = False  # type: ignore[attr-defined]
        self._session.stop()


@contextmanager
def server(lake: Settings) -> Iterator[Server]:
    """Run the lake's own Spark server, which the test may kill."""
    with shared_servers.spark_server(lake) as pid:
        running = Server(lake, pid)
        try:
            yield running
        finally:
            running.forget()


def planned(lake: Settings) -> bool:
    """Whether a micro-batch is under way: its offsets are written and it is not committed."""
    checkpoint = Path(lake.checkpoint(QUERY))
    batches = [int(file.name) for file in (checkpoint / "offsets").glob("*") if file.name.isdigit()]
    done = committed_batch(checkpoint)
    return max(batches, default=-1) > (-1 if done is None else done)


def version(lake: Settings, table: TableSpec) -> int:
    """A table's Delta version."""
    return table.ensure(lake).version()


def await_commit(lake: Settings, table: TableSpec, before: int) -> None:
    """Wait until a table has moved beyond a version."""
    kafka.eventually(lambda: version(lake, table) > before, f"{table.full_name} was committed")


def assert_as_undisturbed(lake: Settings, folder: Path) -> None:
    """Compare a lake that has caught up with one that reads the same topics now, with nothing in its way.

    Args:
        lake: its query may run, but everything is committed.
        folder: an empty one, for the other lake.
    """
    undisturbed = lake.model_copy(update={"data_dir": folder})
    kafka.add_universe(undisturbed)
    with kafka.running(undisturbed) as running:
        expected = kafka.drain(undisturbed, running)
    found = read_ledger(lake)
    assert found == expected, f"{found}; undisturbed it is {expected}"
    assert found.balanced, f"{found}"
    assert found.consumed == sum(high for of in watermarks(lake).values() for _, high in of.values())
    assert not any(uncounted(lake).values()), f"{uncounted(lake)}"
    for table, rows in kafka.tables(undisturbed).items():
        assert kafka.tables(lake)[table] == rows, f"{table} differs from what it is undisturbed"
