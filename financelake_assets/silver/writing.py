"""Writing: changes of silver committed once, whoever else writes and however often a micro-batch is run again.

Input: cleaned messages and a function that turns those not yet counted into a change. Output: one Delta commit that
holds the rows, the totals, and for each partition the offset up to which this table has counted its messages. Because
all of that is one commit, messages below that offset are known to be counted and are left out; because every commit
moves the totals, two writers at once conflict, and the second looks again.

The totals and offsets are Delta application transactions: named numbers that a commit sets atomically with its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.transaction import AddAction, RemoveAction

from financelake_assets.silver.merging import Change
from financelake_assets.storage.delta import TableSpec, retried
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets.storage.staged_files import StagedFile

TopicIds = Mapping[str, str]
"""The broker's id of each topic. A topic made again under the same name has another, and offsets of its own."""

Ends = Sequence[tuple[str, int, int]]
"""Topic, partition, and an offset in it."""

_ACCEPTED, _DUPLICATES, _UNIVERSE = "accepted", "duplicates", "universe"
_MOST_RUNS = 64
_SAME_RUN = timedelta(hours=1)


class Totals(NamedTuple):
    """Messages that a table has counted since it was made: those that changed it, and those that only repeated."""

    accepted: int
    duplicates: int


def totals(table: DeltaTable) -> Totals:
    """The totals of a silver table, read from its log alone."""
    return Totals(table.transaction_version(_ACCEPTED) or 0, table.transaction_version(_DUPLICATES) or 0)


def counted_up_to(table: DeltaTable, topic: str, partition: int, topic_id: str) -> int:
    """The offset below which a table has counted all its messages of a partition; 0 before the first."""
    return table.transaction_version(_mark(topic, partition, topic_id)) or 0


def universe_version(table: DeltaTable) -> int | None:
    """Version of the universe that the last messages which the table counted were judged by."""
    return table.transaction_version(_UNIVERSE)


def write(
    spec: TableSpec,
    tables: OpenTables,
    messages: pl.DataFrame,
    topic_ids: TopicIds,
    change: Callable[[DeltaTable, pl.DataFrame], Change],
    universe: int | None = None,
) -> Change | None:
    """Commit what the messages change in a table, once.

    Args:
        spec: the table.
        tables: of the lake.
        messages: with topic, partition and offset; in each partition everything before them has been written already.
        topic_ids: of the topics that the messages were read from.
        change: what messages that the table has not counted change in it; called again when another writer was faster.
        universe: version of the universe that they were judged by.

    Returns:
        What was written; ``None`` where the table had counted every message.

    Raises:
        CommitFailedError: other writers were faster each time.
    """
    if messages.is_empty():
        return None

    messages = with_ids(messages, topic_ids)

    def attempt() -> Change | None:
        table = tables.newest(spec)
        fresh = not_counted(table, messages, topic_ids)
        if fresh.is_empty():
            return None
        changed = change(table, fresh)
        counts = Totals(changed.accepted, changed.duplicates)
        _commit(spec, table, changed, _transactions(table, ends_of(fresh), topic_ids, counts, universe))
        return changed

    # an OPTIMIZE that lost against every batch takes its turn
    with spec.turn(tables.settings):
        return retried(attempt)


def add_files(
    spec: TableSpec,
    tables: OpenTables,
    files: Callable[[DeltaTable], Sequence[StagedFile] | None],
    counts: Totals,
    ends: Ends,
    firsts: Ends,
    topic_ids: TopicIds,
    universe: int | None = None,
) -> bool:
    """Commit files that hold what messages change in a table, once, where nothing has to be merged.

    Args:
        spec: the table.
        tables: of the lake.
        files: that lie in the table's folder, none of whose rows the table has; ``None`` where it has some. Called
            again when another writer was faster.
        counts: of the messages.
        ends: topic, partition and the offset behind the last message.
        firsts: topic, partition and the offset at which the batch begins.
        topic_ids: of the topics that the messages were read from.
        universe: version of the universe that they were judged by.

    Returns:
        False where nothing was committed: the table has counted some of the messages, or rows have to be merged.

    Raises:
        CommitFailedError: other writers were faster each time.
    """

    def attempt() -> bool:
        table = tables.newest(spec)
        if not untouched(table, firsts, topic_ids) or (found := files(table)) is None:
            return False
        properties = CommitProperties(app_transactions=_transactions(table, ends, topic_ids, counts, universe))
        actions: list[AddAction | RemoveAction] = [file.as_action() for file in found]
        table.create_write_transaction(actions, "append", table.schema(), commit_properties=properties)
        return True

    with spec.turn(tables.settings):
        return retried(attempt)


def untouched(table: DeltaTable, firsts: Ends, topic_ids: TopicIds) -> bool:
    """Whether a table has counted nothing from some offsets on."""
    return all(counted_up_to(table, topic, part, topic_ids[topic]) <= first for topic, part, first in firsts)


def not_counted(table: DeltaTable, messages: pl.DataFrame, topic_ids: TopicIds) -> pl.DataFrame:
    """The messages at or behind the offset up to which the table has counted their partition."""
    parts = messages.select("topic", "partition").unique()
    counted = [counted_up_to(table, topic, partition, topic_ids[topic]) for topic, partition in parts.iter_rows()]
    marks = parts.with_columns(counted=pl.Series(counted, dtype=pl.Int64))
    behind = messages.join(marks, on=["topic", "partition"], maintain_order="left")
    return behind.filter(pl.col("offset") >= pl.col("counted")).drop("counted")


