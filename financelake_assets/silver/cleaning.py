"""Cleaning: a batch of bronze messages to typed bars, ticks or quarantine, as one pure function without a JVM.

Input: Kafka messages as an Arrow batch, and the universe. Output: one row per message, either with typed columns and
no ``reason``, or with the first ``Reason`` found. No row is dropped and nothing here fails on any input. The judgement
depends on the message and the universe alone, so that a replay of the same offsets judges the same.

Ordinary messages are parsed into structs and judged together, a column at a time. Whatever is not plainly good goes
message by message through ``judgement.judge``, which alone decides the reason. Both must say the same of every message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from operator import attrgetter, or_
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa

from financelake_assets.intervals import ALIASES, TICK
from financelake_assets.providers.base import NUMBERS, PRICES
from financelake_assets.silver.judgement import EARLIEST, FUTURE_SKEW, MOST_BYTES, class_of, judge, moment
from financelake_assets.silver.reasons import Reason

__all__ = ["CLEANED", "MESSAGES", "TICK", "Universe", "clean", "cleaned"]

Universe = Mapping[str, str]
"""The asset class of each known symbol."""

_TIME = pa.timestamp("us", tz="UTC")
MESSAGES = pa.schema(
    {
        "key": pa.binary(),
        "value": pa.binary(),
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "timestamp": _TIME,
        "provider": pa.binary(),
        "size": pa.int64(),
        "sha256": pa.string(),
    }
)
"""A batch that comes in. ``provider`` is the header of that name; ``size`` and ``sha256`` are those of a whole value of
which ``value`` is only the beginning, and null where it is whole."""

_TYPED: dict[str, Any] = {
    "symbol": pl.String,
    "asset_class": pl.String,
    "interval": pl.String,
    "event_time": pl.Datetime("us", "UTC"),
    "trade_id": pl.String,
    **dict.fromkeys(NUMBERS, pl.Float64),
}
CLEANED = pa.schema(
    {
        "raw": pa.binary(),
        "key": pa.binary(),
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "provider": pa.string(),
        "ingested_at": _TIME,
        "reason": pa.string(),
        "raw_size": pa.int64(),
        "raw_sha256": pa.string(),
        **dict.fromkeys(("symbol", "asset_class", "interval"), pa.string()),
        "event_time": _TIME,
        "trade_id": pa.string(),
        **dict.fromkeys(NUMBERS, pa.float64()),
        "imputed": pa.string(),
    }
)
"""A batch that goes out; ``raw`` and ``key`` are only of messages with a reason."""

# a longer one may be nested more deeply, or have longer numbers, than silver takes
_MOST_ORDINARY = 768
_ISO = r"^\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|\+00:00)$"


class _Ordinary(msgspec.Struct, gc=False):
    """A message as nearly all producers write it; msgspec refuses any other type of a field."""

    symbol: str
    interval: str
    event_time: str
    close: float
    asset_class: str | None = None
    trade_id: str | int | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    adj_close: float | None = None
    volume: float | None = None
    dividend: float | None = None
    split: float | None = None


_decoder = msgspec.json.Decoder(_Ordinary)


def clean(batch: pa.RecordBatch | pa.Table, universe: Universe) -> pa.Table:
    """Judge and type every message of a batch.

    Args:
        batch: with the columns of ``MESSAGES``.
        universe: of the lake.

    Returns:
        Rows of ``CLEANED`` in the order of the messages. ``imputed`` names the prices of a bar that were filled in.
    """
    return cleaned(pl.DataFrame(pl.from_arrow(batch)), universe).to_arrow().cast(CLEANED)


def cleaned(messages: pl.DataFrame, universe: Universe) -> pl.DataFrame:
    """``clean`` of a frame."""
    if messages.is_empty():
        return pl.DataFrame(pl.from_arrow(CLEANED.empty_table()))
    messages = messages.with_row_index("row").rename({"timestamp": "ingested_at"})
    fast = _fast(messages, universe)
    rest = messages.join(fast.select("row"), on="row", how="anti", maintain_order="left")
    typed = pl.concat([fast, _slow(rest, universe)]) if rest.height else fast.with_columns(_NO_REASON)
    return _complete(messages.join(typed, on="row", how="left", maintain_order="left"))


# -- ordinary messages -----------------------------------------------------------------------------------


def _fast(messages: pl.DataFrame, universe: Universe) -> pl.DataFrame:
    """The typed columns of the messages that are plainly good, with their ``row``."""
    ordinary = messages.filter(pl.col("size").is_null() & (pl.col("value").bin.size() <= _MOST_ORDINARY))
    ordinary = _of_text(ordinary.select("row", "topic", "ingested_at", "value"))
    taken, found = _decoded(ordinary)
    if not found:
        return pl.DataFrame(schema={"row": pl.UInt32, **_TYPED, "reason": pl.String})
    typed = taken.drop("value").hstack(_columns(found, universe))
    good = typed.filter(_plainly_good(typed))
    return good.select("row", *_TYPED, _NO_REASON)


def _of_text(ordinary: pl.DataFrame) -> pl.DataFrame:
    """The rows whose value is UTF-8; msgspec does not look at the strings of fields that it leaves out."""
    try:
        ordinary["value"].cast(pl.String)
    except pl.exceptions.ComputeError:
        return ordinary.filter(pl.Series([_is_text(value) for value in ordinary["value"].to_list()], dtype=pl.Boolean))
    return ordinary


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoded(ordinary: pl.DataFrame) -> tuple[pl.DataFrame, list[_Ordinary]]:
    decode, found, rows = _decoder.decode, [], []
    for row, value in enumerate(ordinary["value"].to_list()):
        try:
            found.append(decode(value))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue
        rows.append(row)
    return (ordinary if len(rows) == ordinary.height else ordinary[rows]), found


def _columns(found: list[_Ordinary], universe: Universe) -> pl.DataFrame:
    texts = {name: list(map(attrgetter(name), found)) for name in ("symbol", "interval", "event_time")}
    symbols = {text: text.strip(" ").upper() for text in set(texts["symbol"])}
    names = {text: ALIASES.get(text.strip(" ")) for text in set(texts["interval"])}
    trade_ids = [_trade_id(one.trade_id) for one in found]
    stated = [one.asset_class for one in found]
    return pl.DataFrame(
        {
            "symbol": [symbols[text] for text in texts["symbol"]],
            "asset_class": [universe.get(symbols[text]) for text in texts["symbol"]],
            "stated_class": stated,
            "interval": [names[text] for text in texts["interval"]],
            "event_time": _times(pl.Series("event_time", texts["event_time"], pl.String)),
            "trade_id": trade_ids,
            **{name: list(map(attrgetter(name), found)) for name in NUMBERS},
        },
        schema_overrides={**_TYPED, "stated_class": pl.String},
    )


def _trade_id(value: str | int | None) -> str | None:
    if value is None:
        return None
    return value.strip(" ") or None if isinstance(value, str) else str(value)


def _times(texts: pl.Series) -> pl.Series:
    """Times as ``moment`` reads them; of the usual form all at once."""
    matched = texts.str.contains(_ISO)
    usual = texts if matched.all() else texts.set(~matched, None)
    with_zone = usual.str.replace("Z$", "+00:00")
    found = with_zone.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False)
    found = found.set(found < EARLIEST, None)
    if matched.all():
        return found
    others = texts.filter(~matched).unique()
    known = {text: moment(text) for text in others.to_list()}
    values = [known.get(text, at) for text, at in zip(texts.to_list(), found.to_list(), strict=True)]
    return pl.Series(texts.name, values, pl.Datetime("us", "UTC"))


def _plainly_good(typed: pl.DataFrame) -> pl.Expr:
    """True for rows that every judgement of ``judge`` lets pass. A null means absent, which is not what it is about."""
    classes = {topic: class_of(topic) for topic in typed["topic"].unique().to_list()}
    of_topic = pl.col("topic").replace_strict(classes, return_dtype=pl.String)
    known, is_tick = pl.col("asset_class"), pl.col("interval") == TICK
    stated = pl.col("stated_class").str.strip_chars(" ").str.to_lowercase()
    bad = [
        pl.any_horizontal(pl.col("symbol") == "", known.is_null(), pl.col("interval").is_null()),
        # an integer 0 may have been written -0
        (pl.col("trade_id") == "0"),
        pl.col("event_time").is_null(),
        pl.col("event_time") > pl.col("ingested_at") + FUTURE_SKEW,
        pl.col("ingested_at").is_null(),
        stated != known,
        of_topic != known,
        *(~pl.col(name).is_finite() for name in NUMBERS),
        *((pl.col(name) <= 0) & (known != "commodity") for name in PRICES),
        pl.col("volume") < 0,
        pl.col("dividend") < 0,
        pl.col("split") <= 0,
        *((pl.col("high") < pl.col(name)) & ~is_tick for name in ("open", "low", "close")),
        *((pl.col("low") > pl.col(name)) & ~is_tick for name in ("open", "close")),
    ]
    return ~reduce(or_, (one.fill_null(False) for one in bad))


# -- the others ------------------------------------------------------------------------------------------

_NO_REASON = pl.lit(None, pl.String).alias("reason")
_SLOW = {"row": pl.UInt32, **_TYPED, "reason": pl.String}


def _slow(messages: pl.DataFrame, universe: Universe) -> pl.DataFrame:
    found = [
        _judged(row, value, topic, arrived, cut, universe)
        for row, value, topic, arrived, cut in messages.select(
            "row", "value", "topic", "ingested_at", pl.col("size").is_not_null()
        ).iter_rows()
    ]
    return pl.DataFrame(found, schema=_SLOW, orient="row")


def _judged(
    row: int, value: bytes | None, topic: str, arrived: datetime, cut: bool, universe: Universe
) -> dict[str, Any]:
    if cut or (value is not None and len(value) > MOST_BYTES):
        return {"row": row, "reason": Reason.NOT_JSON.value}
    found = judge(value, topic, arrived, universe)
    return {"row": row, **found.fields, "reason": None if found.reason is None else found.reason.value}


def _complete(judged: pl.DataFrame) -> pl.DataFrame:
    """Fill a bar's absent open, high and low from what is there, say which; keep raw bytes of what is refused."""
    bad = pl.col("reason").is_not_null()
    absent = [pl.when(pl.col(name).is_null() & ~bad).then(pl.lit(name)) for name in ("open", "high", "low")]
    open_ = pl.coalesce("open", "close")
    imputed = pl.concat_str(absent, separator=",", ignore_nulls=True)
    frame = judged.with_columns(
        raw=pl.when(bad).then("value"),
        key=pl.when(bad).then("key"),
        raw_size=pl.when(bad).then("size"),
        raw_sha256=pl.when(bad).then("sha256"),
        provider=_as_text(judged["provider"]),
        open=open_,
        high=pl.coalesce("high", pl.max_horizontal(open_, "close")),
        low=pl.coalesce("low", pl.min_horizontal(open_, "close")),
        imputed=pl.when(imputed != "").then(imputed),
    )
    return _cut(frame).select(CLEANED.names)


