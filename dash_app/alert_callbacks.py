"""Callbacks of the alerts view: they list, declare, check, try out and remove rules, and addresses.

Input: clicks and what a visitor typed. Output: the lists, and what came of the click. No answer holds an
address that was typed.
"""

from __future__ import annotations

import time
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, no_update, set_props
from pydantic import SecretStr

from dash_app import address
from dash_app.data import alert_addresses, alert_rules
from dash_app.data.lake_reader import LakeReader
from dash_app.views import alerts as view
from financelake_assets.alerting.rules_file import AlertRule, checked, named, read_rules
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.gold.alerter_state import read_state

Json = dict[str, Any]


def register(app: Dash, reader: LakeReader, settings: Settings) -> None:
    """Register the callbacks."""
    _list(app, reader, settings)
    _act(app, settings)
    _act_on_address(app, settings)


def _list(app: Dash, reader: LakeReader, settings: Settings) -> None:
    @app.callback(
        Output("alert-rules", "children"),
        Output("alert-to", "data"),
        Output("alert-symbols", "data"),
        Input("alerts-changed", "data"),
    )
    def show(_: float | None) -> tuple[Any, Any, Any]:
        symbols = reader.snapshot.symbols()
        try:
            declared = alert_rules.declared(settings)
        except FinanceLakeError as error:
            return view.refused(_words(error)), no_update, symbols
        state = read_state(settings)
        problems = {} if state is None else state.problems
        return view.rules(declared, problems), alert_rules.names(settings, declared), symbols

    @app.callback(Output("alert-addresses", "children"), Input("alerts-changed", "data"))
    def show_addresses(_: float | None) -> Any:
        return view.addresses(alert_addresses.listed(settings))

    @app.callback(
        Output("alert-symbols", "value"),
        Output("alert-interval", "value"),
        Input("alerts-changed", "id"),
        State("url", "search"),
    )
    def begin(_: str, search: str | None) -> tuple[list[str], str]:
        where = address.parse("/alerts", search) or address.Address()
        return [where.symbol] if where.symbol else [], where.interval or ""


def _act(app: Dash, settings: Settings) -> None:
    @app.callback(
        Output("alert-said", "children"),
        Output("alerts-changed", "data"),
        Input("alert-add", "n_clicks"),
        Input("alert-check", "n_clicks"),
        Input({"alert": ALL, "name": ALL}, "n_clicks"),
        *[State(f"alert-{name}", "value") for name in view.FIELDS],
        prevent_initial_call=True,
    )
    def act(_: int | None, __: int | None, ___: list[int | None], *typed: Any) -> tuple[Any, Any]:
        if not ctx.triggered or not ctx.triggered[0]["value"]:  # a button appeared
            return no_update, no_update
        clicked = ctx.triggered_id
        try:
            if isinstance(clicked, str):
                return _of_form(settings, clicked, fields(dict(zip(view.FIELDS, typed, strict=True))))
            return _of_rule(settings, clicked["alert"], clicked["name"])
        except FinanceLakeError as error:
            return view.refused(_words(error)), no_update


def _act_on_address(app: Dash, settings: Settings) -> None:
    @app.callback(
        Output("address-said", "children"),
        Output("alerts-changed", "data", allow_duplicate=True),
        Output("address-url", "value"),
        Input("address-add", "n_clicks"),
        Input({"address": ALL, "name": ALL}, "n_clicks"),
        State("address-name", "value"),
        State("address-url", "value"),
        State("address-replace", "checked"),
        prevent_initial_call=True,
    )
    def act(_: int | None, __: list[int | None], name: str | None, to: str | None, replace: bool | None) -> Any:
        if not ctx.triggered or not ctx.triggered[0]["value"]:  # a button appeared
            return no_update, no_update, no_update
        clicked = ctx.triggered_id
        try:
            if isinstance(clicked, str):
                said = alert_addresses.add(settings, (name or "").strip(), SecretStr(to or ""), replace=bool(replace))
                return view.said([said]), time.time(), ""
            if clicked["address"] == "try":
                return view.said([alert_addresses.try_out(settings, clicked["name"])]), no_update, no_update
            return view.said([alert_addresses.remove(settings, clicked["name"])]), time.time(), no_update
        except FinanceLakeError as error:
            return view.refused(_words(error)), no_update, no_update


def fields(typed: Json) -> Json:
    """A rule's fields as its file has them, from those of the form."""
    found = {
        "name": (typed["name"] or "").strip(),
        "rule": (typed["rule"] or "").strip(),
        "symbols": tuple(typed["symbols"] or ()),
        "interval": typed["interval"] or None,
        "to": tuple(typed["to"] or ()),
    }
    quiet = {"start": typed["from"], "end": typed["until"], "zone": typed["zone"]}
    return {**found, "quiet": quiet} if any(quiet.values()) else found


def _of_form(settings: Settings, clicked: str, typed: Json) -> tuple[Any, Any]:
    if clicked == "alert-add":
        return view.said([alert_rules.add(settings, typed)]), time.time()
    rule = checked({**typed, "name": typed["name"] or "new", "to": typed["to"] or ("NOBODY",)})
    return view.past(rule.watch, alert_rules.check(settings, rule)), no_update


def _of_rule(settings: Settings, act: str, name: str) -> tuple[Any, Any]:
    if act == "try":
        return view.said(alert_rules.try_addresses(settings, name)), no_update
    if act == "remove":
        _fill(alert_rules.remove(settings, name))
        return view.said([f"{name} is removed. The form has its fields: Add declares it again."]), time.time()
    rule = named(read_rules(settings.rules_path), name)
    return view.past(rule.watch, alert_rules.check(settings, rule)), no_update


def _fill(rule: AlertRule) -> None:
    """Put a rule into the form."""
    quiet = rule.quiet
    values = {
        "name": rule.name,
        "rule": rule.rule,
        "symbols": list(rule.symbols),
        "interval": rule.interval or "",
        "to": list(rule.to),
        "from": "" if quiet is None else f"{quiet.start:%H:%M}",
        "until": "" if quiet is None else f"{quiet.end:%H:%M}",
        "zone": "" if quiet is None else quiet.zone,
    }
    for name, value in values.items():
        set_props(f"alert-{name}", {"value": value})


def _words(error: FinanceLakeError) -> str:
    return "\n".join(filter(None, (str(error), error.remedy)))
