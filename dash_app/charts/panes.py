"""Indicators in a chart: lines on the price, and panes beneath it that share the chart's time axis.

Input: the bars' columns and a visitor's choices. Output: traces, axes and titles as plain dictionaries. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dash_app.charts.theme import Palette
from dash_app.data.indicators import Choice, panes
from dash_app.data.technical import Line

Trace = dict[str, Any]
Columns = dict[str, list[Any]]

_DASHES = ("solid", "dash", "dot", "dashdot")
"""Lines of one colour scheme also differ in their dash."""
_PRICE, _PANE, _GAP = 0.8, 0.2, 0.04
"""Heights in a chart without panes: the price, the volume or a pane, and the room between two."""
_FIRST_PANE = 3
"""The price has Plotly's axis ``y``, the volume ``y2``."""


@dataclass(frozen=True)
class Places:
    """Where the parts of a chart are, as shares of its height from the bottom; ``panes`` by name."""

    volume: tuple[float, float] | None
    panes: dict[str, tuple[float, float]]
    price: tuple[float, float]


def places(choices: Sequence[Choice], has_volume: bool) -> Places:
    """Volume at the bottom, the panes above it, the price on top."""
    below = ([""] if has_volume else []) + list(reversed(panes(choices)))
    whole = _PRICE + len(below) * _PANE
    found, floor = {}, 0.0
    for name in below:
        found[name] = (round(floor / whole, 4), round((floor + _PANE - _GAP) / whole, 4))
        floor += _PANE
    return Places(found.pop("", None), found, (round(floor / whole, 4), 1.0))


def height(choices: Sequence[Choice]) -> str:
    """The height of a chart with its panes, in CSS."""
    return f"calc(var(--chart) * {1 + _PANE * len(panes(choices)):.1f})"


def traces(bars: Columns, choices: Sequence[Choice], colours: Palette) -> list[Trace]:
    """The lines of all choices."""
    axes = _axes(choices)
    found: list[Trace] = []
    for choice in choices:
        axis = axes[choice.pane] if choice.pane else "y"
        for line in choice.lines:
            found.append(_trace(bars, choice, line, axis, len(found), colours))
    return found


def _trace(bars: Columns, choice: Choice, line: Line, axis: str, number: int, colours: Palette) -> Trace:
    name = f"{choice.label} {line.name}".rstrip()
    colour = colours.lines[number % len(colours.lines)]
    common = {
        "name": name,
        "x": bars["at"],
        "y": bars[choice.column(line)],
        "yaxis": axis,
        "hovertemplate": f"{name} %{{y:,.4~f}}<extra></extra>",
    }
    if line.kind == "bars":
        return {**common, "type": "bar", "marker": {"color": colours.volume, "line": {"width": 0}}}
    if line.kind == "dots":
        return {**common, "type": "scatter", "mode": "markers", "marker": {"color": colour, "size": 3}}
    dash = _DASHES[number // len(colours.lines) % len(_DASHES)] if axis != "y" else _DASHES[number % len(_DASHES)]
    return {**common, "type": "scatter", "mode": "lines", "line": {"color": colour, "width": 1.3, "dash": dash}}


def _axes(choices: Sequence[Choice]) -> dict[str, str]:
    """Plotly's axis of each pane."""
    return {name: f"y{_FIRST_PANE + number}" for number, name in enumerate(panes(choices))}


def axes(choices: Sequence[Choice], where: Places, style: dict[str, Any]) -> dict[str, Any]:
    """The layout's entries of the panes' axes.

    Args:
        choices: the indicators.
        where: the parts of the chart.
        style: what all axes have in common.
    """
    found = {}
    for name, axis in _axes(choices).items():
        of = next(one for one in choices if one.pane == name)
        levels, bounds = ((), None) if of.feature else (of.of.levels, of.of.bounds)
        found[f"yaxis{axis[1:]}"] = {
            **style,
            "side": "right",
            "domain": list(where.panes[name]),
            "fixedrange": True,
            **({"range": list(bounds)} if bounds else {}),
            **({"tickvals": list(levels)} if levels else {"nticks": 3}),
        }
    return found


def titles(choices: Sequence[Choice], where: Places, colours: Palette) -> list[dict[str, Any]]:
    """The names of the panes, in their upper left corners."""
    return [
        {
            "text": " · ".join(one.label for one in choices if one.pane == name),
            "xref": "paper",
            "yref": "paper",
            "x": 0,
            "y": top,
            "xanchor": "left",
            "yanchor": "top",
            "showarrow": False,
            "font": {"size": 11, "color": colours.muted},
        }
        for name, (_, top) in where.panes.items()
    ]
