"""The numbers of a tear sheet: an account's curve → its months, years, drawdowns and rolling Sharpe ratio.

Input: rows of gold.equity of one account. Output: frames. All figures are of whole days, so that an account of minutes
and one of days have the same sheet; the steps of a day are compounded. The risk-free rate is zero. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from financelake_assets.gold.paper import statistics
from financelake_assets.gold.paper.performance import steps_a_year

WORST = 5
"""So many drawdowns are listed."""

LEAST_WINDOW = 20
"""Of fewer days than this no rolling ratio is drawn."""


@dataclass(frozen=True)
class Sheet:
    """What a tear sheet shows of one account.

    ``days`` has day (the first one twice where it has many steps: the first step, and its last), equity, buy_and_hold,
    luck_low, luck_high and exposure at each day's last step, the day's turnover, and drawdown (a share below zero).
    ``months`` and ``years`` have the returns of signals and buy_and_hold, and the turnover; ``worst`` the deepest
    drawdowns; ``rolling`` the Sharpe ratio of the ``window`` days before each day, a year.
    """

    days: pl.DataFrame
    months: pl.DataFrame
    years: pl.DataFrame
    worst: pl.DataFrame
    rolling: pl.DataFrame
    window: int


def sheet_of(rows: pl.DataFrame, days_of_the_class: float) -> Sheet:
    """The tear sheet of one account.

    Args:
        rows: of gold.equity of one account, at least one.
        days_of_the_class: what a year of the market has, for an account that is younger than 90 days.
    """
    days = _days(rows.sort("event_time"))
    a_year = steps_a_year(days.with_columns(event_time=pl.col("day").cast(pl.Datetime("us"))), days_of_the_class)
    window = max(LEAST_WINDOW, round(a_year / 2))
    found = _returns(days, "equity")
    rolling = pl.DataFrame(
        {"day": found["day"], "sharpe": statistics.rolling_sharpe(found["equity"].to_numpy(), window, a_year)}
    ).with_columns(pl.col("sharpe").fill_nan(None))
    return Sheet(
        days=days.with_columns(drawdown=pl.col("equity") / pl.col("equity").cum_max() - 1),
        months=_compounded(days, pl.col("day").dt.truncate("1mo")),
        years=_compounded(days, pl.col("day").dt.truncate("1y")),
        worst=worst_drawdowns(days["day"].to_list(), days["equity"].to_numpy()),
        rolling=rolling.slice(window - 1),
        window=window,
    )


def worst_drawdowns(days: list[date], equity: statistics.Floats, most: int = WORST) -> pl.DataFrame:
    """The deepest falls from a highest equity to the next time that it is reached again, the deepest first.

    Args:
        days: of each equity.
        equity: in order.
        most: how many.

    Returns:
        ``peak`` (the day of the highest equity), ``valley`` (of the lowest after it), ``recovered`` (the first day that
        is as high again; null if there is none yet), ``depth`` (a share below zero) and ``days`` (from the peak to the
        recovery, or to the last day).
    """
    found = []
    under = equity < np.maximum.accumulate(equity)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], under, [False]])))
    for start, end in edges.reshape(-1, 2):
        peak, valley = start - 1, start + int(np.argmin(equity[start:end]))
        recovered = days[end] if end < len(days) else None
        found.append(
            {
                "peak": days[peak],
                "valley": days[valley],
                "recovered": recovered,
                "depth": float(equity[valley] / equity[peak] - 1),
                "days": ((recovered or days[-1]) - days[peak]).days,
            }
        )
    kinds = {"peak": pl.Date, "valley": pl.Date, "recovered": pl.Date, "depth": pl.Float64, "days": pl.Int64}
    return pl.DataFrame(found, schema=kinds).sort("depth", "peak").head(most)


def _days(rows: pl.DataFrame) -> pl.DataFrame:
    """The last step of each day, and the turnover of all of its steps; before them the very first step."""
    names = ("equity", "buy_and_hold", "luck_low", "luck_high", "exposure")
    dated = rows.with_columns(day=pl.col("event_time").dt.date())
    whole = dated.group_by("day", maintain_order=True).agg(pl.col(*names).last(), pl.col("turnover").sum())
    begin = dated.head(1).select("day", *names, turnover=pl.lit(0.0))
    # an account of days has one step on the first day, which is both its beginning and its end
    alone = dated.height == 1 or dated["day"][1] != dated["day"][0]
    return whole if alone else pl.concat([begin, whole])


def _returns(days: pl.DataFrame, curve: str) -> pl.DataFrame:
    """Simple returns from day to day, up to the day on which nothing was left."""
    found = statistics.returns(np.asarray(days[curve].to_numpy(), dtype=np.float64))
    return pl.DataFrame({"day": days["day"][1 : len(found) + 1], curve: found}, schema_overrides={curve: pl.Float64})


def _compounded(days: pl.DataFrame, period: pl.Expr) -> pl.DataFrame:
    """Returns and turnover of each period."""
    parts = [
        _returns(days, curve).group_by(period.alias("period")).agg(((pl.col(curve) + 1).product() - 1).alias(name))
        for curve, name in (("equity", "signals"), ("buy_and_hold", "buy_and_hold"))
    ]
    turnover = days.group_by(period.alias("period")).agg(pl.col("turnover").sum())
    joined = parts[0].join(parts[1], on="period", how="full", coalesce=True)
    return joined.join(turnover, on="period", how="left").sort("period")
