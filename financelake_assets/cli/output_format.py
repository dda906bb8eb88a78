"""The output formats of query answers, apart from what writes them: the command line loads faster without it."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path

import typer


class Format(StrEnum):
    """The output format of an answer."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


BINARY = (Format.PARQUET, Format.ARROW)


def refuse_table_in_file(form: Format, output: Path | None) -> None:
    """Raise ``typer.BadParameter`` if a table, which is for people, would go to a file."""
    if output is not None and form is Format.TABLE:
        raise typer.BadParameter("--output needs --format csv, json, parquet or arrow")


def refuse_bytes_on_terminal(form: Format, output: Path | None) -> None:
    """Raise ``typer.BadParameter`` if bytes would go to a terminal."""
    if form in BINARY and output is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} cannot be shown on a terminal: give --output FILE, or redirect it")
