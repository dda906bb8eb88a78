"""Spark Connect clients: one that shares the streams' fixed session, and a wait that avoids gRPC's back-off.

Input: settings. Output: sessions. No code calls ``stop()`` on the streams' session: that would close it on the server
and end its queries. A client that only exits does not affect them.
"""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pyspark
from pyspark.errors import PySparkException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.connect.client.retries import DefaultPolicy
from pyspark.sql.connect.plan import CachedRemoteRelation
from pyspark.sql.connect.session import SparkSession as ConnectSession
from pyspark.sql.streaming.query import StreamingQuery
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_fixed,
)

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

# pyspark's own policy retries for more than ten minutes after a server has gone; this one for about half a minute
_RETRIES = DefaultPolicy(max_retries=10, max_backoff=4_000)

# a Python worker of Spark must import its modules within ten seconds, too short for a busy small machine
_WORKER_LATE = "Python worker failed to connect back"
_WORKER_ATTEMPTS = 4

WriteBatch = Callable[[DataFrame, int], None]
"""Takes a micro-batch and its id."""


class SparkUnavailableError(FinanceLakeError, ConnectionError):
    """No Spark Connect server that serves this lake listens where the settings say."""


def await_server(settings: Settings, seconds: float = 60.0) -> None:
    """Wait until the Spark Connect port accepts connections.

    A client that connects too early waits in gRPC's back-off for up to 20 s, so this checks the port first.

    Raises:
        SparkUnavailableError: nothing listened for ``seconds``.
    """
    address = urlsplit(settings.spark_remote.split("/;")[0])
    looked = Retrying(
        stop=stop_after_delay(seconds), wait=wait_fixed(0.25), retry=retry_if_exception_type(OSError), reraise=True
    )
    try:
        looked(socket.create_connection, (address.hostname, address.port or 15002), timeout=2).close()
    except OSError as error:
        raise SparkUnavailableError(
            f"no Spark Connect server at {address.netloc} ({error}). Start the lake with `financelake up`, "
            "or set FINANCELAKE_SPARK__REMOTE to a running server."
        ) from error


def streams_session(settings: Settings) -> SparkSession:
    """A new client of the session that owns the continuous queries; the queries survive the client."""
    session = _connect(settings, settings.streams_remote)
    # at its exit a client would drop the cache of its session, which it shares with others; if the server is gone, this
    # call would retry for minutes
    atexit.unregister(session.client._on_exit)
    return session


def job_session(settings: Settings) -> SparkSession:
    """A client with its own session, for work that begins and ends."""
    return _connect(settings, settings.spark_remote)


def _connect(settings: Settings, remote: str) -> SparkSession:
    await_server(settings)
    if settings.spark.ca_file is not None:
        if not settings.spark.ca_file.is_file():
            raise SparkUnavailableError(f"FINANCELAKE_SPARK__CA_FILE names {settings.spark.ca_file}, which is no file.")
        os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = str(settings.spark.ca_file)  # gRPC has no other setting for it
    session: SparkSession = SparkSession.builder.remote(remote).create()
    session.client.set_retry_policies([_RETRIES])
    try:
        refuse_version(session.version)
    except SparkConnectGrpcException as error:
        if "UNAUTHENTICATED" not in str(error):
            raise
        raise SparkUnavailableError(
            "the Spark Connect server does not take this lake's token. Check FINANCELAKE_SPARK__TOKEN."
        ) from error
    return session


def refuse_version(server: str, client: str = pyspark.__version__) -> None:
    """Raise if server and client differ in more than the patch release, because plans would fail with unclear errors.

    Raises:
        SparkUnavailableError: they differ.
    """
    if server.split(".")[:2] != client.split(".")[:2]:
        raise SparkUnavailableError(
            f"the Spark Connect server is Spark {server} and this lake's client {client}. Set "
            "FINANCELAKE_SPARK__REMOTE to a server of the client's version."
        )


def let_go(batch: DataFrame) -> None:
    """Drop a micro-batch's rows without a call to the server, which drops them itself when the function returns.

    pyspark would call the server without a deadline. We saw that the answer can be lost; then the query hangs.
    """
    plan = batch._plan
    if isinstance(plan, CachedRemoteRelation):
        plan._relation_id = None  # type: ignore[assignment]  # pyspark then makes no call


def start_query(rows: DataFrame, name: str, settings: Settings, write: WriteBatch) -> StreamingQuery:
    """Start a query that gives each micro-batch to a function; retry if its Python worker did not start in time.

    Args:
        rows: a stream.
        name: of the query and of its checkpoint, from which it continues.
        settings: the lake.
        write: called with each micro-batch and its id, in a process of Spark.

    Raises:
        PySparkException: any other error of Spark, or the worker was late at each attempt.
    """

    def batch(rows: DataFrame, batch_id: int) -> None:
        try:
            write(rows, batch_id)
        finally:
            let_go(rows)

    writer = (
        rows.writeStream.queryName(name)
        .foreachBatch(batch)
        .option("checkpointLocation", settings.checkpoint(name))
        .trigger(processingTime=f"{settings.spark.trigger_seconds} seconds")
    )
    return Retrying(
        stop=stop_after_attempt(_WORKER_ATTEMPTS),
        # a late worker still starts, on the same cores: a new one at once would make both later
        wait=wait_exponential(multiplier=5),
        retry=retry_if_exception(_is_worker_late),
        reraise=True,
    )(writer.start)


def _is_worker_late(error: BaseException) -> bool:
    return isinstance(error, PySparkException) and _WORKER_LATE in str(error)


@contextmanager
def activated(session: SparkSession) -> Iterator[None]:
    """Make a session the active one of this thread for a while.

    Loading a model and reading its attributes use the thread's active session, which is none in a new thread and may be
    the wrong one if several are open. pyspark 4.2 has no public way to set it.
    """
    holder = ConnectSession._active_session
    before = getattr(holder, "session", None)
    holder.session = session
    try:
        yield
    finally:
        holder.session = before
