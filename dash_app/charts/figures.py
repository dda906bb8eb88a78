"""Charts as plain dictionaries, the format of Plotly's JavaScript.

Input: a ``Series`` and a palette. Output: a figure. Pure: no Dash, no clock, no files. They are plain dictionaries,
because Plotly's Python objects take longer to build than everything else in a request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from dash_app import wording
from dash_app.charts import panes
from dash_app.charts.theme import Palette
from dash_app.data.champion import fold_name
from dash_app.data.market import Series, plotted_time
from dash_app.data.window import MOST_CANDLES
from dash_app.preferences import Preferences, chosen

Figure = dict[str, Any]
Trace = dict[str, Any]
Columns = dict[str, list[Any]]

_FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_WORD_APART = 0.05
"""Minimum distance between two labels, as a share of the chart; a marker nearer to a label has no label of its own."""


def candles(
    series: Series,
    colours: Palette,
    used: tuple[datetime, datetime] | None = None,
    *,
    view: str = "",
    span: tuple[datetime, datetime] | None = None,
    more: Sequence[Trace] = (),
) -> Figure:
    """Prices, volume, signals, past and next predictions, and the series' indicators.

    Args:
        series: the bars.
        colours: of the scheme.
        used: the first and last of the bars behind a signal that is explained, to mark them.
        view: what stays the same as long as the browser must keep the zoom.
        span: the time that a page that is opened now shows; all bars by default.
        more: other traces on the price.
    """
    bars = series.columns
    traces = [*_expected_band(bars, colours), _prices(series, colours), _volume(bars, colours)]
    traces += [_markers(bars, side, colours) for side in ("BUY", "SELL")]
    traces += [*_forecast(series, colours), *more]
    traces += panes.traces(bars, series.show, colours)
    layout = _layout(series, colours, view)
    layout["meta"] = meta(series, view, span)
    return {"data": traces, "layout": {**layout, "shapes": _used(series, used, colours)}}


def meta(series: Series, view: str, span: tuple[datetime, datetime] | None) -> dict[str, Any]:
    """What ``assets/chart.js`` must know to keep the zoom, ask for older bars, and keep drawings."""
    return {
        "view": view,
        "series": f"{series.symbol}|{series.interval}",
        "group": series.group,
        "older": series.older,
        "newer": series.newer,
        "most": MOST_CANDLES,
        "span": None if span is None else [plotted_time(moment, series.interval) for moment in span],
    }


def _used(series: Series, used: tuple[datetime, datetime] | None, colours: Palette) -> list[dict[str, Any]]:
    """A band over the bars that a signal used, and a line at its bar; none where the chart begins later."""
    shown = series.bars["event_time"][0]
    if used is None or used[1] < shown:
        return []
    x0, x1 = (plotted_time(moment, series.interval) for moment in (max(used[0], shown), used[1]))
    common = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    return [
        {**common, "type": "rect", "x0": x0, "x1": x1, "fillcolor": colours.band, "line": {"width": 0}},
        {**common, "type": "line", "x0": x1, "x1": x1, "line": {"color": colours.accent, "width": 1}},
    ]


def _prices(series: Series, colours: Palette) -> Trace:
    bars = series.columns
    common = {
        "x": bars["at"],
        "name": f"{series.symbol} close",
        "showlegend": False,
        "text": _told(bars) if series.group == 1 else _told_of_groups(bars),
        "meta": "prices",
    }
    if series.close_only:
        return {
            **common,
            "type": "scatter",
            "mode": "lines",
            "y": bars["close"],
            "line": {"color": colours.ink, "width": 1.6},
            "hovertemplate": "close %{y:,.4~f}<br>%{text}<extra></extra>",
        }
    return {
        **common,
        "type": "candlestick",
        "name": series.symbol,
        **{name: bars[name] for name in ("open", "high", "low", "close")},
        "increasing": {"line": {"color": colours.up, "width": 1.2}, "fillcolor": colours.surface},
        "decreasing": {"line": {"color": colours.down, "width": 1.2}, "fillcolor": colours.down},
        "whiskerwidth": 0,
    }


def _volume(bars: Columns, colours: Palette) -> Trace:
    return {
        "type": "bar",
        "name": "Volume",
        "x": bars["at"],
        "y": bars["volume"],
        "yaxis": "y2",
        "marker": {"color": colours.volume, "line": {"width": 0}},
        "showlegend": False,
        "hovertemplate": "volume %{y:,.4~s}<extra></extra>",
    }


def _markers(bars: Columns, side: str, colours: Palette) -> Trace:
    """Triangles beside the bars with a signal: BUY below, pointing up; SELL above, pointing down."""
    given = [position for position, signal in enumerate(bars["signal"]) if signal == side]
    buy = side == "BUY"
    away = _height(bars) * 0.035 * (-1 if buy else 1)
    beside, colour = bars["low" if buy else "high"], colours.up if buy else colours.down
    return {
        "type": "scatter",
        "name": side,
        "x": [bars["at"][position] for position in given],
        "y": [None if beside[position] is None else beside[position] + away for position in given],
        "mode": "markers+text",
        "text": _words(given, side, len(bars["at"])),
        "textposition": "bottom center" if buy else "top center",
        "textfont": {"color": colour, "size": 9},
        "marker": {"symbol": f"triangle-{'up' if buy else 'down'}", "size": 10, "color": colour},
        # a unified hover tells the nearest marker, also that of another bar: the price tells the signal of its own
        "hoverinfo": "skip",
    }


def _told(bars: Columns) -> list[str]:
    """The signal of each bar in words; no words without one."""
    columns = zip(bars["signal"], bars["predicted_return"], bars["confidence"], strict=True)
    in_words = _in_words(chosen())
    return [in_words(*told) if told[0] else "" for told in columns]


@lru_cache(16)
def _in_words(_: Preferences) -> Callable[[str, float | None, float | None], str]:
    """Tells a signal in the visitor's format; kept, because all but the newest bar of a chart were told before."""

    @lru_cache(20_000)
    def tell(signal: str, expected: float | None, confidence: float | None) -> str:
        return f"{signal}: expected {wording.percent(expected, sign=True)}, confidence {wording.percent(confidence, 0)}"

    return tell


