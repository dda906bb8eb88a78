"""The lake view: latency, sizes of the tables, messages in quarantine, and a link to Dagster."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dash_app import refused as refused_message
from dash_app import wording
from dash_app.data.flow import Delay, delays, refused, slowest_symbols
from dash_app.data.lake_reader import Snapshot
from dash_app.views.parts import Children, fact, notice, plain_table
from financelake_assets.silver.reasons import DESCRIPTIONS, Reason

_PHASES = {
    "waiting": "waiting for the broker",
    "history": "loading history",
    "live": "playing",
    "idle": "finished",
}


def skeleton(dagster_url: str) -> html.Div:
    """The view without data."""
    link = html.A("Open Dagster", href=dagster_url, className="button", target="_blank", rel="noopener")
    head = html.Div([html.H1("Lake"), link], className="view-head")
    section = html.Section([head, html.Div(id="lake-page", className="stack")], className="panel pad")
    return html.Div([dcc.Store(id="lake-seen"), section], className="single")


def page(snapshot: Snapshot) -> Children:
    """Everything about the lake."""
    if not snapshot.loaded:
        return [notice("Reading the lake", "One moment.")]
    return [
        *_flow(snapshot),
        *_feeds(snapshot),
        *_topics(snapshot),
        *_streams(snapshot),
        *_tables(snapshot),
        *_quarantine(snapshot),
    ]


def _flow(snapshot: Snapshot) -> Children:
    feed = snapshot.feed
    said = _PHASES.get(feed.phase or "", feed.phase or "this lake has none")
    if feed.markets:
        said = f"follows {', '.join(feed.markets)}"
    published = f"{wording.percent(feed.progress, 0)} published" if feed.progress is not None else ""
    seen = Delay("gold to this page", snapshot.seen_after, None)
    stages = [*delays(snapshot), seen]
    return [
        html.H2("From the market to this page"),
        html.Dl(
            [
                fact("Feed", said, published),
                *[
                    fact(
                        one.stage.capitalize(),
                        wording.seconds(one.median),
                        f"slowest 5 %: {wording.seconds(one.slow)}" if one.slow is not None else "newest batch",
                    )
                    for one in stages
                ],
            ],
            className="facts",
        ),
        html.P("Medians over the newest 100 bars.", className="fine"),
        *_by_series(snapshot),
    ]


def _by_series(snapshot: Snapshot) -> Children:
    body: list[list[str | Component]] = [
        [
            symbol,
            interval,
            *(text for one in stages for text in (wording.seconds(one.median), wording.seconds(one.slow))),
        ]
        for symbol, interval, stages in slowest_symbols(snapshot)
    ]
    names = ["Symbol", "Interval", "Bronze to silver", "slowest 5 %", "Silver to gold", "slowest 5 %"]
    if not body:
        return []
    return [
        html.Details(
            [
                html.Summary("By symbol"),
                plain_table(f"The slowest {len(body)}, over their newest 100 bars", names, body),
            ]
        )
    ]


def _feeds(snapshot: Snapshot) -> Children:
    """The feeds of markets and their symbols; nothing in a lake that follows none."""
    markets = snapshot.feed.markets
    if not markets:
        return []
    numbers = ("per_second", "trades", "reconnects", "gaps", "open")
    feeds: list[list[str | Component]] = [
        [
            provider,
            ("yes" if state.live["connected"] else "no") if "connected" in state.live else "follows no trades",
            *(wording.number(state.live.get(name), 1 if name == "per_second" else 0) for name in numbers),
            ", ".join(f"{count} {name}" for name, count in state.counts.items()),
            "; ".join(one for one in (state.problem, state.remedy) if one),
        ]
        for provider, state in markets.items()
    ]
    symbols: list[list[str | Component]] = [
        [
            symbol,
            provider,
            one["interval"] + (", live" if one["live"] else ""),
            one["state"],
            wording.bar_time(_time(one["newest"]), one["interval"]),
            wording.moment(_time(one["last_trade"])),
            one["problem"] or (f"in {one['unit']}" if one.get("unit") else ""),
        ]
        for provider, state in markets.items()
        for symbol, one in state.symbols.items()
    ]
    following = ["Connected", "Trades a second", "Trades", "Reconnects", "Gaps", "Being filled", "Symbols", "Note"]
    zone = wording.zone()
    of_symbols = ["Symbol", "Provider", "Interval", "State", f"Newest bar ({zone})", f"Last trade ({zone})", "Note"]
    return [
        html.H2("Feeds", className="section"),
        plain_table("Feeds of markets, one a provider", ["Provider", *following], feeds, ("Symbols", "Note")),
        plain_table("Their symbols", of_symbols, symbols, ("Provider", "Interval", "State", "Note")),
    ]


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _topics(snapshot: Snapshot) -> Children:
    topics = snapshot.inventory.topics
    title = html.H2("Topics", className="section")
    if not topics:
        return [title, html.P("The broker does not answer, and silver has consumed nothing yet.", className="muted")]
    body: list[list[str | Component]] = [
        [one.topic, wording.count(one.waiting), wording.count(one.consumed), wording.count(one.held)] for one in topics
    ]
    away = [html.P("The broker does not answer: the lag is not known.", className="fine")]
    return [
        title,
        plain_table("Messages by topic", ["Topic", "Waiting for silver", "Consumed", "Held by the broker"], body),
        *(away if all(one.waiting is None for one in topics) else []),
    ]


def _streams(snapshot: Snapshot) -> Children:
    known = snapshot.inventory.streams
    title = html.H2("Streams", className="section")
    if not known:
        return [title, html.P("No query has committed a batch yet.", className="muted")]
    body: list[list[str | Component]] = [
        [
            one.name,
            wording.count(one.batch),
            wording.seconds(one.median),
            wording.seconds(one.slowest),
            wording.moment(one.committed_at),
        ]
        for one in known
    ]
    names = ["Query", "Newest batch", "Batch time", "Slowest batch", f"Committed ({wording.zone()})"]
    caption = "Continuous queries, from the files of their checkpoints; median and slowest of the newest 20 batches"
    return [title, plain_table(caption, names, body)]


def _tables(snapshot: Snapshot) -> Children:
    inventory = snapshot.inventory
    names = ["Table", "Rows", "Rows per second", "Version", "Files", "Size", f"Newest ({wording.zone()})"]
    body: list[list[str | Component]] = [
        [
            html.Span(one.name, title=one.description),
            wording.count(one.rows),
            wording.UNKNOWN if one.rate is None else wording.number(one.rate, 1),
            wording.count(one.version),
            wording.count(one.files),
            wording.data_size(one.size),
            wording.moment(one.newest),
        ]
        for one in inventory.tables
    ]
    missing = f" Not written yet: {', '.join(inventory.missing)}." if inventory.missing else ""
    return [
        html.H2("Tables", className="section"),
        plain_table("Delta tables, from their logs", names, body),
        html.P(f"Rates are averages over the last five seconds.{missing}", className="fine"),
    ]


def _quarantine(snapshot: Snapshot) -> Children:
    rows = refused(snapshot)
    title = html.H2("Quarantine", className="section")
    if snapshot.quarantine.state == "broken":
        return [title, notice("It cannot be read", snapshot.quarantine.problem or "", kind="problem", role="alert")]
    if not rows:
        return [title, html.P("No message is in quarantine.", className="muted")]
    total, shown = snapshot.quarantine.rows, sum(row["messages"] for row in rows)
    body: list[list[str | Component]] = [
        [
            str(row["reason"]).replace("_", " "),
            DESCRIPTIONS[Reason(row["reason"])] if row["reason"] in set(Reason) else "",
            wording.count(row["messages"]),
            wording.moment(row["newest"]),
        ]
        for row in rows
    ]
    part = f", the newest {wording.count(shown)} by reason" if shown < total else ""
    caption = f"Messages in quarantine: {wording.count(total)}{part}"
    newest = snapshot.quarantine.all.tail(20).reverse().to_dicts()
    where: list[list[str | Component]] = [
        [wording.moment(row["quarantined_at"]), str(row["reason"]).replace("_", " "), _message(row)] for row in newest
    ]
    return [
        title,
        plain_table(caption, ["Reason", "Meaning", "Messages", f"Newest ({wording.zone()})"], body, ("Meaning",)),
        plain_table(
            "The newest; each place opens its message",
            [f"Quarantined ({wording.zone()})", "Reason", "Place"],
            where,
            ("Reason", "Place"),
        ),
        html.P(
            [
                "This page only reads. ",
                html.Code("financelake quarantine replay PLACE --set FIELD=VALUE"),
                " sends a message again, repaired.",
            ],
            className="fine",
        ),
    ]


def _message(row: dict[str, Any]) -> html.A:
    """The place of a message, as ``financelake quarantine`` takes it; it leads to what the message said."""
    place = f"{row['topic']}/{row['partition']}/{row['offset']}"
    return html.A(place, href=refused_message.href(row), target="_blank", rel="noopener")
