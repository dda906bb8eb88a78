"""``financelake why``: how much each input contributed to a prediction."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from financelake_assets.cli.console import BarsAsOf, Json, err, out, print_json
from financelake_assets.config import get_settings

if TYPE_CHECKING:
    from financelake_assets.gold.explain import Explained


def why(
    symbol: Annotated[str, typer.Argument(help="The symbol, such as AAPL.")],
    interval: Annotated[
        str | None, typer.Option(help="The interval; by default that of the newest prediction.")
    ] = None,
    at: Annotated[
        datetime | None, typer.Option(help="Start of the bar in UTC; by default the newest bar with a prediction.")
    ] = None,
    as_of: BarsAsOf = None,
    horizon: Annotated[
        int | None,
        typer.Option(help="So many bars ahead, one of the further horizons; by default that of the signals."),
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="So many inputs are shown; --json has all.")] = 12,
    as_json: Json = False,
) -> None:
    """Show how much each input contributed to a prediction; the parts add up to it. The lake need not run.

    They are Shapley values of the forest that made the prediction. They explain the model and not the market. Those of
    the newest prediction of each series are kept in the table gold.contributions.
    """
    from financelake_assets.gold.explain import explain

    settings, moment = get_settings(), None if at is None else at.replace(tzinfo=UTC)
    bars = None
    if as_of is not None:
        from financelake_assets import lake

        bars = lake.table("silver.bars", as_of=as_of, settings=settings)
    found = explain(settings, symbol, interval, moment, bars, horizon)
    if as_json:
        print_json(asdict(found))
        return
    out.print(_table(found, most))
    if not found.made_of_these_bars:
        why = "Bars were corrected since" if as_of is None else "It was made of other bars"
        err.print(f"{why}: the prediction that was made then is {_percent(found.stored_return)}.", markup=False)


def _table(found: Explained, most: int) -> Table:
    bar = f"{found.symbol} {found.interval}, bar of {found.event_time:%Y-%m-%d %H:%M} UTC, by {found.model_version}"
    table = Table(title=bar, title_justify="left")
    for name in ("input", "value", "contributes"):
        table.add_column(name, justify="left" if name == "input" else "right")
    table.add_row("nothing known", "", _percent(found.base))
    for part in found.parts[:most]:
        table.add_row(part.name, f"{part.value:.4g}", _percent(part.contribution))
    others = found.parts[most:]
    if others:
        table.add_row(f"{len(others)} others", "", _percent(sum(part.contribution for part in others)))
    table.add_section()
    table.add_row("predicted return", "", _percent(found.predicted_return))
    return table


def _percent(log_return: float) -> str:
    return f"{log_return:+.4%}"
