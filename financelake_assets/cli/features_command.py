"""``financelake features``: what the model knows of each bar of a series, now or at an earlier version of the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from financelake_assets.cli.console import BarsAsOf, FromBar, UntilBar
from financelake_assets.cli.output_format import Format, refuse_bytes_on_terminal, refuse_table_in_file
from financelake_assets.config import Settings, get_settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.explanations import did_you_mean


class NoBarsError(FinanceLakeError, ValueError):
    """The lake has no bars of a series."""


def features(
    symbol: Annotated[str, typer.Argument(help="The symbol, such as AAPL.")],
    interval: Annotated[str, typer.Option(help="The interval of its bars.")] = "1d",
    start: FromBar = None,
    end: UntilBar = None,
    as_of: BarsAsOf = None,
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
    from financelake_assets.cli.sql_output import deliver

    refuse_table_in_file(form, output)
    refuse_bytes_on_terminal(form, output)
    settings = get_settings()
    rows = lake.features(symbol, interval, start, end, as_of=as_of, settings=settings)
    if rows.is_empty():
        raise _missing(settings, symbol, interval, as_of)
    table = rows.to_arrow()
    deliver(lake.Answer(table.schema, iter(table.to_batches()), {}), form, output)


def _missing(settings: Settings, symbol: str, interval: str, as_of: str | None) -> NoBarsError:
    import polars as pl

    from financelake_assets import lake

    bars = lake.table("silver.bars", as_of=as_of, settings=settings)
    known = bars.filter(pl.col("symbol") == symbol).select("interval").unique().collect()["interval"].sort().to_list()
    if interval in known:
        return NoBarsError(f"no {interval} bars of {symbol} in that time", remedy="Ask for another --start or --end.")
    then = "" if as_of is None else f" at {as_of}"
    if known:
        others = f"It has {', '.join(known)}."
    else:
        symbols = bars.select("symbol").unique().collect()["symbol"].sort().to_list()
        others = f"{did_you_mean(symbol, symbols)}`financelake tables` shows what the lake has."
    return NoBarsError(f"the lake has no {interval} bars of {symbol}{then}", remedy=others)
