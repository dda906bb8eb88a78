"""``financelake tune``: searches settings of a market's forest inside its training period."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from financelake_assets.cli.console import Json, err, out, print_json, say
from financelake_assets.config import get_settings


def tune(
    market: Annotated[
        str | None, typer.Option(help="The interval whose model to tune, such as 1d; else FINANCELAKE_MODEL__INTERVAL.")
    ] = None,
    trials: Annotated[int, typer.Option(min=2, help="How many trials in all; those judged before count.")] = 20,
    resume: Annotated[
        bool,
        typer.Option("--resume/--fresh", help="Continue the market's search, or begin another one on the newest bars."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Search better settings for a market's forest, and train a challenger with them, as a Dagster run of this lake.

    Trees, depth, rows a leaf, rows and inputs a split, and the learning window are searched by walk-forward inside the
    training period: no trial sees a bar of the holdout. Each trial counts in `financelake model trials`. The challenger
    is judged and promoted like any other version. Ctrl-C stops the search, and the same command continues it.
    """
    from financelake_assets.model import markets
    from financelake_assets.operations.tune_now import Voice, tune_now

    settings = get_settings()
    chosen = markets.named(settings.model.interval if market is None else market)
    with err.status(f"search of {chosen.name}") as spinner:
        found = tune_now(settings, chosen, trials, fresh=not resume, voice=Voice(spinner.update, say))
    if as_json:
        print_json(found)
        return
    out.print(_result(found))
    version = found["version"]
    if version is not None:
        out.print(f"{version['model_version']} is {version['status']}")
    err.print(f"To train with these settings from now on: {' '.join(found['variables'])}")


def _result(found: dict[str, Any]) -> Table:
    done = found["trials"]
    table = Table("", "", title=f"Search of {found['market']}", show_header=False)
    table.add_row("trials", f"{done['done']}, {done['pruned']} of them given up early")
    table.add_row("skill of the lake's own settings", _skill(found["skill_of_own_settings"]))
    table.add_row("best skill, inside the training period", _skill(found["skill"]))
    for name, value in found["parameters"].items():
        table.add_row(name, "unset" if value is None else str(value))
    return table


def _skill(value: float | None) -> str:
    return "" if value is None else f"{value:+.3%}"