def rows_with(table: DeltaTable, keys: pl.DataFrame) -> pl.DataFrame:
    """The rows of a table that have one of some keys, reading only files that may hold them.

    Args:
        table: a silver table with symbol and event_time.
        keys: the columns to match, among them symbol and event_time.
    """
    near = _near(keys["symbol"], keys["event_time"])
    return pl.scan_delta(table).filter(near).join(keys.lazy(), on=keys.columns, how="semi").collect()


def rows_in_minutes(table: DeltaTable, minutes: pl.DataFrame) -> pl.DataFrame:
    """The rows of a table whose ``event_time`` lies in one of some minutes of a symbol.

    Args:
        table: a silver table with symbol and event_time.
        minutes: symbol and event_time, truncated to the minute.
    """
    near = _near(minutes["symbol"], minutes["event_time"], timedelta(minutes=1))
    rows = pl.scan_delta(table).filter(near).with_columns(minute=pl.col("event_time").dt.truncate("1m"))
    wanted = minutes.lazy().rename({"event_time": "minute"})
    return rows.join(wanted, on=["symbol", "minute"], how="semi").drop("minute").collect()


def rows_between(table: DeltaTable, spans: pl.DataFrame, interval: str) -> pl.DataFrame:
    """The rows of an interval in some spans of time, and a few around them.

    Args:
        table: silver/bars.
        spans: symbol, first, and end, of at most a few days.
        interval: of the rows.
    """
    width = (spans["end"] - spans["first"]).max()
    near = _near(spans["symbol"], spans["first"], width if isinstance(width, timedelta) else timedelta(0))
    return pl.scan_delta(table).filter(near & (pl.col("interval") == interval)).collect()


def _near(symbols: pl.Series, times: pl.Series, width: timedelta = timedelta(0)) -> pl.Expr:
    """True for every row of some symbols at some times, and little else: one range for each run of times."""
    ordered = times.unique().sort()
    runs = pl.DataFrame({"time": ordered, "run": (ordered.diff() > _SAME_RUN).fill_null(False).cum_sum()})
    spans = runs.group_by("run").agg(pl.col("time").min().alias("first"), pl.col("time").max().alias("last"))
    if spans.height > _MOST_RUNS:
        spans = spans.select(pl.col("first").min(), pl.col("last").max())
    ranges = [pl.col("event_time").is_between(row["first"], row["last"] + width) for row in spans.rows(named=True)]
    return pl.any_horizontal(ranges or [pl.lit(False)]) & pl.col("symbol").is_in(symbols.unique().to_list())


def _commit(spec: TableSpec, table: DeltaTable, change: Change, transactions: list[Transaction]) -> None:
    properties = CommitProperties(app_transactions=transactions)
    if change.rows.is_empty():
        table.create_write_transaction([], "append", table.schema(), commit_properties=properties)
        return
    if not change.replaces:
        write_deltalake(table, as_declared(spec, change.rows), mode="append", commit_properties=properties)
        return
    merge(spec, table, change.rows, properties)


def as_counted(table: DeltaTable) -> CommitProperties:
    """Properties of a commit that counts no message, and still conflicts with those that do."""
    return CommitProperties(app_transactions=_transactions(table, [], {}, Totals(0, 0), None))


def merge(spec: TableSpec, table: DeltaTable, rows: pl.DataFrame, properties: CommitProperties) -> None:
    """Commit whole rows, in place of those with their keys."""
    first, last = rows.select(pl.col("event_time").min(), last=pl.col("event_time").max()).row(0)
    # the range lets files be skipped; what the source holds is the lake's own
    predicate = f"t.event_time >= '{first.isoformat()}' AND t.event_time <= '{last.isoformat()}' AND {spec.same_key}"
    source = as_declared(spec, rows)
    merging = table.merge(source, predicate, source_alias="s", target_alias="t", commit_properties=properties)
    merging.when_matched_update_all().when_not_matched_insert_all().execute()


def with_ids(messages: pl.DataFrame, topic_ids: TopicIds) -> pl.DataFrame:
    """Messages with the broker's id of their topic, without which topic, partition and offset are no whole place."""
    return messages.with_columns(topic_id=pl.col("topic").replace_strict(topic_ids, return_dtype=pl.String))


def as_declared(spec: TableSpec, rows: pl.DataFrame) -> pa.Table:
    """Rows with a silver table's columns in its order and types, and the time of writing.

    Args:
        spec: one of the tables that messages are counted in.
        rows: at least its columns, but those of a cut message and of the time.
    """
    now = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
    stamp = next(name for name in spec.schema.names if name in ("processed_at", "quarantined_at"))
    absent = {
        "raw_size": pl.lit(None, pl.Int64),
        "raw_sha256": pl.lit(None, pl.String),
        "repeated_on": pl.lit(None, pl.String),
    }
    stamped = rows.with_columns(now.alias(stamp), **{n: e for n, e in absent.items() if n not in rows.columns})
    return stamped.select(spec.schema.names).to_arrow().cast(spec.schema)


def ends_of(messages: pl.DataFrame) -> Ends:
    """The offset behind the last message of each partition."""
    return messages.group_by("topic", "partition").agg(pl.col("offset").max() + 1).rows()


def _transactions(
    table: DeltaTable, ends: Ends, topic_ids: TopicIds, counts: Totals, universe: int | None
) -> list[Transaction]:
    before = totals(table)
    return [
        Transaction(_ACCEPTED, before.accepted + counts.accepted),
        Transaction(_DUPLICATES, before.duplicates + counts.duplicates),
        *([] if universe is None else [Transaction(_UNIVERSE, universe)]),
        *(Transaction(_mark(topic, partition, topic_ids[topic]), end) for topic, partition, end in ends),
    ]


def _mark(topic: str, partition: int, topic_id: str) -> str:
    return f"{topic}/{partition}@{topic_id}"
