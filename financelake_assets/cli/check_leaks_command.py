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

    from financelake_assets.plugins.declaration import Kind, Plugin

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
        found.append(_of_plugin(kind, name, bars))
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


def _of_plugin(kind: Kind, name: str, bars: pl.DataFrame) -> Examined:
    from financelake_assets.plugins import PluginError, installed

    try:
        plugin = installed.load(kind, name)
        taken = _EXAMINE[kind](plugin, bars)
    except PluginError as error:
        return Examined(name, kind, None, (), f"{error}. {error.remedy}".removesuffix(". "))
    return Examined(name, kind, plugin.version, plugin.columns, None, taken)


def _feature(plugin: Plugin, bars: pl.DataFrame) -> float:
    from financelake_assets.model.other_series import NONE
    from financelake_assets.model.plugged_features import handed, made_by
    from financelake_assets.model.plugin_checks import refuse_unsafe
    from financelake_assets.model.plugin_examples import examples

    own, others = examples(plugin, bars) if plugin.others else (bars, NONE)
    refuse_unsafe((plugin,), own, others)
    given = handed(_longest(own))
    return _microseconds(lambda: made_by(plugin, given, others), given.height)


def _rule(plugin: Plugin, _: pl.DataFrame) -> float:
    from financelake_assets.gold import rule_checks, rules

    scored = rule_checks.scored_examples()
    rule_checks.examine(plugin, scored)
    return _microseconds(lambda: rules.said(plugin, scored), scored.height)


def _cost(plugin: Plugin, bars: pl.DataFrame) -> float:
    from financelake_assets.model.cost_checks import refuse_unsafe
    from financelake_assets.model.costs import Costs, with_costs

    costs, longest = Costs(functions=(plugin,)), _longest(bars)
    refuse_unsafe(costs, bars)
    return _microseconds(lambda: with_costs(longest, costs), longest.height)


def _label(plugin: Plugin, bars: pl.DataFrame) -> float:
    from financelake_assets.model.label_checks import refuse_unsafe
    from financelake_assets.model.labels import labels_of
    from financelake_assets.model.targets import with_target

    horizon = plugin.ahead or 1
    refuse_unsafe(plugin, horizon, bars)
    labelled = labels_of(_longest(bars), horizon)
    return _microseconds(lambda: with_target(labelled, horizon, plugin), labelled.height)


def _model(plugin: Plugin, bars: pl.DataFrame) -> float:
    from financelake_assets.model import plugged_model
    from financelake_assets.model.features import FEATURES, features_of
    from financelake_assets.model.labels import labels_of
    from financelake_assets.model.targets import with_target

    rows = with_target(labels_of(features_of(bars), 1), 1).filter("scorable").drop_nulls("target")
    plugged_model.examine(plugin, rows, FEATURES)
    newest = rows.tail(1_000)
    learnt = plugged_model.fit(plugin, newest, FEATURES)
    return _microseconds(lambda: learnt.predict(newest), newest.height)


_EXAMINE: Mapping[Kind, Callable[[Plugin, pl.DataFrame], float]] = {
    "feature": _feature,
    "label": _label,
    "rule": _rule,
    "cost": _cost,
    "model": _model,
}
"""By kind, what examines a plug-in on bars and gives the time of one call."""


def _longest(bars: pl.DataFrame) -> pl.DataFrame:
    """The features of the series with the most bars."""
    from financelake_assets.model.features import features_of

    return features_of(max(bars.partition_by("symbol", "interval"), key=len))


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
