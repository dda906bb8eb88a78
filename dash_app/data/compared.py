"""Several symbols in percent, from a common beginning.

Input: closes of series. Output: the change of each since the first bar that all of them have reached. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl


def changes(closes: Mapping[str, pl.DataFrame], first: datetime, last: datetime) -> dict[str, pl.DataFrame]:
    """The change of each symbol since the common beginning.

    Args:
        closes: by symbol, bars with ``event_time`` and ``close``, oldest first.
        first: the first moment to show.
        last: the last one.

    Returns:
        By symbol, ``event_time`` and ``change`` (0.1 is 10 %); a symbol without a price within the time is left out.
        The beginning is the first bar of the symbol that begins last.
    """
    within = {
        name: rows.select("event_time", "close")
        .filter(pl.col("event_time").is_between(first, last), pl.col("close").is_finite(), pl.col("close") > 0)
        for name, rows in closes.items()
    }  # fmt: skip
    known = {name: rows for name, rows in within.items() if not rows.is_empty()}
    if not known:
        return {}
    begin = max(rows["event_time"][0] for rows in known.values())
    found = {}
    for name, rows in known.items():
        after = rows.filter(pl.col("event_time") >= begin)
        # the price at the beginning is the last one until then
        base = rows.filter(pl.col("event_time") <= begin)["close"][-1]
        found[name] = after.select("event_time", ((pl.col("close") - base) / base).alias("change"))
    return found
