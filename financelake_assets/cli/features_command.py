"""``financelake features``: what the model knows of each bar of a series, now or at an earlier version of the lake."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from financelake_assets.cli.console import err, out
from financelake_assets.cli.output_format import BINARY, Format
from financelake_assets.config import Settings, get_settings
from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    import polars as pl

    from financelake_assets.lake import Answer


class NoBarsError(FinanceLakeError, ValueError):
    """The lake has no bars of a series."""


def features(
    symbol: Annotated[str, typer.Argument(help="The symbol, such as AAPL.")],
    interval: Annotated[str, typer.Option(help="The interval of its bars.")] = "1d",
    start: Annotated[datetime | None, typer.Option(help="The first bar begins then or later, in UTC.")] = None,
    end: Annotated[datetime | None, typer.Option(help="The last bar begins before, in UTC.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="VERSION|TIME", help="With silver.bars as it was at this version or UTC time."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="The output format.")] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the rows to this file, not to standard output.")
    ] = None,
) -> None:
    """Show the inputs of the model for the bars of a series, oldest first. The lake need not run.

    With --as-of VERSION they are those of a training on that version: `financelake model show` tells a model's version
    of silver. Example:

        financelake features AAPL --as-of 120 --format parquet --output features.parquet
    """
    from financelake_assets import lake
    from financelake_assets.cli.sql_output import show, write, write_file

    if output is not None and form is Format.TABLE:
        raise typer.BadParameter("--output needs --format csv, json, parquet or arrow")
    if form in BINARY and output is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} cannot be shown on a terminal: give --output FILE, or redirect it")
    settings = get_settings()
    rows = lake.features(symbol, interval, start, end, as_of=as_of, settings=settings)
    if rows.is_empty():
        raise _missing(settings, symbol, interval, as_of)
    answer = _answer(rows)
    if form is Format.TABLE:
        shown, more = show(answer, out)
        err.print(f"the first {shown} rows; --format csv writes all" if more else f"{shown} rows")
    elif output is None:
        write(answer, form, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        write_file(answer, form, output)


def _answer(rows: pl.DataFrame) -> Answer:
    from financelake_assets import lake

    table = rows.to_arrow()
    return lake.Answer(table.schema, iter(table.to_batches()), {})


def _missing(settings: Settings, symbol: str, interval: str, as_of: str | None) -> NoBarsError:
    import polars as pl

    from financelake_assets import lake

    bars = lake.table("silver.bars", as_of=as_of, settings=settings)
    known = bars.filter(pl.col("symbol") == symbol).select("interval").unique().collect()["interval"].sort().to_list()
    if interval in known:
        return NoBarsError(f"no {interval} bars of {symbol} in that time", remedy="Ask for another --start or --end.")
    then = "" if as_of is None else f" at {as_of}"
    others = f"It has {', '.join(known)}." if known else "`financelake tables` shows what the lake has."
    return NoBarsError(f"the lake has no {interval} bars of {symbol}{then}", remedy=others)
