"""Cleaning: bronze messages to typed bars, ticks or quarantine, as pure column expressions.

Enters: rows as Spark's Kafka source gives them, and the universe. Leaves: one row per message, either with typed
columns and no ``reason``, or with the first ``Reason`` found. No row is dropped and nothing here fails on any input.
The judgement depends on the message and the universe alone, so that a replay of the same offsets judges the same.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from financelake_assets.silver.reasons import Reason

PRICES = ("open", "high", "low", "close", "adj_close")
EVENTS = ("dividend", "split")
NUMBERS = (*PRICES, "volume", *EVENTS)
TEXTS = ("symbol", "asset_class", "interval", "event_time", "trade_id")
TICK = "tick"
INTERVAL_PATTERN = r"^(tick|[1-9][0-9]{0,2}[mhdw])$"
FUTURE_SKEW = "INTERVAL 1 HOUR"

# Every field is read as text and typed by us: from_json would turn a wrong type into an indistinguishable null.
_JSON_SCHEMA = "ARRAY<STRUCT<" + ", ".join(f"{name}: STRING" for name in (*TEXTS, *NUMBERS)) + ">>"
_ISO_DATE = r"^\d{4}-\d{2}-\d{2}"
_EARLIEST = "1800-01-01T00:00:00Z"


def clean(messages: DataFrame, universe: DataFrame) -> DataFrame:
    """Judge and type every message.

    Args:
        messages: key, value, topic, partition, offset, timestamp, headers as Spark's Kafka source gives them.
        universe: symbol and asset_class of every known symbol; small, it is broadcast.

    Returns:
        One row per message: raw, key, topic, partition, offset, provider, ingested_at, ``reason`` (null when the
        message is good), and the typed columns of a bar; ``imputed`` names the prices that were filled in.
    """
    known = universe.select(F.col("symbol").alias("symbol"), F.col("asset_class").alias("known_class"))
    typed = _typed(_parsed(messages)).join(F.broadcast(known), "symbol", "left")
    return _complete(typed.withColumn("reason", _reason()))


def _parsed(messages: DataFrame) -> DataFrame:
    text = F.col("value").cast("string")
    # a column of its own: Spark would parse the text once for each place where an expression stands
    elements = messages.withColumn("elements", _elements(text))
    only = F.when(F.size("elements") == 1, F.element_at("elements", 1))
    return elements.select(
        F.col("value").alias("raw"),
        "key",
        "topic",
        "partition",
        "offset",
        _header("provider").alias("provider"),
        F.col("timestamp").alias("ingested_at"),
        F.is_valid_utf8(text).alias("utf8"),
        only.alias("json"),
    )


def _elements(text: Column) -> Column:
    """What a text holds, as an array; of one element when it is one JSON object and nothing else.

    from_json stops behind the first object. Within an array, what stands behind it is an error or a second element;
    only a text that closes the array itself is still taken by its first object.
    """
    return F.from_json(F.when(text.rlike(r"^\s*\{"), F.concat(F.lit("["), text, F.lit("]"))), _JSON_SCHEMA)


def _header(name: str) -> Column:
    """The last value of the Kafka header ``name`` as text, or null; bytes that are not text are replaced."""
    matches = F.filter(F.col("headers"), lambda header: header["key"] == name)
    # no reader takes a table with a string that is not UTF-8, and nobody on the way here refuses one
    return F.make_valid_utf8(F.try_element_at(matches, F.lit(-1))["value"].cast("string"))


def _typed(parsed: DataFrame) -> DataFrame:
    json = F.col("json")
    time = F.when(json["event_time"].rlike(_ISO_DATE), json["event_time"].try_cast("timestamp"))
    event_time = F.when(time >= F.lit(_EARLIEST).cast("timestamp"), time)
    return parsed.select(
        "*",
        F.upper(F.trim(json["symbol"])).alias("symbol"),
        F.lower(F.trim(json["asset_class"])).alias("stated_class"),
        F.trim(json["interval"]).alias("interval"),
        F.nullif(F.trim(json["trade_id"]), F.lit("")).alias("trade_id"),
        event_time.alias("event_time"),
        # from_json gives the bare words NaN and Infinity back with quotes around them
        *[F.btrim(json[name], F.lit('"')).try_cast("double").alias(name) for name in NUMBERS],
    )


def _reason() -> Column:
    """The first reason that applies, in the order of ``Reason``; null for a good message."""
    json = F.col("json")
    topic_class = F.regexp_extract("topic", r"^bronze\.(\w+)$", 1)
    is_tick = F.col("interval") == TICK
    range_prices = [F.col(name) for name in ("open", "low", "close")]
    verdicts: list[tuple[Column, Reason]] = [
        (F.col("raw").isNull(), Reason.NULL_VALUE),
        (~F.col("utf8"), Reason.INVALID_UTF8),
        (json.isNull(), Reason.NOT_JSON),
        (F.coalesce(F.col("symbol"), F.lit("")) == "", Reason.MISSING_SYMBOL),
        (F.col("known_class").isNull(), Reason.UNKNOWN_SYMBOL),
        (
            (F.coalesce("stated_class", "known_class") != F.col("known_class"))
            | ((topic_class != "") & (topic_class != F.col("known_class"))),
            Reason.WRONG_ASSET_CLASS,
        ),
        (F.coalesce(F.col("interval"), F.lit("")) == "", Reason.MISSING_INTERVAL),
        (~F.col("interval").rlike(INTERVAL_PATTERN), Reason.UNKNOWN_INTERVAL),
        (json["event_time"].isNull(), Reason.MISSING_EVENT_TIME),
        (F.col("event_time").isNull(), Reason.WRONG_EVENT_TIME),
        (F.col("event_time") > F.col("ingested_at") + F.expr(FUTURE_SKEW), Reason.FUTURE_EVENT_TIME),
        (json["close"].isNull(), Reason.MISSING_PRICE),
        (_any(json[name].isNotNull() & F.col(name).isNull() for name in NUMBERS), Reason.WRONG_TYPE),
        (_any(_not_finite(F.col(name)) for name in NUMBERS), Reason.NOT_FINITE),
        (
            (F.col("known_class") != "commodity") & _any(F.col(name) <= 0 for name in PRICES),
            Reason.NON_POSITIVE_PRICE,
        ),
        (F.col("volume") < 0, Reason.NEGATIVE_VOLUME),
        (_any([F.col("dividend") < 0, F.col("split") <= 0]), Reason.IMPOSSIBLE_EVENT),
        (
            ~is_tick
            & (
                _any(F.col("high") < price for price in range_prices)
                | _any(F.col("low") > F.col(name) for name in ("open", "close"))
            ),
            Reason.INCONSISTENT_RANGE,
        ),
    ]
    # a null condition means that what it judges is absent, which is not what it is about
    return reduce(
        lambda rest, verdict: F.when(F.coalesce(verdict[0], F.lit(False)), verdict[1].value).otherwise(rest),
        reversed(verdicts),
        F.lit(None).cast("string"),
    )


def _complete(judged: DataFrame) -> DataFrame:
    """Fill a bar's absent open, high and low from what is there, and say which were filled."""
    absent = F.array_compact(F.array(*[F.when(F.col(name).isNull(), F.lit(name)) for name in ("open", "high", "low")]))
    open_ = F.coalesce("open", "close")
    return judged.select(
        "raw",
        "key",
        "topic",
        "partition",
        "offset",
        "provider",
        "ingested_at",
        "reason",
        "symbol",
        F.col("known_class").alias("asset_class"),
        "interval",
        "event_time",
        "trade_id",
        open_.alias("open"),
        F.coalesce(F.col("high"), F.greatest(open_, F.col("close"))).alias("high"),
        F.coalesce(F.col("low"), F.least(open_, F.col("close"))).alias("low"),
        "close",
        "adj_close",
        "volume",
        *EVENTS,
        F.when(F.size(absent) > 0, F.array_join(absent, ",")).alias("imputed"),
    )


def _any(conditions: object) -> Column:
    """True where one of the conditions is true; a null condition counts as false."""
    return reduce(
        lambda left, right: left | right,
        [F.coalesce(condition, F.lit(False)) for condition in conditions],  # type: ignore[attr-defined]
    )


def _not_finite(value: Column) -> Column:
    return F.isnan(value) | (F.abs(value) == float("inf"))
