"""``financelake model rebuild``: makes a version's predictions again, and compares them with those of gold."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from financelake_assets.cli.console import BarsAsOf, FromBar, UntilBar, err
from financelake_assets.cli.output_format import Format, refuse_table_in_file
from financelake_assets.config import get_settings
from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    from financelake_assets.gold.rebuilding import Rebuilt


def rebuild(
    version: Annotated[str, typer.Argument(help="A version from `financelake model list`.")],
    symbol: Annotated[list[str] | None, typer.Option(help="Only of this symbol; may be repeated.")] = None,
    start: FromBar = None,
    end: UntilBar = None,
    as_of: BarsAsOf = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="The format of the rows.")] = Format.CSV,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the rebuilt rows to this file.")] = None,
) -> None:
    """Make the predictions of a version again that gold.predictions holds, and compare them to the last bit.

    The lake need not run, and nothing is trained: `financelake model reproduce` trains again. Exit code 1 if one is
    another. Without --as-of the bars are as they are now, so a prediction is another where bars were corrected after
    it; with it they are as they were. Example:

        financelake model rebuild rf-20261101t093000-1a2b --symbol AAPL --as-of 120 --output rebuilt.csv
    """
    from financelake_assets import lake
    from financelake_assets.cli.sql_output import deliver
    from financelake_assets.gold.rebuilding import rebuild as made_again
    from financelake_assets.model import registry

    refuse_table_in_file(form, output)
    settings = get_settings()
    record = registry.get(settings, version)
    bars = lake.table("silver.bars", as_of=as_of, settings=settings)
    since, until = (None if time is None else time.replace(tzinfo=UTC) for time in (start, end))
    found = made_again(settings, record, bars, symbol or (), since, until)
    if output is not None:
        rows = found.rows.to_arrow()
        deliver(lake.Answer(rows.schema, iter(rows.to_batches()), {}), form, output)
    if found.lacking:
        err.print(f"{found.lacking} are of bars that silver had not finished then, and were left out")
    then = "" if as_of is None else f" as of {as_of}"
    if not found.differing.is_empty():
        raise _others(found, f"silver.bars{then}")
    err.print(f"{found.rows.height} predictions, made again of silver.bars{then}, are the same to the last bit")


def _others(found: Rebuilt, bars: str) -> FinanceLakeError:
    first = found.differing.row(0, named=True)
    corrected = int(found.differing["corrected"].sum())
    said = (
        f"{found.differing.height} of {found.rows.height} predictions, made again of {bars}, are others. The first is "
        f"of {first['symbol']} {first['interval']} at {first['event_time']:%Y-%m-%d %H:%M}: {first['column']} is "
        f"{first['rebuilt']}, and {first['stored']} in gold.predictions. "
    )
    if corrected == found.differing.height:
        return FinanceLakeError(
            f"{said}Bars that they rest on were written after they were made.",
            remedy="--as-of with the time when one was made (its as_of) reads the bars as they were then.",
        )
    return FinanceLakeError(
        f"{said}Of {corrected} of them, bars that they rest on were written after they were made.",
        remedy="The others were made by another release or on another kind of processor, or at an earlier version of "
        "silver than --as-of names, or gold.predictions was changed.",
    )
