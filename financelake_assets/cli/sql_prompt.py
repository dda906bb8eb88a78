r"""The prompt of ``financelake sql``: completion of names, history, ``\d``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
from platformdirs import user_state_path
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import FuzzyCompleter, WordCompleter
from prompt_toolkit.history import FileHistory
from rich.markup import escape

from financelake_assets.catalogue import TABLES
from financelake_assets.cli.console import err
from financelake_assets.config import Settings
from financelake_assets.explanations import EXPECTED, explained

Answering = Callable[[str, str | None], None]
"""Answers a query at a version or time."""

_HELP = r"""\d           all tables
\d TABLE     its columns
\as-of WHEN  read the tables at a version or a time; without WHEN, the current ones
\q           leave (or Ctrl-D)
A query ends with a semicolon and may have several lines. Tab completes; the up arrow shows earlier queries."""


def prompt(settings: Settings, as_of: str | None, answer: Answering) -> None:
    """Answer queries until the user leaves; an error is shown, and the prompt continues."""
    session: PromptSession[str] = PromptSession(
        history=FileHistory(str(_history())), completer=FuzzyCompleter(WordCompleter(words(), WORD=True))
    )
    err.print(f"{escape(settings.tables)}, read-only. \\? shows help, \\q leaves.", markup=False)
    lines: list[str] = []
    while True:
        try:
            line = session.prompt("    -> " if lines else f"lake{f' as of {as_of}' if as_of else ''}=> ")
        except KeyboardInterrupt:
            lines = []
            continue
        except EOFError:
            return
        text = line.strip()
        if not lines and text.startswith("\\"):
            if text in ("\\q", "\\quit"):
                return
            if text.startswith("\\as-of"):
                as_of = text.removeprefix("\\as-of").strip() or None
            elif text.startswith("\\d"):
                _answered(answer, text, as_of)
            else:
                err.print(_HELP, markup=False)
            continue
        lines += [line] if text else []
        if text.endswith(";"):
            _answered(answer, "\n".join(lines), as_of)
            lines = []


def words() -> list[str]:
    """The words for completion: tables, their columns, and SQL's keywords."""
    tables = [f"{spec.layer}.{spec.name}" for spec in TABLES]
    columns = sorted({name for spec in TABLES for name in spec.schema.names})
    with duckdb.connect() as connection:
        found = connection.execute("SELECT upper(keyword_name) FROM duckdb_keywords()").fetchall()
    return [*tables, *columns, *(str(row[0]) for row in found), "\\d", "\\as-of", "\\q"]


def _answered(answer: Answering, query: str, as_of: str | None) -> None:
    try:
        answer(query, as_of)
    except EXPECTED as error:
        err.print(f"[red]✗[/red] {escape(explained(error))}")
    except KeyboardInterrupt:
        err.print("stopped")


def _history() -> Path:
    path = user_state_path("financelake", ensure_exists=True) / "sql_history"
    path.touch(mode=0o600)
    return path
