"""Charts of the portfolio and of the model's calibration, as plain dictionaries for Plotly's JavaScript. Pure.

Input: an ``AccountView`` or rows of gold/calibration, and a palette. Output: a figure.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from dash_app.charts.figures import Figure, Trace, plain
from dash_app.charts.theme import Palette
from dash_app.data.market import plotted
from dash_app.data.portfolio import AccountView

NAMES = {"equity": "Signals", "buy_and_hold": "Buy and hold"}
_DASHES = {"equity": "solid", "buy_and_hold": "dash"}
_BAND = {"luck_low": "Directions by lot, 5 %", "luck_high": "Directions by lot, 95 %"}


def equity(account: AccountView, colours: Palette) -> Figure:
    """Equity beside buy-and-hold and the band of random directions, with the drawdown below."""
    rows = account.equity
    inks = {"equity": colours.accent, "buy_and_hold": colours.ink}
    x = rows.select(plotted(pl.col("event_time"), account.interval)).to_series().to_list()
    lines = [
        _line(name, x, rows[column], inks[column], 2.2 if column == "equity" else 1.4, _DASHES[column])
        for column, name in NAMES.items()
    ]
    band = [_line(name, x, rows[column], colours.muted, 1, "dot") for column, name in _BAND.items()]
    band[-1] |= {"fill": "tonexty", "opacity": 0.5}
    drawdown: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "Drawdown",
        "x": x,
        "y": [None if value is None else -value for value in rows["drawdown"].to_list()],
        "yaxis": "y2",
        "fill": "tozeroy",
        "line": {"color": colours.down, "width": 1.2},
        "showlegend": False,
        "hovertemplate": "drawdown %{y:.1%}<extra></extra>",
    }
    axis = {"gridcolor": colours.grid, "linecolor": colours.grid, "zeroline": False, "side": "right"}
    layout: dict[str, Any] = {
        **plain(colours),
        "uirevision": account.name,
        "margin": {"l": 8, "r": 64, "t": 8, "b": 34},
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        "hovermode": "x unified",
        "dragmode": "pan",
        "xaxis": {"type": "date", "showgrid": False, "anchor": "y2", "linecolor": colours.grid},
        "yaxis": {**axis, "domain": [0.3, 1], "tickformat": ",.0f"},
        "yaxis2": {**axis, "domain": [0, 0.22], "tickformat": ".0%", "nticks": 4, "rangemode": "tozero"},
    }
    return {"data": [*band, *lines, drawdown], "layout": layout}


def _line(name: str, x: list[Any], values: pl.Series, ink: str, width: float, dash: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": values.to_list(),
        "line": {"color": ink, "width": width, "dash": dash},
        "hovertemplate": f"{name} %{{y:,.0f}}<extra></extra>",
    }


def reliability(rows: list[dict[str, Any]], colours: Palette) -> Figure:
    """Stated confidence against the hit rate, with its interval, beside the line of perfect calibration."""
    stated, right = [row["stated"] for row in rows], [row["hit_rate"] for row in rows]
    ends = [0.4, max([0.7, *stated])]
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": "Perfect calibration",
                "x": ends,
                "y": ends,
                "line": {"color": colours.muted, "width": 1.2, "dash": "dash"},
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "name": "Hit rate",
                "x": stated,
                "y": right,
                "marker": {"symbol": "diamond", "size": 10, "color": colours.accent},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [row["hit_rate_high"] - row["hit_rate"] for row in rows],
                    "arrayminus": [row["hit_rate"] - row["hit_rate_low"] for row in rows],
                    "color": colours.accent,
                },
                "customdata": [row["predictions"] for row in rows],
                "hovertemplate": "stated %{x:.0%}, right %{y:.0%} of %{customdata:,}<extra></extra>",
            },
        ],
        "layout": {
            **plain(colours),
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
            "xaxis": {"title": {"text": "stated confidence"}, "tickformat": ".0%", "gridcolor": colours.grid},
            "yaxis": {"title": {"text": "hit rate"}, "tickformat": ".0%", "gridcolor": colours.grid},
        },
    }
