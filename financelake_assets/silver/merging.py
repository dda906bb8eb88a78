"""Merging: good messages folded into the rows that silver has, as pure functions over frames.

Input: the rows that a table has for some keys, and the messages about them. Output: the rows to write, whole, and how
many messages were taken and how many only repeated what was known. A key's messages are taken in the order in
which the broker took them, one at a time, so it does not matter how they were cut into micro-batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from financelake_assets.intervals import SERIES, TICK
from financelake_assets.silver.schema import BARS, TICKS

ARRIVAL = ("topic", "partition", "offset")
PLACE = (*ARRIVAL, "topic_id")
"""What no other message has, also where a topic was deleted and made again under its name."""
PLACE_ID = pl.format("{}/{}/{}@{}", *PLACE)
"""The identity of a trade that its market did not number."""
LINEAGE = (*PLACE, "provider", "ingested_at")
BAR_VALUES = ("open", "high", "low", "close", "adj_close", "volume", "dividend", "split", "imputed")
TRADE_VALUES = ("price", "size")
BAR_OF_TRADES = "1m"
LATE = pl.duration(seconds=70)
"""A trade is late when it comes this long after the first of its minute: the minute itself and ten seconds of grace."""

_SAME_TRADE = ("topic", "symbol", "event_time", "price", "size")
_EXACT_LIMIT = 1e15
_BARS = tuple(BARS.schema.names)
_TICKS = tuple(TICKS.schema.names)


@dataclass(frozen=True)
class Change:
    """What to do to a table: whole rows, one a key; whether they replace any that it has; and message counts."""

    rows: pl.DataFrame
    replaces: bool
    accepted: int
    duplicates: int = 0


def bar_changes(known: pl.DataFrame, messages: pl.DataFrame) -> Change:
    """Fold bar messages into the bars that are known. A bar that the lake built gives way to one that is told.

    Args:
        known: rows of silver.bars; those of other keys are ignored.
        messages: cleaned good messages that are bars.
    """
    built = known.filter(is_built())
    change = fold_bars(known.filter(~is_built()), as_bars(messages))
    replaces = change.replaces or not change.rows.join(built, on=list(BARS.key), how="semi").is_empty()
    return Change(change.rows, replaces, change.accepted, change.duplicates)


def trade_changes(known: pl.DataFrame, messages: pl.DataFrame) -> Change:
    """Fold trade messages into the trades that are known.

    A trade without a ``trade_id`` is identified by its place on the topic, because real trades share a millisecond, a
    price and a size. A topic that was made again carries such trades once more, at other offsets: the n-th trade of an
    instant, price and size on it is the n-th that the topics before it had.

    Args:
        known: rows of silver.ticks; those of other keys are ignored.
        messages: cleaned good messages that are ticks.
    """
    trades = as_trades(messages)
    again, repeats = _told_by_a_topic_before(known, trades)
    change = fold_trades(known, trades.join(again, on=list(PLACE), how="anti"))
    if repeats.is_empty():
        return change
    rows = pl.concat([change.rows, repeats.select(change.rows.columns)])
    return Change(rows, True, change.accepted, change.duplicates + again.height)


def as_bars(messages: pl.DataFrame) -> pl.DataFrame:
    """Bar messages with the columns that bars have in silver.bars."""
    return messages.with_columns(pl.lit(None, pl.Int64).alias(name) for name in ("trades", "late_trades", "parts"))


def is_built() -> pl.Expr:
    """Whether the lake built a bar of smaller ones (``building.py``)."""
    return pl.col("parts").is_not_null()


def may_grow() -> pl.Expr:
    """Whether a bar is made of trades or of smaller bars, and so grows until the next one begins."""
    return (pl.col("trades").fill_null(0) > 0) | is_built()


def without_growing(bars: pl.DataFrame) -> pl.DataFrame:
    """Whole series of bars without the newest one of each that may still grow."""
    newest = pl.col("event_time") == pl.col("event_time").max().over(SERIES)
    return bars.filter(~(newest & may_grow()))


def fold_bars(known: pl.DataFrame, rows: pl.DataFrame) -> Change:
    """``bar_changes`` of messages that ``as_bars`` gave."""
    return _fold(known, rows, BARS.key, BAR_VALUES, _BARS)


def as_trades(messages: pl.DataFrame) -> pl.DataFrame:
    """Tick messages with the names and the identity that trades have in silver.ticks."""
    return messages.with_columns(
        price="close",
        size="volume",
        trade_id=pl.coalesce("trade_id", PLACE_ID),
        repeated_on=pl.lit(None, pl.String),
    )


def is_named() -> pl.Expr:
    """Whether the market numbered a trade that ``as_trades`` gave; else its place is its identity."""
    return pl.col("trade_id") != PLACE_ID


def as_ticks(trades: pl.DataFrame) -> pl.DataFrame:
    """The tick messages that ``as_trades`` made trades of."""
    own = pl.when(is_named()).then("trade_id")
    return trades.with_columns(close="price", volume="size", trade_id=own, interval=pl.lit(TICK))


def fold_trades(known: pl.DataFrame, rows: pl.DataFrame) -> Change:
    """``trade_changes`` of messages that ``as_trades`` gave, where no topic before told of them."""
    return _fold(known, rows, TICKS.key, TRADE_VALUES, _TICKS)


def _told_by_a_topic_before(known: pl.DataFrame, trades: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The places of trades without ids that topics before had told of, and the rows that they repeat, so marked."""
    nth = [*_SAME_TRADE, "nth"]
    count = pl.int_range(pl.len()).over(_SAME_TRADE).alias("nth")
    without_id = pl.col("trade_id").str.starts_with(pl.format("{}/{}/{}", *ARRIVAL))
    topics = trades.select("topic", current="topic_id").unique()
    before = (
        known.filter(without_id)
        .join(topics, on="topic")
        .filter(pl.coalesce("repeated_on", "topic_id").ne_missing(pl.col("current")))
        .sort("ingested_at", *ARRIVAL)
        .with_columns(count)
    )
    fresh = trades.filter(~is_named()).sort(*ARRIVAL).with_columns(count)
    again = fresh.join(before, on=nth, how="semi", nulls_equal=True)
    repeats = before.join(fresh.select(nth), on=nth, how="semi", nulls_equal=True)
    return again.select(PLACE), repeats.with_columns(repeated_on="current")


