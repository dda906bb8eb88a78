"""``financelake sql``: queries the lake's tables, with one query, a file, or a prompt."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from financelake_assets.cli.console import err
from financelake_assets.cli.output_format import Format, refuse_bytes_on_terminal, refuse_table_in_file
from financelake_assets.config import Settings, get_settings

if TYPE_CHECKING:
    from financelake_assets.lake import Answer

_POLITE = 10
"""Added to the niceness of a query's process, so that the lake's streams have priority."""


def sql(
    query: Annotated[str | None, typer.Argument(help="One read-only statement, or \\d, or \\d TABLE.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="VERSION|TIME", help="Read the tables at this version or UTC time.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="The output format.")] = Format.TABLE,
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="Read the query from this file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the answer to this file, not to standard output.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Stop the query after this many seconds.")] = None,
) -> None:
    """Query the lake's tables in SQL, read-only, without Spark; the lake may run or not.

    Table names are like silver.bars and gold.signals; the dialect is DuckDB's. Without a query the command reads one
    from standard input, or shows a prompt with completion and history. Examples:

        financelake sql "SELECT symbol, signal, confidence FROM gold.signals ORDER BY event_time DESC LIMIT 5"

        financelake sql "FROM silver.bars WHERE symbol = 'AAPL'" --format parquet --output aapl.parquet
    """
    if query is not None and file is not None:
        raise typer.BadParameter("give either a query or a --file")
    if file is not None:
        query = file.read_text(encoding="utf-8")
    refuse_table_in_file(form, output)
    if query is None and not sys.stdin.isatty():
        query = sys.stdin.read()
    os.nice(_POLITE)
    if query is None:
        from financelake_assets.cli.sql_prompt import prompt

        settings = get_settings()
        prompt(settings, as_of, lambda text, when: answer_one(settings, text, when, timeout))
        return
    refuse_bytes_on_terminal(form, output)
    answer_one(get_settings(), query, as_of, timeout, form, output)


def answer_one(
    settings: Settings,
    query: str,
    as_of: str | None = None,
    timeout: float | None = None,
    form: Format = Format.TABLE,
    output: Path | None = None,
) -> None:
    r"""Run one query, or a ``\d``, and write its answer."""
    from financelake_assets import lake
    from financelake_assets.cli.sql_output import deliver
    from financelake_assets.cli.tables_command import described

    if query.strip().startswith("\\d"):
        described(settings, query.strip()[2:].strip(" ;") or None)
        return
    with lake.answered(query, as_of=as_of, timeout=timeout, settings=settings) as answer:
        _say_what_is_missing(answer)
        deliver(answer, form, output)


def _say_what_is_missing(answer: Answer) -> None:
    for name, version in answer.versions.items():
        if version is None:
            err.print(f"[yellow]![/yellow] {escape(name)} has no rows: the lake has not created it yet")