def _cut(frame: pl.DataFrame) -> pl.DataFrame:
    """Raw bytes up to the limit; of what is longer also its size and hash, where Spark has not cut it already."""
    long = frame["raw"].bin.size().fill_null(0) > MOST_BYTES
    if not long.any():
        return frame
    texts = frame.filter(long)["raw"].to_list()
    whole = iter([(len(text), hashlib.sha256(text).hexdigest(), text[:MOST_BYTES]) for text in texts])
    kept = [
        next(whole) if is_long else row
        for is_long, row in zip(long.to_list(), frame.select("raw_size", "raw_sha256", "raw").rows(), strict=True)
    ]
    sizes, hashes, raws = zip(*kept, strict=True)
    return frame.with_columns(
        pl.Series("raw_size", sizes, pl.Int64),
        pl.Series("raw_sha256", hashes, pl.String),
        pl.Series("raw", raws, pl.Binary),
    )


def _as_text(values: pl.Series) -> pl.Series:
    """Bytes as text; what is not text is replaced, because no table takes a string that is not UTF-8."""
    different = values.unique()
    texts = {one: None if one is None else one.decode("utf-8", "replace") for one in different.to_list()}
    if len(texts) == 1:
        return pl.Series(values.name, [next(iter(texts.values()))], pl.String).new_from_index(0, len(values))
    return pl.Series(values.name, [texts[one] for one in values.to_list()], pl.String)
