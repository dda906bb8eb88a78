"""The tear sheet as one HTML file: it holds its charts and the library that draws them, and fetches nothing.

Input: rows of gold.equity and gold.portfolio, live or of a back-test. Output: the text of the page, one section an
account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from financelake_assets.gold.paper.accounts import by_account
from financelake_assets.gold.paper.engine import bars_a_year
from financelake_assets.gold.paper.tear_sheet import LEAST_WINDOW, Sheet, sheet_of

_BLUE, _GREY, _BAND = "#1f6fb2", "#8a8f98", "rgba(31,111,178,0.12)"
_UP, _DOWN = "#00795c", "#c03a12"
"""Teal and vermilion, which people with common colour blindness can tell apart."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #14181f; background: #fff; max-width: 1080px; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.3rem; border-top: 1px solid #d6dae1; padding-top: 1.5rem; margin-top: 2rem }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem } p, li { max-width: 75ch }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #e9ecf1 } th:first-child,
td:first-child { text-align: left }
"""

_STATISTICS = (
    ("equity", "equity", ",.0f"),
    ("total_return", "return", "+.1%"),
    ("yearly_return", "a year", "+.1%"),
    ("yearly_volatility", "volatility", ".1%"),
    ("sharpe", "Sharpe", "+.2f"),
    ("sortino", "Sortino", "+.2f"),
    ("calmar", "Calmar", "+.2f"),
    ("max_drawdown", "worst drawdown", "+.1%"),
    ("deflated_sharpe", "deflated Sharpe", ".0%"),
    ("luck_p", "luck p", ".3f"),
    ("trades", "trades", "d"),
    ("win_rate", "win rate", ".0%"),
    ("exposure", "exposure", ".0%"),
    ("turnover", "turnover", ".0f"),
    ("costs", "costs", ",.0f"),
)


def page(title: str, notes: Iterable[str], equity: pl.DataFrame, statistics: pl.DataFrame) -> str:
    """A whole HTML page with a section for each account.

    Args:
        title: of the page, as plain text.
        notes: what a reader must know to judge the numbers, as plain text.
        equity: rows of gold.equity, of one account or several.
        statistics: their rows of gold.portfolio.
    """
    sections = []
    for account, rows in by_account(equity.sort("event_time")):
        sheet = sheet_of(rows, bars_a_year(account.asset_class, "1d"))
        sections.append(_account(account.name, sheet, statistics.filter(account.condition)))
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f"<body><h1>{escape(title)}</h1><p>Net of costs and slippage. Times are UTC. The figures of the charts are of "
        "days; the risk-free rate is zero.</p>"
        f"<ul>{told}</ul>{''.join(sections)}</body></html>\n"
    )


def _account(name: str, sheet: Sheet, statistics: pl.DataFrame) -> str:
    parts = "".join(f"<h3>{part}</h3>{draw(sheet)}" for part, draw in _DRAWN.items())
    return f"<h2>{escape(name)}</h2><h3>{STATISTICS}</h3>{_statistics(statistics)}{parts}"


def _statistics(rows: pl.DataFrame) -> str:
    ordered = sorted(rows.to_dicts(), key=lambda row: ["signals", "buy_and_hold", "random"].index(row["curve"]))
    lines = [[title, *(_cell(row[column], form) for row in ordered)] for column, title, form in _STATISTICS]
    return _table(["", *(row["curve"].replace("_", " ") for row in ordered)], lines)


def _equity(sheet: Sheet) -> str:
    days = sheet.days
    figure = go.Figure(
        [
            _line(days, "luck_low", "luck, 5 %", _BAND, width=0, showlegend=False),
            _line(days, "luck_high", "luck, 5 % to 95 %", _BAND, width=0, fill="tonexty", fillcolor=_BAND),
            _line(days, "buy_and_hold", "buy and hold", _GREY),
            _line(days, "equity", "signals", _BLUE),
        ]
    )
    note = "<p>The scale is logarithmic. A curve has a gap where it is not above zero.</p>"
    return note + _drawn(figure.update_yaxes(type="log"), 380)


def _underwater(sheet: Sheet) -> str:
    line = _line(sheet.days, "drawdown", "drawdown", _DOWN, fill="tozeroy")
    return _drawn(go.Figure([line]).update_yaxes(tickformat=".0%"), 220)


def _worst(sheet: Sheet) -> str:
    lines = [
        [
            f"{row['peak']:%Y-%m-%d}",
            f"{row['valley']:%Y-%m-%d}",
            f"{row['recovered']:%Y-%m-%d}" if row["recovered"] else "not yet",
            f"{row['depth']:+.1%}",
            str(row["days"]),
        ]
        for row in sheet.worst.iter_rows(named=True)
    ]
    return _table(["peak", "valley", "recovered", "depth", "days"], lines) if lines else "<p>There was none.</p>"


def _months(sheet: Sheet) -> str:
    """The heat map: a row a year, a column a month."""
    if sheet.months.is_empty():
        return "<p>The account is younger than two steps.</p>"
    by_month = {(row["period"].year, row["period"].month): row["signals"] for row in sheet.months.to_dicts()}
    years = list(range(min(by_month)[0], max(by_month)[0] + 1))
    cells = [[by_month.get((year, month)) for month in range(1, 13)] for year in years]
    text = [["" if cell is None else f"{cell:+.1%}" for cell in row] for row in cells]
    largest = max(abs(cell) for cell in by_month.values() if cell is not None) or 1.0
    heat = go.Heatmap(
        z=cells,
        x=list(_MONTHS),
        y=[str(year) for year in years],
        text=text,
        texttemplate="%{text}",
        zmin=-largest,
        zmax=largest,
        colorscale=[[0, _DOWN], [0.5, "#ffffff"], [1, _UP]],
        colorbar={"tickformat": ".0%"},
        hovertemplate="%{y} %{x}: %{text}<extra></extra>",
        xgap=1,
        ygap=1,
    )
    figure = go.Figure([heat]).update_yaxes(type="category", autorange="reversed", showgrid=False)
    return _drawn(figure.update_xaxes(showgrid=False), 90 + 24 * len(years))


def _years(sheet: Sheet) -> str:
    years = [str(period.year) for period in sheet.years["period"]]
    bars = [
        go.Bar(x=years, y=sheet.years[column].to_list(), name=name, marker_color=colour)
        for column, name, colour in (("signals", "signals", _BLUE), ("buy_and_hold", "buy and hold", _GREY))
    ]
    return _drawn(go.Figure(bars).update_yaxes(tickformat=".0%").update_xaxes(type="category"), 280)


def _rolling(sheet: Sheet) -> str:
    if sheet.rolling.is_empty():
        return f"<p>The account is younger than {sheet.window} days (half a year, at least {LEAST_WINDOW} days).</p>"
    line = _line(sheet.rolling, "sharpe", "Sharpe ratio", _BLUE)
    note = f"<p>Of the {sheet.window} days before each day; empty where nothing moved.</p>"
    return note + _drawn(go.Figure([line]).add_hline(y=0, line_color=_GREY), 240)


def _exposure(sheet: Sheet) -> str:
    line = _line(sheet.days, "exposure", "exposure", _BLUE)
    return _drawn(go.Figure([line]).update_yaxes(tickformat=".0%", rangemode="tozero"), 220)


def _turnover(sheet: Sheet) -> str:
    bars = go.Bar(
        x=sheet.months["period"].to_list(), y=sheet.months["turnover"].to_list(), name="turnover", marker_color=_GREY
    )
    return _drawn(go.Figure([bars]).update_yaxes(title="times the equity"), 220)


STATISTICS = "Statistics"
_DRAWN: dict[str, Callable[[Sheet], str]] = {
    "Equity, and what luck would have earned": _equity,
    "Drawdown": _underwater,
    "The five worst drawdowns": _worst,
    "Monthly returns": _months,
    "Yearly returns": _years,
    "Rolling Sharpe ratio, a year": _rolling,
    "Exposure": _exposure,
    "Turnover a month": _turnover,
}
PARTS = (STATISTICS, *_DRAWN)
"""The headings of an account's section, in order."""


def _line(rows: pl.DataFrame, column: str, name: str, colour: str, width: float = 1.5, **more: Any) -> go.Scatter:
    """A curve over days."""
    line = {"color": colour, "width": width}
    return go.Scatter(x=rows["day"].to_list(), y=rows[column].to_list(), name=name, mode="lines", line=line, **more)


def _drawn(figure: go.Figure, height: int) -> str:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 10, "b": 40},
        legend={"orientation": "h", "y": 1.12},
        hovermode="x unified" if len(figure.data) > 1 else "closest",
    )
    options = {"displaylogo": False, "responsive": True, "showSendToCloud": False}
    return str(to_html(figure, full_html=False, include_plotlyjs=False, config=options))


def _table(head: list[str], lines: list[list[str]]) -> str:
    top = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)
