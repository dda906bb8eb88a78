"""Bars with their orders: signals and prices → what the engine of the paper portfolio steps through.

Input: signals, and the bars around them. Output: a ``Bar`` for each signal, in the engine's order. The live account and
the back-test both use this function. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from financelake_assets.gold.paper.engine import Bar, bars_of
from financelake_assets.silver.schema import BARS
from financelake_assets.silver.splits import undone

BAR_COLUMNS = (*BARS.key, "open", "close", "adj_close", "split")
"""The columns of silver.bars that an execution needs."""


def bars_with_orders(signals: pl.DataFrame, bars: pl.DataFrame, marks: Mapping[str, datetime]) -> list[Bar]:
    """The bars of the signals, and the bars at which a book was last priced, which bring no order.

    Args:
        signals: symbol, interval, event_time, signal, cost_bps, horizon and volatility, of one account.
        bars: ``BAR_COLUMNS`` of the account's symbols, from the earliest mark or signal to the last signal.
        marks: when each symbol that the book knows was last priced.
    """
    priced = pl.DataFrame(
        {"symbol": list(marks), "event_time": list(marks.values())},
        schema={"symbol": pl.String, "event_time": signals.schema["event_time"]},
    )
    bars = _with_splits_since(
        bars.sort("symbol", "event_time"), pl.concat([signals.select("symbol", "event_time"), priced])
    )
    before = priced.join(bars, on=["symbol", "event_time"]).with_columns(
        signal=pl.lit("HOLD"),
        cost_bps=pl.lit(0.0),
        horizon=pl.lit(1, pl.Int32),
        volatility=pl.lit(None, pl.Float64),
    )
    joined = signals.join(bars, on=list(BARS.key))
    # without an open, the order is executed at the close
    both = pl.concat([before.select(Bar._fields), joined.select(Bar._fields)])
    return bars_of(both.with_columns(open=pl.coalesce("open", "close")))


def _with_splits_since(bars: pl.DataFrame, priced: pl.DataFrame) -> pl.DataFrame:
    """The bars at which symbols are priced, with the splits since their last one that the closes are not adjusted for.

    Args:
        bars: by symbol and time, with ``split`` of each bar.
        priced: symbol and event_time.
    """
    key = ["symbol", "event_time"]
    marked = bars.join(priced.unique().with_columns(_priced=pl.lit(1)), on=key, how="left", maintain_order="left")
    numbered = marked.with_columns(
        split=undone(pl.col("close"), pl.col("close").shift(1).over("symbol"), pl.col("split")),
        # the bars behind one that is priced, up to the next, have one number
        _number=pl.col("_priced").fill_null(0).reverse().cum_sum().reverse().over("symbol"),
    )
    since = numbered.with_columns(split=pl.col("split").product().over("symbol", "_number"))
    return since.filter(pl.col("_priced") == 1).drop("_priced", "_number")
