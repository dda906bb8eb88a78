"""The process ``sql-server``: answers BI tools in Arrow Flight SQL, by the engine of ``financelake sql``.

Input: calls of JDBC, ODBC and ADBC drivers. Output: rows and metadata; it writes nothing, and refuses what writes. Run
it with ``python -m financelake_assets.flight_sql.server``. It needs neither Kafka nor Spark, and its process gives way
to the lake's streams. SIGTERM and SIGINT end the queries that run, and then the process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import pyarrow as pa
import structlog
from cachetools import LRUCache
from pyarrow import flight

from financelake_assets import logs
from financelake_assets.config import Settings, get_settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.flight_sql import messages, metadata
from financelake_assets.flight_sql.access import Access, Handshake, certificates, location
from financelake_assets.flight_sql.columns import in_columns, of_placeholders, readable
from financelake_assets.flight_sql.messages import Told
from financelake_assets.flight_sql.queries import BusyError, GoneError, Left, Queries
from financelake_assets.query.errors import QueryError, QueryTimeoutError, ReadOnlyError

_POLITE = 10
"""Added to the niceness of the process, so that the lake's streams have priority."""
_MOST_PREPARED = 1_000
"""Prepared statements that are kept; then the one that was used least recently is forgotten."""

_WRITES = ("CommandStatementUpdate", "CommandPreparedStatementUpdate", "CommandStatementIngest")

log = structlog.get_logger()


@dataclass(frozen=True)
class Prepared:
    """A prepared statement. ``values`` are those of its placeholders, when the client has sent them."""

    query: str
    placeholders: tuple[pa.DataType, ...]
    values: tuple[object, ...] = ()


class SqlServer(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow has no types
    """Answers calls as soon as it is made; a thread for each.

    Args:
        settings: the lake.

    Raises:
        OpenServerError: it would be open to others.
    """

    def __init__(self, settings: Settings) -> None:
        self.queries = Queries(settings)
        self._prepared: LRUCache[bytes, Prepared] = LRUCache(_MOST_PREPARED)
        self._lock = threading.Lock()
        super().__init__(
            location(settings),
            auth_handler=Handshake(),
            tls_certificates=certificates(settings),
            middleware={"access": Access(settings)},
        )

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        """Where the answer to a command is: here, by a ticket that repeats the command."""
        ticket = flight.Ticket(descriptor.command)
        schema = self._schema(context, descriptor.command)
        return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(ticket, [])], -1, -1)

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        """The columns of the answer to a command."""
        return flight.SchemaResult(self._schema(context, descriptor.command))

    def do_get(self, context: Any, ticket: Any) -> Any:
        """The answer to a command."""
        told = _read(ticket.ticket)
        if (answer := metadata.ANSWERS.get(told.name)) is not None:
            table = answer(told).combine_chunks()
            # one batch in any case: of a stream without batches, the JDBC driver does not see the columns
            batches = table.to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
            return flight.GeneratorStream(table.schema, iter(batches))
        asked = self._asked(told)
        try:
            schema, batches = self.queries.read(asked.query, asked.values, context.is_cancelled)
        except FinanceLakeError as error:
            _refuse(error)
        columns = readable(schema)
        return flight.GeneratorStream(columns, (in_columns(batch, columns) for batch in _in_words(batches)))

    def do_action(self, context: Any, action: Any) -> Any:
        """Prepare a statement, or forget it."""
        told = messages.read(action.body.to_pybytes())
        if action.type == "CreatePreparedStatement" and told is not None:
            return [flight.Result(self._prepare(told.get("query") or "", context.is_cancelled))]
        if action.type == "ClosePreparedStatement" and told is not None:
            with self._lock:
                self._prepared.pop(told.get("prepared_statement_handle"), None)
            return []
        raise NotImplementedError(f"This server has no {action.type}: it only reads, statement by statement.")

    def list_actions(self, context: Any) -> Any:  # noqa: ARG002  # the signature of pyarrow
        """The actions that the server knows."""
        return [("CreatePreparedStatement", "Prepare a query."), ("ClosePreparedStatement", "Forget it.")]

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:  # noqa: ARG002  # pyarrow's
        """Take the values of a prepared statement's placeholders. Nothing else is taken."""
        told = _read(descriptor.command)
        if told.name in _WRITES:
            _refuse(ReadOnlyError("This server only reads.", remedy="Use SELECT."))
        if told.name != "CommandPreparedStatementQuery":
            raise NotImplementedError(f"This server takes no {told.name}.")
        asked, rows = self._asked(told), reader.read_all()
        if rows.num_rows != 1 or rows.num_columns != len(asked.placeholders):
            _refuse(
                QueryError(
                    f"The statement has {len(asked.placeholders)} placeholders, and {rows.num_rows} rows of "
                    f"{rows.num_columns} values came.",
                    remedy="Send one row, with a value for each.",
                )
            )
        values = tuple(column[0].as_py() for column in rows.columns)
        with self._lock:
            self._prepared[told.get("prepared_statement_handle")] = replace(asked, values=values)

    def end(self) -> None:
        """End the queries that run, then the server."""
        self.queries.stop()
        self.shutdown()

    def _schema(self, context: Any, command: bytes) -> pa.Schema:
        told = _read(command)
        if (answer := metadata.ANSWERS.get(told.name)) is not None:
            return answer(told).schema
        asked = self._asked(told)
        try:
            return readable(self.queries.describe(asked.query, context.is_cancelled, asked.values or None).schema)
        except FinanceLakeError as error:
            _refuse(error)

    def _prepare(self, query: str, left: Left) -> bytes:
        try:
            described = self.queries.describe(query, left)
        except FinanceLakeError as error:
            _refuse(error)
        handle = uuid.uuid4().bytes
        with self._lock:
            self._prepared[handle] = Prepared(query, described.placeholders)
        values = of_placeholders(described.placeholders)
        return messages.written(
            "ActionCreatePreparedStatementResult",
            prepared_statement_handle=handle,
            dataset_schema=readable(described.schema).serialize().to_pybytes(),
            parameter_schema=values.serialize().to_pybytes(),
        )

    def _asked(self, told: Told) -> Prepared:
        if told.name == "CommandStatementQuery":
            return Prepared(told.get("query") or "", ())
        if told.name != "CommandPreparedStatementQuery":
            raise NotImplementedError(f"This server answers no {told.name}.")
        with self._lock:
            found = self._prepared.get(told.get("prepared_statement_handle"))
        if found is None:
            _refuse(QueryError("The prepared statement is not known (any more).", remedy="Prepare it again."))
        return found