def _told_of_groups(bars: Columns) -> list[str]:
    """How many bars a candle stands for, and their signals."""
    columns = zip(bars["count"], bars["buys"], bars["sells"], strict=True)
    return [f"{count} bars: {buys} BUY, {sells} SELL" for count, buys, sells in columns]


def _words(given: list[int], side: str, bars: int) -> list[str]:
    """The name of the side for each marker that has room for it."""
    words, last = [], -bars
    for position in given:
        room = position - last >= bars * _WORD_APART
        words.append(side if room else "")
        last = position if room else last
    return words


def _height(bars: Columns) -> float:
    low, high = ([value for value in bars[name] if value is not None] for name in ("low", "high"))
    return float(max(high, default=0.0) - min(low, default=0.0)) or 1.0


def _expected_band(bars: Columns, colours: Palette) -> list[Trace]:
    """For each bar the interval that the previous bar predicted, to see how often the price stayed inside."""
    all_bars = zip(bars["at"], bars["expected_lower"], bars["expected_upper"], strict=True)
    told = [bar for bar in all_bars if bar[1] is not None and bar[2] is not None]
    x, lower, upper = ([bar[part] for bar in told] for part in range(3))
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "legendgroup": "band"}
    return [
        {**edge, "x": x, "y": lower, "name": "", "showlegend": False},
        {
            **edge,
            "x": x,
            "y": upper,
            "fill": "tonexty",
            "fillcolor": colours.band,
            "name": "Predicted interval",
            "showlegend": bool(told),
        },
    ]


def _forecast(series: Series, colours: Palette) -> list[Trace]:
    """The newest prediction: a dashed line from its bar's close to a point with its interval."""
    last = series.scored or series.last
    close, low, high = last["predicted_close"], last["lower"], last["upper"]
    known = close is not None and not series.newer
    x = [plotted_time(last["event_time"], series.interval), plotted_time(series.target_time, series.interval)]
    sure = known and low is not None and high is not None
    return [
        {
            "type": "scatter",
            "name": "Predicted next close",
            "mode": "lines+markers",
            "x": x if known else [],
            "y": [last["close"], close] if known else [],
            "line": {"color": colours.accent, "width": 1.6, "dash": "dot"},
            "marker": {"symbol": ["circle", "diamond"], "size": [1, 9], "color": colours.accent},
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [0, high - close] if sure else [],
                "arrayminus": [0, close - low] if sure else [],
                "color": colours.accent,
                "thickness": 1.6,
                "width": 5,
            },
            "showlegend": known,
            "hovertemplate": "predicted next close %{y:,.4~f}<extra></extra>",
        }
    ]


