"""The report that Dagster shows: charts of equity and calibration, and a table of the newest signals.

Input: rows of gold.equity, gold.calibration and gold.latest. Output: figures, and a table as Markdown. Pure: the
figures show only what the tables contain.
"""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from financelake_assets.gold.paper.accounts import by_account

_BLUE, _GREY, _LIGHT = "#1f6fb2", "#8a8f98", "#c9ced6"
_CURVES = (
    ("equity", _BLUE, "signals, net of costs"),
    ("buy_and_hold", _GREY, "buy and hold"),
    ("random", _LIGHT, "random"),
)
_SHOWN = 20


def equity_figure(equity: pl.DataFrame) -> Figure:
    """Each account's equity beside buy-and-hold and the random control, as shares of its first value.

    Args:
        equity: rows of gold.equity, at least one.
    """
    accounts = by_account(equity.sort("event_time"))
    figure = Figure(figsize=(4.4 * len(accounts), 3.6), layout="constrained", dpi=80)
    panes = figure.subplots(1, len(accounts), squeeze=False)[0]
    for pane, (account, rows) in zip(panes, accounts, strict=True):
        for name, colour, label in _CURVES:
            pane.plot(rows["event_time"], rows[name] / rows[name][0], color=colour, label=label)
        pane.axhline(1, color=_LIGHT, linewidth=1)
        pane.set_title(account.name)
        pane.tick_params(axis="x", rotation=30)
    panes[0].legend(loc="upper left", fontsize="small")
    return figure


def calibration_figure(calibration: pl.DataFrame) -> Figure:
    """Stated confidence against the hit rate, and strength against the mean move, over all classes.

    Args:
        calibration: rows of gold.calibration, at least one.
    """
    whole = calibration.filter(pl.col("asset_class") == "ALL").sort("low")
    figure = Figure(figsize=(9, 3.6), layout="constrained", dpi=80)
    left, right = figure.subplots(1, 2)
    confidence = whole.filter(pl.col("measure") == "confidence")
    for low, high, stated in confidence.select("hit_rate_low", "hit_rate_high", "stated").iter_rows():
        left.plot([stated] * 2, [low, high], color=_GREY, linewidth=1)
    _points(left, confidence, "hit_rate", "stated confidence", "hit rate")
    left.axline((0.5, 0.5), slope=1, color=_GREY, linestyle="--", linewidth=1)
    strength = whole.filter(pl.col("measure") == "strength")
    _points(right, strength, "mean_move", "strength", "mean move, in standard deviations")
    right.axhline(0, color=_GREY, linewidth=1)
    return figure


def newest_signals(latest: pl.DataFrame) -> pl.DataFrame:
    """The newest signals, with the columns for a short overview."""
    shown = ("symbol", "interval", "event_time", "signal", "reason", "confidence", "close", "predicted_close", "as_of")
    return latest.sort("as_of", descending=True).head(_SHOWN).select(shown)


def _points(axes: Axes, rows: pl.DataFrame, name: str, x: str, y: str) -> None:
    axes.plot(rows["stated"], rows[name], "o-", color=_BLUE)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
