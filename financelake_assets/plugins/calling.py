"""Calls of plug-ins: a user's function gets bars, and what it gives is checked before anything uses it.

Input: a plug-in and the bars of one series. Output: its columns, as many rows, with the declared names and types.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

import polars as pl

from financelake_assets.plugins.declaration import Plugin, PluginError
from financelake_assets.plugins.installed import told

MOST_SECONDS = 10.0
"""A call may take so long, for one series. Those of a second are slow already: docs/plugins.md."""

T = TypeVar("T")
_HANGING: set[tuple[str, str]] = set()


def called(
    plugin: Plugin,
    series: pl.DataFrame,
    seconds: float = MOST_SECONDS,
    others: Mapping[str, pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """The columns of a plug-in.

    Args:
        plugin: whose function is called.
        series: bars of one series in order of time, with the columns that plug-ins get.
        seconds: how long it may take.
        others: bars of the other series that it asks for, by name.

    Returns:
        ``plugin.columns`` for each row: text of a rule, otherwise Float64.

    Raises:
        PluginError: it raises, takes too long, or gives other rows, columns or types than it declares.
    """
    beside = {name: rows.clone() for name, rows in (others or {}).items()}
    found = guarded(plugin, seconds, f"for {series.height} bars", lambda: plugin.function(series.clone(), **beside))
    return _typed(plugin, found, series.height)


def guarded(plugin: Plugin, seconds: float, what: str, call: Callable[[], T]) -> T:
    """The result of a call of a plug-in's code.

    Args:
        plugin: whose code it is.
        seconds: how long it may take; one that took longer is not called again by this process.
        what: the call in words, for messages.
        call: of it.

    Raises:
        PluginError: it raises, or takes too long.
    """
    key = (plugin.name, plugin.version)
    if key in _HANGING:
        raise PluginError(f"{plugin.title} took too long before, and is not called again until the lake is restarted")
    try:
        return _within(seconds, call)
    except TimeoutError:
        _HANGING.add(key)
        raise PluginError(f"{plugin.title} takes more than {seconds:g} s {what}") from None
    except Exception as error:  # a user's function may raise anything
        raise PluginError(f"{plugin.title} fails: {told(error)}") from error


def _typed(plugin: Plugin, found: object, rows: int) -> pl.DataFrame:
    if not isinstance(found, pl.DataFrame):
        raise PluginError(f"{plugin.title} gives a {type(found).__name__}, not a polars.DataFrame")
    if set(found.columns) != set(plugin.columns):
        raise PluginError(
            f"{plugin.title} gives the columns {', '.join(found.columns) or 'none'}, not {', '.join(plugin.columns)}"
        )
    if found.height != rows:
        raise PluginError(f"{plugin.title} gives {found.height} rows for {rows} bars")
    numbers = plugin.kind != "rule"
    for name, kind in found.schema.items():
        allowed = kind.is_numeric() or kind in (pl.Boolean, pl.Null) if numbers else kind in (pl.String, pl.Enum)
        if not allowed:
            raise PluginError(f"the column {name} of {plugin.title} is {kind}, not {'a number' if numbers else 'text'}")
    return found.select(pl.col(name).cast(pl.Float64 if numbers else pl.String) for name in plugin.columns)


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call. One that takes longer goes on in its thread: Python cannot end it."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # a plug-in may raise anything, also SystemExit
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="plug-in")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0] if isinstance(errors[0], Exception) else RuntimeError(told(errors[0]))
    if not results:
        raise TimeoutError
    return results[0]
