"""Plug-ins by name, from the entry points of installed packages.

Input: the entry points of ``GROUPS``. Output: plug-ins, in the order of their names. A process keeps what it has
loaded, as Python keeps modules: after an update, the lake must be restarted.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from financelake_assets.plugins.declaration import Kind, Plugin, PluginError

GROUPS: Mapping[Kind, str] = {
    "feature": "financelake.features",
    "label": "financelake.labels",
    "rule": "financelake.signals",
    "cost": "financelake.costs",
    "model": "financelake.models",
}
"""The entry points of each kind."""

SKIPPED = "FINANCELAKE_SKIPPED_PLUGINS"
"""The setting that switches plug-ins off."""

_LOADED: dict[tuple[Kind, str], Plugin] = {}
_IN_USE: dict[tuple[Kind, frozenset[str]], tuple[Plugin, ...]] = {}


def names(kind: Kind) -> list[str]:
    """The names of all installed plug-ins of a kind."""
    return sorted({point.name for point in entry_points(group=GROUPS[kind])})


def features(skipped: Collection[str]) -> tuple[Plugin, ...]:
    """The features that a training uses: all that are installed and not skipped.

    Raises:
        PluginError: one cannot be loaded, or two have a column of the same name.
    """
    found = tuple(load("feature", name) for name in names("feature") if name not in skipped)
    owner: dict[str, str] = {}
    for plugin in found:
        for column in plugin.columns:
            if column in owner:
                raise PluginError(f"the plug-ins {owner[column]} and {plugin.name} both have a column {column}")
            owner[column] = plugin.name
    return found


def label(skipped: Collection[str]) -> Plugin | None:
    """The label that a training learns, if there is one.

    Raises:
        PluginError: it cannot be loaded, or there are several.
    """
    found = _in_use("label", skipped)
    if len(found) > 1:
        raise PluginError(
            f"there are several labels, and a training learns one: {', '.join(plugin.name for plugin in found)}",
            remedy=f"Name the others in {SKIPPED}.",
        )
    return found[0] if found else None


def learner(name: str | None, skipped: Collection[str]) -> Plugin | None:
    """The model that a training lets learn, by its name; none is the forest.

    Raises:
        PluginError: it is not installed, cannot be loaded, or is switched off.
    """
    if name is not None and name in skipped:
        raise PluginError(
            f"the plug-in {name} shall learn (FINANCELAKE_MODEL__LEARNERS), and {SKIPPED} switches it off"
        )
    return None if name is None else load("model", name)


def rules(skipped: Collection[str]) -> tuple[Plugin, ...]:
    """The rules that change signals.

    Raises:
        PluginError: one cannot be loaded.
    """
    return _in_use("rule", skipped)


def costs(skipped: Collection[str]) -> tuple[Plugin, ...]:
    """The functions that change what an execution costs.

    Raises:
        PluginError: one cannot be loaded.
    """
    return _in_use("cost", skipped)


def _in_use(kind: Kind, skipped: Collection[str]) -> tuple[Plugin, ...]:
    """All of a kind that are not skipped; a process looks once, because every batch needs the answer."""
    key = kind, frozenset(skipped)
    if key not in _IN_USE:
        _IN_USE[key] = tuple(load(kind, name) for name in names(kind) if name not in skipped)
    return _IN_USE[key]


def load(kind: Kind, name: str) -> Plugin:
    """An installed plug-in.

    Raises:
        PluginError: there is none of that name, or it cannot be loaded.
    """
    if (kind, name) not in _LOADED:
        points = entry_points(group=GROUPS[kind], name=name)
        if len({point.value for point in points}) > 1:
            places = ", ".join(sorted(point.value for point in points))
            raise PluginError(f"the plug-in {name} is there more than once: {places}", remedy="Uninstall one of them.")
        for point in points:
            _LOADED[kind, name] = _loaded(kind, point)
            break
        else:
            there = ", ".join(names(kind)) or "none"
            raise PluginError(f"there is no plug-in {name} among the {kind}s that are installed ({there})")
    return _LOADED[kind, name]


def recorded(
    plugins: Mapping[str, Mapping[str, Any]], skipped: Collection[str], kind: Kind = "feature"
) -> tuple[Plugin, ...]:
    """The plug-ins of a kind that a version was trained with, exactly as they were then.

    Args:
        plugins: the ``facts`` of each by its name, as the version records them.
        skipped: names that the settings switch off.
        kind: of them.

    Raises:
        PluginError: one is not installed, is switched off, or is another than the recorded one.
    """
    return tuple(_as_recorded(kind, name, facts, skipped) for name, facts in plugins.items())


def problem(plugins: Mapping[str, Mapping[str, Any]], skipped: Collection[str], kind: Kind = "feature") -> str | None:
    """Why a version cannot be scored with its plug-ins of a kind here; ``None`` when it can be."""
    try:
        recorded(plugins, skipped, kind)
    except PluginError as error:
        return str(error)
    return None


def _as_recorded(kind: Kind, name: str, facts: Mapping[str, Any], skipped: Collection[str]) -> Plugin:
    was = f"the model was trained with the plug-in {name} {facts['version']}"
    remedy = "Install that version and restart the lake, or train a new model (`financelake train`)."
    if name in skipped:
        raise PluginError(f"{was}, which {SKIPPED} switches off", remedy=remedy)
    try:
        plugin = load(kind, name)
    except PluginError as error:
        raise PluginError(f"{was}: {error}", remedy=remedy) from error
    if plugin.version != facts["version"]:
        raise PluginError(f"{was}; version {plugin.version} is installed", remedy=remedy)
    if plugin.facts != {**facts, "columns": list(facts["columns"])}:
        raise PluginError(
            f"{was}; the installed one has that version, but other code",
            remedy="Give the changed plug-in another version, and train a new model (`financelake train`).",
        )
    return plugin


def _loaded(kind: Kind, point: EntryPoint) -> Plugin:
    try:
        found = point.load()
    except Exception as error:  # the plug-in's module may raise anything
        raise PluginError(f"the plug-in {point.name} cannot be loaded: {told(error)}") from error
    if not isinstance(found, Plugin) or found.kind != kind:
        raise PluginError(
            f"the plug-in {point.name} ({point.value}) is no {kind}",
            remedy=f"Decorate it with financelake_assets.plugins.{kind}.",
        )
    return replace(found, name=point.name, digest=_digest(found))


def told(error: BaseException) -> str:
    """An error of a plug-in in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _digest(plugin: Plugin) -> str:
    """A hash of the module's code without comments and layout; empty where there is no source."""
    try:
        source = inspect.getsource(sys.modules[plugin.function.__module__])
    except (KeyError, OSError, TypeError):
        return ""
    return hashlib.sha256(ast.unparse(ast.parse(source)).encode()).hexdigest()[:16]
