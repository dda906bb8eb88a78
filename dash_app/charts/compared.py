"""The chart of several symbols in percent. Pure.

Input: changes by symbol, and a palette. Output: a figure.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from dash_app import wording
from dash_app.charts.figures import Figure, meta, plain
from dash_app.charts.theme import Palette
from dash_app.data.market import Series, plotted

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def compared(
    series: Series,
    changes: dict[str, pl.DataFrame],
    colours: Palette,
    view: str,
    span: tuple[datetime, datetime] | None = None,
) -> Figure:
    """One line a symbol; colours repeat, so the dashes differ too.

    Args:
        series: the symbol of the page, which is the thickest line.
        changes: by symbol, as ``data.compared.changes`` gives them.
        colours: of the scheme.
        view: as in ``figures.candles``.
        span: as in ``figures.candles``.
    """
    axis = {"gridcolor": colours.grid, "linecolor": colours.grid, "tickfont": {"size": 11}}
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{name} {wording.percent(rows['change'][-1], 1, sign=True)}",
            "x": rows.select(plotted(pl.col("event_time"), series.interval)).to_series().to_list(),
            "y": rows["change"].to_list(),
            "line": {
                "color": colours.lines[number % len(colours.lines)],
                "width": 2.4 if name == series.symbol else 1.5,
                "dash": _DASHES[number % len(_DASHES)],
            },
            "hovertemplate": f"{name} %{{y:+.1%}}<extra></extra>",
            **({"meta": "prices"} if name == series.symbol else {}),
        }
        for number, (name, rows) in enumerate(changes.items())
    ]
    layout: dict[str, Any] = {
        **plain(colours),
        "uirevision": f"{series.symbol}|{series.interval}|{view}",
        "meta": {**meta(series, view, span), "series": f"{series.symbol}|{series.interval}|%"},
        "margin": {"l": 8, "r": 58, "t": 8, "b": 38},
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        "hovermode": "x unified",
        "dragmode": "pan",
        "xaxis": {**axis, "type": "date", "showgrid": False},
        "yaxis": {**axis, "side": "right", "tickformat": "+.0%", "zeroline": True, "zerolinecolor": colours.muted,
                  "fixedrange": True},
        "shapes": [],
    }  # fmt: skip
    return {"data": data, "layout": layout}