def _read(command: bytes) -> Told:
    told = messages.read(command)
    if told is None:
        raise NotImplementedError("This server answers commands of Flight SQL, and this is none that it knows.")
    return told


def _in_words(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except FinanceLakeError as error:
        _refuse(error)


def _refuse(error: FinanceLakeError) -> NoReturn:
    """Raise an error as Flight knows it, with its remedy."""
    text = " ".join(filter(None, (str(error), error.remedy))).rstrip(".")  # gRPC adds a full stop
    if isinstance(error, QueryTimeoutError):
        raise flight.FlightTimedOutError(text) from error
    if isinstance(error, BusyError):
        raise flight.FlightUnavailableError(text) from error
    if isinstance(error, GoneError):
        raise flight.FlightCancelledError(text) from error
    if isinstance(error, ReadOnlyError):
        raise flight.FlightUnauthorizedError(text) from error
    # pyarrow puts the traceback into the message of every error but its own
    raise flight.FlightInternalError(text) from error


def main() -> int:
    """Serve until SIGTERM or SIGINT; 2 where the settings would open the server to others, or its port is taken."""
    settings = get_settings()
    logs.set_up(settings)
    os.nice(_POLITE)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        server = SqlServer(settings)
    except FinanceLakeError as error:
        log.error(f"{error} {error.remedy}")  # noqa: TRY400  # a message for the user, without a stack trace
        return 2
    except (OSError, pa.ArrowException) as error:  # which tells no reason; the line of gRPC above it does
        log.error(  # noqa: TRY400
            f"The SQL server cannot listen at {location(settings)}: {error}. Another process may have the port "
            "(FINANCELAKE_SQL_SERVER__PORT), or FINANCELAKE_SQL_SERVER__TLS_FILE lacks the key or the certificate."
        )
        return 2
    log.info("SQL for BI tools", location=location(settings))
    ended.wait()  # serve() of pyarrow would take the signals for itself
    server.end()
    log.info("the sql-server has ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
