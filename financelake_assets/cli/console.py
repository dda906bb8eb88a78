"""The console of every command: results on stdout, messages and progress on stderr."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

err = Console(stderr=True, highlight=False)


out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
BarsAsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="VERSION|TIME", help="With silver.bars as it was at this version or UTC time."),
]
FromBar = Annotated[datetime | None, typer.Option(help="The first bar begins then or later, in UTC.")]
UntilBar = Annotated[datetime | None, typer.Option(help="The last bar begins before, in UTC.")]


def say(step: str) -> None:
    """Show a finished step."""
    err.print(f"[green]✓[/green] {step}")


def print_json(value: Any) -> None:
    """Print a result for programs."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