def _layout(series: Series, colours: Palette, view: str) -> dict[str, Any]:
    style = {"gridcolor": colours.grid, "linecolor": colours.grid, "zeroline": False, "tickfont": {"size": 11}}
    # the crosshair: one vertical line through all panes, and a horizontal one where the pointer is
    cross = {
        "showspikes": True,
        "spikemode": "across",
        "spikesnap": "cursor",
        "spikedash": "dot",
        "spikethickness": 1,
        "spikecolor": colours.muted,
    }
    has_volume = any(volume is not None for volume in series.columns["volume"])
    where = panes.places(series.show, has_volume)
    axis = {**style, **cross}
    beneath = panes.axes(series.show, where, axis)
    lowest = "y2" if has_volume else f"y{list(beneath)[-1].removeprefix('yaxis')}" if beneath else "y"
    return {
        # the same value as long as the view is the same: then zoom and hidden traces survive new data
        "uirevision": f"{series.symbol}|{series.interval}|{view}|{series.bars.height >= 2}",
        "paper_bgcolor": colours.surface,
        "plot_bgcolor": colours.surface,
        "font": {"family": _FONT, "color": colours.muted, "size": 12},
        "margin": {"l": 8, "r": 58, "t": 8, "b": 38},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "separators": "".join(chosen().separators),
        "hoverlabel": {"bgcolor": colours.surface, "bordercolor": colours.grid, "font": {"color": colours.ink}},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        "dragmode": "pan",
        "bargap": 0.25,
        "annotations": panes.titles(series.show, where, colours),
        "xaxis": {
            **axis,
            "type": "date",
            "rangeslider": {"visible": False},
            "rangebreaks": _breaks(series),
            "anchor": lowest,
            "showgrid": False,
            "hoverformat": "%a %d %b %Y" if series.interval[-1] in "dw" else f"%d %b %Y %H:%M {wording.zone()}",
        },
        "yaxis": {**axis, "side": "right", "domain": list(where.price), "fixedrange": True},
        "yaxis2": {
            **axis,
            "side": "right",
            # an axis with its own position gets a background, which would cover prices that fill the chart
            **({"domain": list(where.volume)} if where.volume else {"overlaying": "y"}),
            "visible": has_volume,
            "showgrid": False,
            "nticks": 3,
            "tickformat": "~s",
            "fixedrange": True,
        },
        **beneath,
    }


def _breaks(series: Series) -> list[dict[str, Any]]:
    """The times without room in the chart: weekends by a rule, and other times when the market was closed."""
    weekends = [{"bounds": ["sat", "mon"]}] if series.weekdays_only else []
    closed = [[plotted_time(moment, series.interval) for moment in span] for span in series.closures]
    return [*weekends, *({"bounds": span} for span in closed)]


def skill(folds: list[dict[str, Any]], colours: Palette) -> Figure:
    """Skill of each fold with its interval, beside the zero line of the naive forecast."""
    names = [fold_name(row["fold"]) for row in folds]
    value, low, high = ([_share(row[name]) for row in folds] for name in ("skill", "skill_low", "skill_high"))
    reach = {"array": _reach(value, high, 1), "arrayminus": _reach(value, low, -1)}
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": names,
                "y": value,
                "marker": {"symbol": "diamond", "size": 10, "color": colours.accent},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    **reach,
                    "color": colours.accent,
                },
                "hovertemplate": "%{x}: %{y:+.2%}<extra></extra>",
            }
        ],
        "layout": {
            **plain(colours),
            "xaxis": {"showgrid": False, "linecolor": colours.grid},
            "yaxis": {"tickformat": "+.1%", "gridcolor": colours.grid, "zeroline": True, "zerolinecolor": colours.ink},
        },
    }


def importance(weights: list[tuple[str, float]], colours: Palette) -> Figure:
    """The most important features, the most important on top."""
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "y": [name for name, _ in reversed(weights)],
                "x": [weight for _, weight in reversed(weights)],
                "marker": {"color": colours.accent},
                "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
            }
        ],
        "layout": {
            **plain(colours),
            "bargap": 0.35,
            "xaxis": {"tickformat": ".0%", "gridcolor": colours.grid, "zeroline": False},
            "yaxis": {"automargin": True, "ticksuffix": "  "},
        },
    }


def plain(colours: Palette) -> dict[str, Any]:
    """The common layout of all charts without interaction."""
    return {
        "paper_bgcolor": colours.surface,
        "plot_bgcolor": colours.surface,
        "font": {"family": _FONT, "color": colours.muted, "size": 12},
        "margin": {"l": 60, "r": 20, "t": 10, "b": 36},
        "hoverlabel": {"bgcolor": colours.surface, "bordercolor": colours.grid, "font": {"color": colours.ink}},
        "dragmode": False,
        "separators": "".join(chosen().separators),
        "showlegend": False,
    }


def _share(value: float | None) -> float | None:
    return value if wording.known(value) else None


def _reach(middle: list[float | None], end: list[float | None], sign: int) -> list[float]:
    return [0.0 if at is None or to is None else (to - at) * sign for at, to in zip(middle, end, strict=True)]