def bars_of_trades(trades: pl.DataFrame) -> pl.DataFrame:
    """The 1-minute bars of all trades of some minutes.

    Trades of the same instant are ordered by their number where the market numbers them, else by arrival: those of a
    topic that was made again came behind those of the topic before.

    Args:
        trades: rows of silver.ticks, every one of each minute.

    Returns:
        Rows of silver.bars without ``processed_at``, counting no messages: those are counted in silver.ticks.
    """
    minute = pl.col("event_time").dt.truncate("1m")
    number = pl.col("trade_id").cast(pl.Int64, strict=False)
    late = pl.col("ingested_at") > pl.col("ingested_at").min() + LATE
    began = pl.col("ingested_at").min().over("symbol", minute, "topic", "topic_id")
    arrival = ("began", *ARRIVAL)
    return (
        trades.with_columns(number=number, began=began)
        .sort("symbol", "event_time", "number", *arrival, nulls_last=True)
        .group_by("symbol", minute, maintain_order=True)
        .agg(
            pl.col("asset_class").last(),
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            exact_sum("size").alias("volume"),
            pl.len().cast(pl.Int64).alias("trades"),
            late.sum().cast(pl.Int64).alias("late_trades"),
            *[pl.col(name).sort_by(*arrival).last() for name in LINEAGE],
        )
        .with_columns(
            interval=pl.lit(BAR_OF_TRADES),
            adj_close=pl.lit(None, pl.Float64),
            dividend=pl.lit(None, pl.Float64),
            split=pl.lit(None, pl.Float64),
            imputed=pl.lit(None, pl.String),
            messages=pl.lit(0, pl.Int64),
            parts=pl.lit(None, pl.Int64),
        )
        .select(name for name in _BARS if name != "processed_at")
    )


