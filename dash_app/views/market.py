"""The market view of one symbol: its head, facts, record and table, and what it says where there is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from dash import dcc, html

from dash_app import wording
from dash_app.address import Address
from dash_app.data.flow import Measured, Record
from dash_app.data.lake_reader import Snapshot
from dash_app.data.market import Row, Series
from dash_app.views.parts import Children, Element, aria, fact, notice, plain_table, signal_chip
from financelake_assets.silver.findings import Kind


def head(series: Series, waits_for: str) -> Children:
    """Symbol, newest price, and newest signal.

    Args:
        series: with a price and maybe a signal.
        waits_for: what a bar without a signal waits for, in a sentence.
    """
    last = series.last
    return [
        Element(
            "Div",
            [Element("H1", series.symbol), Element("Span", _kind(series), className="muted")],
            className="name",
        ),
        Element(
            "Div",
            [
                Element("Span", wording.price(last["close"]), className="last"),
                change(series.change),
            ],
            className="quote",
        ),
        Element("Div", _verdict(series, waits_for), className="verdict-line"),
        dcc.Link("Alert me …", href=Address("alerts", series.symbol, series.interval).href, className="button"),
    ]


def _kind(series: Series) -> str:
    """``Stock``, or ``Stock, in GBP`` if a universe file gives the currency."""
    kind = wording.ASSET_CLASSES.get(series.asset_class, "")
    return f"{kind}, in {series.currency}" if series.currency else kind


def change(value: float | None) -> Element:
    """A change with its direction as sign, shape and colour."""
    if value is None:
        return Element("Span", wording.UNKNOWN, className="change")
    shape, direction = ("▲", "up") if value > 0 else ("▼", "down") if value < 0 else ("■", "flat")
    mark = Element("Span", f"{shape} ", **aria(hidden="true"))
    return Element("Span", [mark, wording.percent(value, sign=True)], className=f"change {direction}")


def _verdict(series: Series, waits_for: str) -> Children:
    """The newest signal with its reason; with its bar too, while that of a newer bar is being made."""
    scored = series.scored
    if scored is None:
        return [signal_chip(None), Element("Span", waits_for, className="muted")]
    parts: Children = [signal_chip(scored["signal"]), Element("Span", _why(scored), className="muted")]
    if series.unscored:
        bar = wording.bar_time(scored["event_time"], series.interval)
        said = f"Of the bar {bar}. {_newer(series.unscored)} {waits_for}"
        parts.append(Element("Span", said, className="pending"))
    return parts


def _newer(count: int) -> str:
    return "A newer bar has come." if count == 1 else f"{wording.count(count)} newer bars have come."


def _why(scored: Row) -> str:
    if scored["reason"]:
        begin = "Withheld" if scored["signal"] == "HOLD" else "Given"
        return f"{begin}: {wording.hold_reason(scored['reason'])}."
    expected = wording.percent(scored["predicted_return"], sign=True)
    return f"Expected {expected}, more than the costs of entering and leaving."


def facts(series: Series, waits_for: str) -> Children:
    """The newest prediction and its confidence, or what the first one waits for; see ``head``."""
    newest = fact(
        "Newest bar",
        wording.bar_time(series.last["event_time"], series.interval),
        f"{wording.zone(series.interval)}, from {series.provider}",
    )
    scored = series.scored
    if scored is None:
        naive = fact("Naive forecast", wording.price(series.last["close"]), "repeats the last close")
        return [newest, fact("Prediction", "none yet", waits_for), naive]
    until = wording.bar_time(series.target_time, series.interval)
    coverage = wording.percent(scored["coverage"], 0)
    cost = wording.UNKNOWN if scored["cost_bps"] is None else f"{scored['cost_bps']:g} bp each way"
    made_at = wording.bar_time(scored["event_time"], series.interval)
    return [
        newest,
        *([fact("Predicted at", made_at, f"the newest bar with a signal. {waits_for}")] if series.unscored else []),
        fact(
            "Predicted next close",
            wording.price(scored["predicted_close"]),
            f"for {until}: {wording.percent(scored['predicted_return'], sign=True)}",
        ),
        fact(
            f"Interval, {coverage}" if scored["coverage"] is not None else "Interval",
            f"{wording.price(scored['lower'])} to {wording.price(scored['upper'])}",
            "where the close should be that often",
        ),
        fact("Confidence", wording.percent(scored["confidence"], 0), "that the direction is right"),
        fact("Naive forecast", wording.price(scored["close"]), "repeats that bar's close"),
        fact("Costs assumed", cost, f"strength {wording.number(scored['strength'], 2)} standard deviations"),
        *(_further(series, row) for row in series.further),
    ]


def _further(series: Series, made: Row) -> Element:
    """The newest prediction of a further horizon, of which no signal is made."""
    until = wording.bar_time(series.target_of(made["event_time"], made["horizon"]), series.interval)
    expected = wording.percent(made["predicted_return"], sign=True)
    return fact(
        f"In {made['horizon']} bars, {wording.percent(made['coverage'], 0)}",
        f"{wording.price(made['lower'])} to {wording.price(made['upper'])}",
        f"{wording.price(made['predicted_close'])}, {expected} by {until}; no signal is made of it",
    )


def record(found: Record | None) -> Children:
    """The results of the symbol's newest predictions."""
    if found is None:
        return [html.P("No prediction of this symbol has an outcome yet.", className="muted")]
    return [
        html.Dl(
            [
                fact("Predictions scored", wording.count(found.scored), "with a known outcome"),
                _measured(
                    "Skill over naive", found.skill, "in expected moves; above zero is better", decimals=2, sign=True
                ),
                _measured("Direction right", found.hit_rate, "of the predicted rises and falls"),
                _measured("Inside the interval", found.covered, f"promised {wording.percent(found.coverage, 0)}"),
                fact("BUY and SELL", wording.count(found.acted), "signals among them"),
                _measured(
                    "Mean return of those",
                    found.net_return,
                    "each, from the next open, net of costs",
                    decimals=2,
                    sign=True,
                ),
            ],
            className="facts",
        ),
        html.P("Ranges are 95 % intervals; bars that depend on each other count as fewer.", className="fine"),
    ]


