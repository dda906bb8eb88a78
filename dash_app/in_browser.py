"""What all callbacks share: functions of the browser, and the address as the state of a page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dash import ClientsideFunction, Dash, ctx, no_update

from dash_app import address


def in_browser(app: Dash, function: str, *dependencies: Any, space: str = "lake", **options: Any) -> None:
    """Register a function of ``assets/``: of ``lake.js``, or of the script whose functions are in ``space``."""
    app.clientside_callback(ClientsideFunction(space, function), *dependencies, **options)  # type: ignore[no-untyped-call]


def address_changed(seen: Any) -> bool:
    """Whether controls must follow the address. New data must not change them: that would undo the visitor's choice."""
    return seen is None or any(one["prop_id"].startswith("url.") for one in ctx.triggered)


def searched(search: str | None, **wanted: Any) -> Any:
    """The address with something else wanted; nothing to do where it is wanted already."""
    where = address.parse("/", search) or address.Address()
    other = replace(where, **wanted)
    return no_update if other == where else other.search or "?"
