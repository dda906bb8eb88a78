"""Trades in a chart: a line from each entry to its exit, with the profit. Pure.

Input: trips, the bars, and a palette. Output: two traces, of those that won and those that lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash_app import wording
from dash_app.charts.theme import Palette
from dash_app.data.market import Series, plotted_time
from dash_app.data.trades import Trip, prices_at

_MOST = 300
"""Lines in a chart, the newest."""


def traces(series: Series, trips: Sequence[Trip], colours: Palette) -> list[dict[str, Any]]:
    """Lines between the executions whose bars are shown; none where candles stand for several bars."""
    within = [trip for trip in trips if trip.symbol == series.symbol][-_MOST:] if series.group == 1 else []
    times = {time for trip in within for time in (trip.entered, trip.left)}
    prices = prices_at(times, series.bars) if times else {}
    shown = [trip for trip in within if trip.entered in prices and trip.left in prices]
    return [
        _trace(series, [trip for trip in shown if (trip.profit > 0) is won], prices, colours, won=won)
        for won in (True, False)
    ]


def _trace(
    series: Series, trips: list[Trip], prices: dict[Any, float], colours: Palette, *, won: bool
) -> dict[str, Any]:
    x: list[str | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trip in trips:
        ends = (trip.entered, trip.left)
        x += [*(plotted_time(moment, series.interval) for moment in ends), None]
        y += [*(prices[moment] for moment in ends), None]
        side = "long" if trip.side > 0 else "short"
        share = wording.percent(trip.share, 1, sign=True)
        text += ["", f"{side} left: {wording.number(trip.profit, 0, sign=True)} ({share})", ""]
    colour = colours.up if won else colours.down
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "Trades won" if won else "Trades lost",
        "x": x,
        "y": y,
        "text": text,
        "line": {"color": colour, "width": 2, "dash": "solid" if won else "dot"},
        "marker": {"symbol": "circle-open", "size": 6, "color": colour},
        "showlegend": bool(trips),
        "hovertemplate": "%{text}<extra></extra>",
    }
