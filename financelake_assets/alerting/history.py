"""When a rule would have fired: the rule on all rows that a table has now.

Input: a rule with its series, and a lake. Output: the bars at which it would have fired, and the series where it holds
now. A bar that was still forming may have fired at a value that its table no longer has; history knows its last value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from financelake_assets.alerting.evaluation import TIME, Watch, evaluate_rows, holds_now
from financelake_assets.config import Settings


@dataclass(frozen=True, eq=False)
class Past:
    """``fired`` as ``evaluate`` gives it, oldest first; ``now``: the newest rows of the series where the rule holds."""

    fired: pl.DataFrame
    now: pl.DataFrame
    bars: int


def would_have_fired(watch: Watch, settings: Settings, since: datetime | None = None) -> Past:
    """Evaluate a rule over history.

    Args:
        watch: the rule with its series.
        settings: the lake.
        since: only bars from then on; the ones before are read too, since a bar is compared with the one before it.
    """
    rows = watch.rows(watch.table.scan(settings)).collect()
    found = evaluate_rows(watch, watch.empty, rows).fired.sort(TIME)
    if since is not None:
        found = found.filter(pl.col(TIME) >= since)
    return Past(found, holds_now(watch, rows), rows.height)
