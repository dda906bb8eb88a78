"""Splits between two closes: whether the prices of a provider are adjusted for one that it tells of.

Input: closes of one series, and the split on the bar of its day. Output: the factor that makes a close comparable with
the close before. Some providers adjust all prices for a split and still tell of it, others tell of it and adjust none.
"""

from __future__ import annotations

import polars as pl


def undone(close: pl.Expr, before: pl.Expr, split: pl.Expr) -> pl.Expr:
    """What a close must be multiplied by to be comparable with the close before.

    Of the two readings the one with the smaller move is right nearly always: a split of 2 that no price is adjusted for
    looks like a fall by a half. A split smaller than the day's own move can be misread, by no more than its size.

    Args:
        close: of each bar.
        before: the close before it, null without any.
        split: new shares for an old one on the bar of its day, null on all other days.

    Returns:
        The split where the closes are not adjusted for it; otherwise 1, also where a price is not positive.
    """
    move = (close / before).log()
    known = (close > 0) & (before > 0) & (split > 0)
    unadjusted = known & ((move + split.log()).abs() < move.abs())
    return pl.when(unadjusted.fill_null(False)).then(split).otherwise(1.0)