def _measured(label: str, found: Measured, note: str, *, decimals: int = 1, sign: bool = False) -> Element:
    """A share with its 95 % interval beside it."""
    value = wording.percent(found.value, decimals, sign=sign)
    reach = wording.reach(found.low, found.high, decimals, sign=sign)
    return fact(label, value, note, beside=reach or "too few for a range")


def in_words(series: Series) -> str:
    """The chart in one sentence, for visitors who do not see it."""
    first, last = series.bars["event_time"][0], series.last["event_time"]
    signals, low, high = series.columns["signal"], min(series.columns["low"]), max(series.columns["high"])
    if series.group > 1:
        return _groups_in_words(series)
    return (
        f"{series.bars.height} bars of {series.symbol} from {wording.bar_time(first, series.interval)} to "
        f"{wording.bar_time(last, series.interval)} {wording.zone(series.interval)}: "
        f"low {wording.price(low)}, high {wording.price(high)}; "
        f"{signals.count('BUY')} BUY and {signals.count('SELL')} SELL signals."
        + (" This source gives only closing prices." if series.close_only else "")
        + "".join(f" {sentence}" for sentence in _noted(series))
    )


def _groups_in_words(series: Series) -> str:
    count, buys, sells = (wording.count(sum(series.columns[name])) for name in ("count", "buys", "sells"))
    first, last = (wording.bar_time(series.bars["event_time"][at], series.interval) for at in (0, -1))
    return (
        f"{count} bars of {series.symbol} from {first} to {last} "
        f"{wording.zone(series.interval)}: low {wording.price(min(series.columns['low']))}, high "
        f"{wording.price(max(series.columns['high']))}; {buys} BUY and {sells} "
        f"SELL signals. Each candle is {series.group} bars: first open, highest, "
        "lowest, last close; indicators are those of its last bar. Zoom in to see single bars and their signals."
    )


def _noted(series: Series) -> Iterator[str]:
    """Silver's findings in the shown bars, the newest of each kind in words."""
    if series.findings.is_empty():
        return
    missing = series.findings["missing"].sum()
    if missing:
        yield f"By the market's calendar {missing} bars are missing."
    moved = series.findings.drop_nulls("move").sort("event_time")
    if not moved.is_empty():
        last = moved.row(-1, named=True)
        others = f" There are {moved.height - 1} more such moves." if moved.height > 1 else ""
        cause = ", which the split of that day explains" if last["kind"] == Kind.UNADJUSTED_SPLIT else ""
        when = wording.bar_time(last["event_time"], series.interval)
        yield f"The price jumped by {wording.percent(last['move'], 1, sign=True)} on {when}{cause}.{others}"


def table(series: Series, rows: int = 60) -> html.Div:
    """The newest bars as a table, newest first."""
    names = [
        f"Bar ({wording.zone(series.interval)})",
        "Open",
        "High",
        "Low",
        "Close",
        "Volume",
        "Signal",
        "Predicted next",
        "Interval",
    ]
    body = [
        [
            wording.bar_time(bar["event_time"], series.interval),
            *[wording.price(bar[name]) for name in ("open", "high", "low", "close")],
            wording.number(bar["volume"], 0),
            bar["signal"] or wording.UNKNOWN,
            wording.price(bar["predicted_close"]),
            f"{wording.price(bar['lower'])} to {wording.price(bar['upper'])}",
        ]
        for bar in reversed(series.bars.tail(rows).to_dicts())
    ]
    what = "bars" if series.group == 1 else f"groups of {series.group} bars"
    return plain_table(f"The last {len(body)} {what} of {series.symbol} in the chart", names, body)


_instead = partial(notice, alone=True)


def missing(snapshot: Snapshot, symbol: str | None) -> html.Div:
    """Why there is no chart."""
    if not snapshot.loaded:
        return _instead("Reading the lake", "One moment.")
    if snapshot.bars.state == "broken":
        return _instead("The bars cannot be read", snapshot.bars.problem or "", kind="problem", role="alert")
    if snapshot.bars.state != "ready":
        if snapshot.feed.phase == "history":
            return _instead(
                "The feed loads the history",
                f"{wording.percent(snapshot.feed.progress, 0)} of the feed has been published. The first bars will "
                "appear here as soon as they are in silver.",
            )
        return _instead(
            "No bars yet",
            "This page shows bars as soon as the first ones are in silver. "
            "You need not do anything; `financelake status` shows what the lake waits for.",
        )
    return _instead(
        "No such symbol",
        f"This lake has no bars of {symbol}. Choose one from the watch list, or let the lake follow it: "
        "`financelake symbols add`.",
        kind="problem",
    )
