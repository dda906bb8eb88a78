"""The lake in Python, for scripts and notebooks: read-only, without Spark and without a running lake.

    >>> from financelake_assets import lake
    >>> lake.sql("SELECT symbol, signal FROM gold.signals ORDER BY event_time DESC LIMIT 5")  # doctest: +SKIP
    >>> lake.bars("BTC-USD", "1d", start="2025-01-01").collect()  # doctest: +SKIP

``FINANCELAKE_DATA_DIR`` and the other variables, or ``settings=``, select the lake. Times are UTC; a time without a
zone counts as UTC. Frames are polars frames; ``.to_pandas()`` and ``.to_arrow()`` convert them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings, get_settings
from financelake_assets.model import other_reading, other_series
from financelake_assets.model.features import FEATURES
from financelake_assets.model.plugged_features import columns_of, features_with
from financelake_assets.plugins import installed
from financelake_assets.query import engine, following, versions
from financelake_assets.query.engine import Answer
from financelake_assets.query.errors import (
    QueryError,
    QueryTimeoutError,
    ReadOnlyError,
    UnknownTableError,
    VersionGoneError,
)
from financelake_assets.query.following import NewRows
from financelake_assets.query.names import dotted, known
from financelake_assets.query.versions import AsOf
from financelake_assets.silver.merging import without_growing
from financelake_assets.silver.schema import BARS

__all__ = [
    "Answer",
    "AsOf",
    "NewRows",
    "QueryError",
    "QueryTimeoutError",
    "ReadOnlyError",
    "TableInfo",
    "UnknownTableError",
    "VersionGoneError",
    "answered",
    "bars",
    "features",
    "follow",
    "sql",
    "table",
    "tables",
]

_INTERVAL = re.compile(r"[1-9]\d*[mhdw]")

Time = datetime | str
"""A time; as text in ISO 8601."""


@dataclass(frozen=True)
class TableInfo:
    """State of a table. ``version`` is ``None`` if the lake has not created it yet."""

    name: str
    description: str
    rows: int
    version: int | None
    bytes: int
    newest: datetime | None


def table(name: str, *, as_of: AsOf = None, settings: Settings | None = None) -> pl.LazyFrame:
    """A table as a lazy frame: it reads only the columns and files that its use needs.

    Args:
        name: as in SQL, such as ``gold.signals``.
        as_of: a version, or a time; the default is now.
        settings: the lake; by default from the environment.

    Returns:
        The rows, in no particular order; no rows if the lake has not created the table yet.

    Raises:
        UnknownTableError: there is no such table; the message names the nearest one.
        VersionGoneError: the version never existed or was deleted; the message says which versions are kept.

    Example:
        >>> lake.table("gold.signals", as_of="2026-11-01").filter(pl.col("signal") == "BUY").collect()  # doctest: +SKIP
    """
    spec, lake = known(name), settings or get_settings()
    opened = versions.at(spec, lake, as_of)
    return spec.empty.lazy() if opened is None else pl.scan_delta(opened)


def sql(
    query: str, *, as_of: AsOf = None, timeout: float | None = None, settings: Settings | None = None
) -> pl.DataFrame:
    """Query the lake in SQL, DuckDB's dialect; see docs/sql.md.

    Args:
        query: one statement that only reads.
        as_of: a time at which all tables are read; or a version, if the query reads only one table.
        timeout: the time limit in seconds; the default is ``FINANCELAKE_QUERY__TIMEOUT_SECONDS``.
        settings: the lake; by default from the environment.

    Raises:
        ReadOnlyError: the query would change something, or read something other than tables.
        UnknownTableError: it names a table that does not exist.
        VersionGoneError: as in ``table``.
        QueryTimeoutError: it exceeded the time limit.
        QueryError: the query is wrong; the message is DuckDB's.

    Example:
        >>> lake.sql("SELECT signal, count(*) FROM gold.signals GROUP BY signal")  # doctest: +SKIP
    """
    with answered(query, as_of=as_of, timeout=timeout, settings=settings) as answer:
        return pl.DataFrame(pl.from_arrow(answer.table()))


def answered(
    query: str, *, as_of: AsOf = None, timeout: float | None = None, settings: Settings | None = None
) -> AbstractContextManager[Answer]:
    """Query in SQL and read the answer batch by batch, if it does not fit in memory; otherwise like ``sql``.

    Example:
        >>> with lake.answered("FROM silver.bars") as answer:  # doctest: +SKIP
        ...     for batch in answer.batches:
        ...         print(batch.num_rows)
    """
    return engine.answered(settings or get_settings(), query, as_of, timeout)


def bars(
    symbol: str,
    interval: str,
    start: Time | None = None,
    end: Time | None = None,
    *,
    as_of: AsOf = None,
    settings: Settings | None = None,
) -> pl.LazyFrame:
    """The bars of one symbol in the order of time.

    Args:
        symbol: such as ``BTC-USD``.
        interval: such as ``1d``.
        start: the first bar begins at this time or later.
        end: the last bar begins before this time.
        as_of: a version of ``silver.bars``, or a time; the default is now.
        settings: the lake; by default from the environment.

    Raises:
        QueryError: no such interval, or a time that cannot be read.
        VersionGoneError: as in ``table``.

    Example:
        >>> lake.bars("BTC-USD", "1d", start="2025-01-01").select("event_time", "close").collect()  # doctest: +SKIP
    """
    if not _INTERVAL.fullmatch(interval):
        raise QueryError(f"{interval!r} is no interval of bars.", remedy="Write it like 1m, 5m, 1h or 1d.")
    rows = table(dotted(BARS), as_of=as_of, settings=settings)
    rows = rows.filter(pl.col("symbol") == symbol, pl.col("interval") == interval)
    return rows.filter(*_within(start, end)).sort("event_time")


def features(
    symbol: str,
    interval: str,
    start: Time | None = None,
    end: Time | None = None,
    *,
    as_of: AsOf = None,
    settings: Settings | None = None,
) -> pl.DataFrame:
    """The inputs of the model for the bars of one symbol, as a training on that version of the bars has them.

    Args:
        symbol: such as ``BTC-USD``.
        interval: such as ``1d``.
        start: the first bar begins at this time or later; its features know the bars before it.
        end: the last bar begins before this time.
        as_of: a version of ``silver.bars``, or a time; the default is now.
        settings: the lake; by default from the environment.

    Returns:
        In the order of time: ``symbol``, ``interval``, ``event_time``, ``price`` (the close, adjusted if the provider
        adjusts), ``bar_volatility`` (the expected standard deviation of the next log return), ``scorable``, the
        features, and those of plug-ins. Features of bars that are not scorable may be null. A bar that still grows is
        left out.

    Raises:
        QueryError, VersionGoneError: as in ``bars``.
        PluginError: a plug-in fails.

    Example:
        >>> lake.features("BTC-USD", "1d", as_of="2026-11-01").filter("scorable")  # doctest: +SKIP
    """
    lake = settings or get_settings()
    plugins = other_series.usable(installed.features(lake.skipped_plugins), interval)
    columns = ("symbol", "interval", "event_time", "price", "bar_volatility", "scorable", *FEATURES)
    whole = bars(symbol, interval, as_of=as_of, settings=lake).collect()
    silver = table(dotted(BARS), as_of=as_of, settings=lake)
    others = other_reading.of_lake(lake, silver, plugins, interval, [symbol])
    rows = features_with(without_growing(whole), plugins, others).select(*columns, *columns_of(plugins))
    return rows.filter(*_within(start, end))


def follow(
    name: str, *, after: int | None = None, idle_seconds: float | None = None, settings: Settings | None = None
) -> Iterator[NewRows]:
    """The new rows of a table as they are committed, one ``NewRows`` for each commit.

    It gives a corrected row again, with its new values, and no deleted rows. Store the ``version`` of the last
    ``NewRows`` that you have processed, and continue with ``after=`` that version: then each commit comes once.

    Args:
        name: as in SQL, such as ``gold.signals``.
        after: begin after this version; -1 is the table's beginning, the default is now.
        idle_seconds: end when there was no commit for this long; by default it never ends.
        settings: the lake; by default from the environment.

    Raises:
        UnknownTableError: there is no such table.
        VersionGoneError: commits after that version were deleted.

    Example:
        >>> for new in lake.follow("gold.signals"):  # doctest: +SKIP
        ...     print(new.version, new.rows.select("symbol", "signal"))
    """
    spec, lake = known(name), settings or get_settings()
    return following.follow(spec, lake, following.position(spec, lake, after), idle_seconds)


def tables(settings: Settings | None = None) -> list[TableInfo]:
    """Every table of the lake, from its log alone.

    Example:
        >>> [table.name for table in lake.tables() if table.rows]  # doctest: +SKIP
    """
    lake, found = settings or get_settings(), []
    for spec in TABLES:
        facts, opened = spec.facts(lake), spec.open(lake)
        size = 0 if opened is None else sum(pa.table(opened.get_add_actions())["size_bytes"].to_pylist())
        found.append(
            TableInfo(
                dotted(spec),
                spec.description,
                facts.rows if facts else 0,
                facts.version if facts else None,
                size,
                facts.newest if facts else None,
            )
        )
    return found


def _within(start: Time | None, end: Time | None) -> list[pl.Expr]:
    """Conditions on bars that begin at the start or later, and before the end; none where none is given."""
    since = [] if start is None else [pl.col("event_time") >= _utc(start)]
    return since if end is None else [*since, pl.col("event_time") < _utc(end)]


def _utc(time: Time) -> datetime:
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            remedy = "Write it in ISO 8601, such as 2026-11-01T09:30."
            raise QueryError(f"{time!r} is no time.", remedy=remedy) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