def with_bars_of_trades(known: pl.DataFrame, change: Change, rebuilt: pl.DataFrame) -> Change:
    """Add rebuilt 1-minute bars to a change of bars; where both have a key, what arrived last stays.

    Args:
        known: the rows of silver.bars with the keys of both.
        change: the change by bar messages.
        rebuilt: the result of ``bars_of_trades``.
    """
    key = list(BARS.key)
    told = pl.concat([known.join(change.rows, on=key, how="anti").select(_TOLD), change.rows.select(_TOLD)])
    told = told.rename({name: f"told_{name}" for name in _TOLD if name not in key})
    sides = rebuilt.join(told, on=key, how="left")
    same_partition = (pl.col("topic") == pl.col("told_topic")) & (pl.col("partition") == pl.col("told_partition"))
    later = (
        pl.when(pl.col("told_topic_id").eq_missing(pl.col("topic_id")))
        .then(pl.col("told_offset") > pl.col("offset"))
        .otherwise(pl.col("told_ingested_at") > pl.col("ingested_at"))
    )
    told_later = pl.col("told_trades").is_null() & same_partition & later
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"told_{name}")) for name in (*BAR_VALUES, "trades", "late_trades")
    )
    newer = sides.filter(~told_later.fill_null(False) & differs).with_columns(
        messages=pl.col("told_messages").fill_null(0)
    )
    kept = change.rows.join(newer, on=key, how="anti")
    rows = pl.concat([kept, newer.select(kept.columns)])
    replaces = not rows.join(known, on=key, how="semi").is_empty()
    return Change(rows, replaces, change.accepted, change.duplicates)


_TOLD = (*BARS.key, *BAR_VALUES, *PLACE, "ingested_at", "messages", "trades", "late_trades")


def _fold(
    known: pl.DataFrame, messages: pl.DataFrame, key: Sequence[str], values: Sequence[str], columns: Sequence[str]
) -> Change:
    """Take messages one at a time: one with other values than the row has replaces it, one with the same repeats it."""
    names = [name for name in columns if name not in ("messages", "processed_at")]
    arrived = messages.select(names).with_columns(messages=pl.lit(1, pl.Int64), arrived=pl.lit(True))
    before = (
        known.join(arrived, on=list(key), how="semi").select(*names, "messages").with_columns(arrived=pl.lit(False))
    )
    steps = _in_order(pl.concat([before, arrived]), key)
    same_key = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in key).fill_null(False)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in values)
    # what a row holds counts on, though a message that came before it was read only now
    taken = steps.filter(~same_key | differs | ~pl.col("arrived"))
    rows = (
        taken.group_by(*key, maintain_order=True)
        .agg(pl.exclude("messages", "arrived").last(), pl.col("messages").sum(), pl.col("arrived").any())
        .filter("arrived")
        .select(*names, "messages")
    )
    accepted = int(taken["arrived"].sum())
    replaces = not rows.join(before, on=list(key), how="semi").is_empty()
    return Change(rows, replaces, accepted, arrived.height - accepted)


def _in_order(steps: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """By key, in the order in which the broker took them: in a partition by offset, across partitions by its clock.

    Producers that set no key spread the messages of a series over partitions, which are read in any order.
    """
    sources = steps.select("symbol", "topic", "partition").unique()
    if sources.height == sources["symbol"].n_unique():
        return steps.sort(*key, "arrived", *ARRIVAL)
    within = steps.sort(*key, "topic", "partition", "arrived", "offset")
    taken_at = pl.col("ingested_at").cum_max().over(*key, "topic", "partition")
    return within.with_columns(taken_at=taken_at).sort(*key, "taken_at", "arrived", *ARRIVAL).drop("taken_at")


def exact_sum(name: str) -> pl.Expr:
    """Sum of decimals as they were written, where they allow it: a sum of doubles depends on the order of its rows."""
    value = pl.col(name)
    # a double's shortest text is the decimal that was sent
    exact = value.cast(pl.String).cast(pl.Decimal(38, 12), strict=False).sum().cast(pl.Float64)
    total = pl.when(value.abs().max() < _EXACT_LIMIT).then(exact).otherwise(value.sort().sum())
    return pl.when(value.count() > 0).then(total)
