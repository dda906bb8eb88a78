"""Culprits: the one message for which a micro-batch cannot be done, told from a machine that fails, and refused.

Input: an error, and a message alone. Output: whether the message is at fault, and its row of quarantine. A full disk
or a store that does not answer fails with every message; none of them is refused for it.
"""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
from deltalake.exceptions import DeltaError
from pyspark.errors import PythonException

from financelake_assets.intervals import TICK
from financelake_assets.silver import cleaning, merging, schema, writing
from financelake_assets.silver.cleaning import CLEANED, Universe
from financelake_assets.silver.ranges import Ranges
from financelake_assets.silver.reasons import Reason

_OF_CODE = (
    PythonException,
    pl.exceptions.PolarsError,
    pa.ArrowException,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AssertionError,
    RecursionError,
)


def may_be_of_messages(error: BaseException) -> bool:
    """Whether an error may come from what messages hold. One of the machine or the store mostly looks otherwise."""
    return isinstance(error, _OF_CODE) or _breaks_a_rule(error)


def is_culprit(error: BaseException, message: pl.DataFrame, universe: Universe) -> bool:
    """Whether a message alone, without any table, server or disk, fails too, or breaks a rule of a table.

    Args:
        error: with which the message failed where it was to be written.
        message: one, with the columns of ``MESSAGES``.
        universe: of the lake.
    """
    if _breaks_a_rule(error):
        return True
    try:
        judged = cleaning.cleaned(message, universe).with_columns(topic_id=pl.lit("alone"))
        good = judged.filter(pl.col("reason").is_null())
        ticks, bars = good.filter(pl.col("interval") == TICK), good.filter(pl.col("interval") != TICK)
        trades = merging.trade_changes(schema.TICKS.empty, ticks).rows
        writing.as_declared(schema.TICKS, trades)
        writing.as_declared(schema.BARS, merging.bar_changes(schema.BARS.empty, bars).rows)
        merging.bars_of_trades(trades.with_columns(processed_at=pl.lit(None, pl.Datetime("us", "UTC"))))
    except Exception:
        return True
    return False


def refused(part: Ranges, message: pl.DataFrame | None) -> pl.DataFrame:
    """A row of ``CLEANED`` for a message that is refused without being judged.

    Args:
        part: its place.
        message: itself with the columns of ``MESSAGES``; ``None`` where reading it would end the process.
    """
    ((topic, of),) = part.items()
    ((partition, (offset, _)),) = of.items()
    place = {"topic": topic, "partition": partition, "offset": offset, "reason": str(Reason.UNPROCESSABLE)}
    if message is None or message.is_empty():
        found = {**place, "ingested_at": datetime.now(UTC)}
    else:
        row = message.row(0, named=True)
        provider = row["provider"]
        found = {
            **place,
            "raw": row["value"],
            "raw_size": row["size"],
            "raw_sha256": row["sha256"],
            "key": row["key"],
            "provider": None if provider is None else provider.decode(errors="replace"),
            "ingested_at": row["timestamp"],
        }
    return pl.DataFrame(pl.from_arrow(pa.Table.from_pylist([found], schema=CLEANED)))


def _breaks_a_rule(error: BaseException) -> bool:
    return isinstance(error, DeltaError) and "invariant" in str(error).lower()
