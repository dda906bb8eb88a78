"""The alerts view: the rules that tell people, and a form that declares one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from dash_app import wording
from dash_app.data.alert_rules import Declared
from dash_app.views.parts import Children, aria, plain_table
from financelake_assets.alerting.address_book import Known
from financelake_assets.alerting.evaluation import Watch
from financelake_assets.alerting.history import Past
from financelake_assets.alerting.rules_file import AlertRule, Quiet
from financelake_assets.intervals import BAR_LENGTHS

_MOST_SHOWN = 10
_EVERY = ""

FIELDS = ("name", "rule", "symbols", "interval", "to", "from", "until", "zone")
"""Of the form; each is the end of an id."""


def skeleton() -> html.Div:
    """The view without data."""
    return html.Div(
        [
            dcc.Store(id="alerts-changed"),
            html.Section(
                [
                    html.Div([html.H1("Alerts")], className="view-head"),
                    html.P(
                        "A rule tells people when it begins to hold, and once a crossing. It is sent by the lake's "
                        "alerter, also while no page is open. Addresses are secrets: no page shows one again.",
                        className="muted",
                    ),
                    html.Div(id="alert-rules"),
                    html.Div(id="alert-said", role="status"),
                ],
                className="panel pad",
            ),
            _form(),
            _addresses(),
        ],
        className="single stack",
    )


def _form() -> html.Section:
    every = [{"value": _EVERY, "label": "Any"}]
    return html.Section(
        [
            html.H2("A new rule"),
            html.Div(
                [
                    dmc.TextInput(id="alert-name", label="Name", placeholder="btc-100k", size="sm"),
                    dmc.TextInput(
                        id="alert-rule",
                        label="Rule",
                        placeholder="close crosses above 100000",
                        description="Also: signal is BUY and confidence > 60 %, portfolio drawdown > 10 %",
                        size="sm",
                        w=420,
                    ),
                    dmc.MultiSelect(
                        id="alert-symbols", label="Symbols (all, if none)", data=[], searchable=True, size="sm", w=260
                    ),
                    dmc.Select(
                        id="alert-interval",
                        label="Bars of",
                        data=[*every, *BAR_LENGTHS],
                        value=_EVERY,
                        allowDeselect=False,
                        size="sm",
                        w=110,
                    ),
                    dmc.TagsInput(
                        id="alert-to",
                        label="To (names of addresses)",
                        description="Those below, or variables of the lake's processes",
                        data=[],
                        size="sm",
                        w=300,
                    ),
                    dmc.TextInput(id="alert-from", label="Quiet from", placeholder="22:00", size="sm", w=100),
                    dmc.TextInput(id="alert-until", label="until", placeholder="07:00", size="sm", w=100),
                    dmc.TextInput(id="alert-zone", label="in", placeholder="Europe/Berlin", size="sm", w=160),
                ],
                className="choices",
            ),
            html.Div(
                [
                    html.Button("Check", id="alert-check", type="button", className="button"),
                    html.Button("Add", id="alert-add", type="button", className="button"),
                ],
                className="choices",
            ),
        ],
        className="panel pad",
        **aria(label="A new rule"),
    )


def _addresses() -> html.Section:
    return html.Section(
        [
            html.H2("Addresses"),
            html.P(
                "An address is a secret. The page keeps it in a file that only the lake's user reads, and never shows "
                "it again. The lake sends messages wherever it says.",
                className="muted",
            ),
            html.Div(id="alert-addresses"),
            html.Div(id="address-said", role="status"),
            html.Div(
                [
                    dmc.TextInput(
                        id="address-name", label="Name of the address", placeholder="OPS_TELEGRAM", size="sm"
                    ),
                    dmc.PasswordInput(
                        id="address-url",
                        label="Address (Apprise)",
                        placeholder="tgram://BOT_TOKEN/CHAT_ID",
                        description="Also: mailtos://USER:PASSWORD@example.org, jsons://HOST/PATH, discord://, slack://",
                        autoComplete="off",
                        size="sm",
                        w=420,
                    ),
                    dmc.Checkbox(id="address-replace", label="Replace the one of this name", checked=False, size="sm"),
                ],
                className="choices",
            ),
            html.Div(
                [html.Button("Set up", id="address-add", type="button", className="button")],
                className="choices",
            ),
        ],
        className="panel pad",
        **aria(label="Addresses"),
    )


def addresses(known: Sequence[Known]) -> Children:
    """The addresses by name and kind, with their buttons."""
    if not known:
        return [html.P("No address yet: set one up below, or by `financelake alerts address add`.")]
    body: list[list[str | Component]] = [[one.name, str(one), _address_buttons(one)] for one in known]
    names = ("Name", "Kind", "")
    return [plain_table("Addresses", names, body, names)]


def _address_buttons(one: Known) -> html.Div:
    acts = [("try", "Try it"), *([("remove", "Remove")] if one.removable else [])]
    return html.Div([_button("address", act, label, one.name) for act, label in acts], className="choices")


def rules(declared: Sequence[Declared], problems: Mapping[str, str]) -> Children:
    """The rules with their buttons, and what is wrong with the alerter or its addresses."""
    wrong: Children = [html.P(f"{part}: {problem}", className="banner problem") for part, problem in problems.items()]
    if not declared:
        return [html.P("No rule yet: declare one below, or by `financelake alerts add`."), *wrong]
    body: list[list[str | Component]] = [
        [one.rule.name, one.rule.rule, _series(one.rule), _to(one), _quiet(one.rule.quiet), _buttons(one.rule.name)]
        for one in declared
    ]
    names = ("Name", "Rule", "Series", "To", "Quiet hours", "")
    return [plain_table("Rules", names, body, names), *wrong]


def _series(rule: AlertRule) -> str:
    return " ".join(filter(None, [", ".join(rule.symbols) or "all", rule.interval]))


def _to(one: Declared) -> str:
    return ", ".join(f"{name} (no address)" if name in one.unknown else name for name in one.rule.to)


def _quiet(quiet: Quiet | None) -> str:
    return "" if quiet is None else f"{quiet.start:%H:%M} to {quiet.end:%H:%M}, {quiet.zone}"


def _buttons(name: str) -> html.Div:
    acts = (("check", "Check"), ("try", "Try it"), ("remove", "Remove"))
    return html.Div([_button("alert", act, label, name) for act, label in acts], className="choices")


def _button(kind: str, act: str, label: str, name: str) -> html.Button:
    """A button of a row; callbacks know it by ``{kind: act, "name": name}``."""
    return html.Button(
        label, id={kind: act, "name": name}, type="button", className="button", **aria(label=f"{label} {name}")
    )


def past(watch: Watch, found: Past) -> Children:
    """When a rule would have fired, and where it holds now."""
    times = "time" if found.fired.height == 1 else "times"
    words = f"It would have fired {found.fired.height} {times} on {found.bars} rows of {watch.table.full_name}."
    shown = found.fired.tail(_MOST_SHOWN)
    columns = [name for name in shown.columns if not name.startswith("before_")]
    body = [[_text(row[name]) for name in columns] for row in shown.iter_rows(named=True)]
    last = f"The last {shown.height}" if found.fired.height > shown.height else "Each time"
    table: Children = [plain_table(last, columns, body)] if body else []
    now = [" ".join(map(str, row)) for row in found.now.select(watch.series).iter_rows()]
    more = f" and {len(now) - _MOST_SHOWN} more" if len(now) > _MOST_SHOWN else ""
    held = f"It holds now for {', '.join(now[:_MOST_SHOWN])}{more}; it fires when it begins to hold." if now else ""
    return [html.P(words), *table, html.P(held)]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return wording.moment(value) if hasattr(value, "hour") else str(value)


def said(lines: Sequence[str]) -> Children:
    """What came of a click."""
    return [html.P(line) for line in lines]


def refused(why: str) -> Children:
    """Why a click did nothing. A rule with a mark under its fault keeps its columns."""
    return [html.Pre(why, className="problem")]
