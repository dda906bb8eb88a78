"""``financelake check-leaks``: whether features and plug-ins know more at a bar than was known then, on real bars."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from financelake_assets.cli.console import Json, err, out, print_json
from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    import polars as pl

    from financelake_assets.plugins.declaration import Kind

OURS = "FinanceLake's own features"


@dataclass(frozen=True)
class Examined:
    """What an examination found: ``problem`` is ``None`` where there is none; the time is that of one call."""

    name: str
    kind: str
    version: str | None
    columns: tuple[str, ...]
    problem: str | None
    microseconds_per_1000_bars: float | None = None


def check_leaks(
    plugin: Annotated[str | None, typer.Option(help="Only this plug-in; by default all, and our own features.")] = None,
    as_json: Json = False,
) -> None:
    """Check that features and plug-ins know nothing of the future, on the packaged real bars; exit code 1 if one does.

    Truncation and a shuffled future find what looks ahead; stream parity and warm-up find what looks back further than
    it declares. The first column and bar that differ are shown. It needs no running lake.
    """
    from financelake_assets.plugins import installed
    from financelake_assets.silver.packaged import packaged_bars

    wanted = [(kind, name) for kind in installed.GROUPS for name in installed.names(kind) if plugin in (None, name)]
    if plugin is not None and not wanted:
        there = ", ".join(name for kind in installed.GROUPS for name in installed.names(kind)) or "none"
        raise FinanceLakeError(f"There is no plug-in {plugin}; installed are: {there}.", remedy="See docs/plugins.md.")
    bars = packaged_bars()
    found = [] if plugin is not None else [_of_ours(bars)]
    for kind, name in wanted:
        err.print(f"examining {name} …")
        found.append(_OF_KIND[kind](name, bars))
    if as_json:
        print_json({"well": all(one.problem is None for one in found), "checks": [asdict(one) for one in found]})
    else:
        for one in found:
            _show(one)
    if any(one.problem for one in found):
        raise typer.Exit(1)


def _of_ours(bars: pl.DataFrame) -> Examined:
    from financelake_assets.model.features import FEATURES, features_of
    from financelake_assets.model.plugin_checks import leak_of_ours

    leak = leak_of_ours(bars)
    taken = _microseconds(lambda: features_of(bars), bars.height)
    return Examined(OURS, "feature", None, FEATURES, None if leak is None else f"{leak.check}: {leak}", taken)


def _of_feature(name: str, bars: pl.DataFrame) -> Examined:
    from financelake_assets.model.features import features_of
    from financelake_assets.model.plugged_features import handed
    from financelake_assets.model.plugin_checks import refuse_unsafe
    from financelake_assets.plugins import PluginError, installed
    from financelake_assets.plugins.calling import called

    try:
        plugin = installed.load("feature", name)
        refuse_unsafe((plugin,), bars)
        longest = max(bars.partition_by("symbol", "interval"), key=len).sort("event_time")
        given = handed(features_of(longest))
        taken = _microseconds(lambda: called(plugin, given), given.height)
    except PluginError as error:
        return _refused(name, "feature", error)
    return Examined(name, "feature", plugin.version, plugin.columns, None, taken)


def _of_rule(name: str, _: pl.DataFrame) -> Examined:
    from financelake_assets.gold import rule_checks, rules
    from financelake_assets.plugins import PluginError, installed

    try:
        rule = installed.load("rule", name)
        scored = rule_checks.scored_examples()
        rule_checks.examine(rule, scored)
        taken = _microseconds(lambda: rules.said(rule, scored), scored.height)
    except PluginError as error:
        return _refused(name, "rule", error)
    return Examined(name, "rule", rule.version, rule.columns, None, taken)


def _of_cost(name: str, bars: pl.DataFrame) -> Examined:
    from financelake_assets.model.cost_checks import refuse_unsafe
    from financelake_assets.model.costs import Costs, with_costs
    from financelake_assets.model.features import features_of
    from financelake_assets.plugins import PluginError, installed

    try:
        cost = installed.load("cost", name)
        costs = Costs(functions=(cost,))
        refuse_unsafe(costs, bars)
        longest = features_of(max(bars.partition_by("symbol", "interval"), key=len))
        taken = _microseconds(lambda: with_costs(longest, costs), longest.height)
    except PluginError as error:
        return _refused(name, "cost", error)
    return Examined(name, "cost", cost.version, cost.columns, None, taken)


def _of_label(name: str, bars: pl.DataFrame) -> Examined:
    from financelake_assets.model.features import features_of
    from financelake_assets.model.label_checks import refuse_unsafe
    from financelake_assets.model.labels import labels_of
    from financelake_assets.model.targets import with_target
    from financelake_assets.plugins import PluginError, installed

    try:
        label = installed.load("label", name)
        horizon = label.ahead or 1
        refuse_unsafe(label, horizon, bars)
        labelled = labels_of(features_of(max(bars.partition_by("symbol", "interval"), key=len)), horizon)
        taken = _microseconds(lambda: with_target(labelled, horizon, label), labelled.height)
    except PluginError as error:
        return _refused(name, "label", error)
    return Examined(name, "label", label.version, label.columns, None, taken)


def _of_model(name: str, bars: pl.DataFrame) -> Examined:
    from financelake_assets.model import plugged_model
    from financelake_assets.model.features import FEATURES, features_of
    from financelake_assets.model.labels import labels_of
    from financelake_assets.model.targets import with_target
    from financelake_assets.plugins import PluginError, installed

    try:
        model = installed.load("model", name)
        rows = with_target(labels_of(features_of(bars), 1), 1).filter("scorable").drop_nulls("target")
        plugged_model.examine(model, rows, FEATURES)
        learnt = plugged_model.fit(model, rows.tail(1_000), FEATURES)
        taken = _microseconds(lambda: learnt.predict(rows.tail(1_000)), min(rows.height, 1_000))
    except PluginError as error:
        return _refused(name, "model", error)
    return Examined(name, "model", model.version, model.columns, None, taken)


_OF_KIND: Mapping[Kind, Callable[[str, pl.DataFrame], Examined]] = {
    "feature": _of_feature,
    "label": _of_label,
    "rule": _of_rule,
    "cost": _of_cost,
    "model": _of_model,
}


def _refused(name: str, kind: Kind, error: FinanceLakeError) -> Examined:
    return Examined(name, kind, None, (), f"{error}. {error.remedy}".removesuffix(". "))


def _microseconds(call: Callable[[], object], rows: int) -> float:
    begun = time.perf_counter()
    call()
    return round((time.perf_counter() - begun) * 1e9 / max(rows, 1), 1)


def _show(one: Examined) -> None:
    title = f"[bold]{escape(one.name)}[/bold]" + (f" {escape(one.version)}" if one.version else "")
    if one.problem is not None:
        out.print(f"[red]✗[/red] {title}  {escape(one.problem)}")
        return
    columns = ", ".join(one.columns) if len(one.columns) < 6 else f"{len(one.columns)} columns"
    out.print(f"[green]✓[/green] {title}  {columns}; {one.microseconds_per_1000_bars:,.0f} µs for 1,000 bars")
