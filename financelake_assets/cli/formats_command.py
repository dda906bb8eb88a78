"""``financelake ingest FILE --dry-run`` and ``financelake formats``: what a file is taken for, before it is published.

Input: a request for the user's own files. Output: what is in them on stdout, questions on stderr, and exit code 0 only
when nothing has to be asked. No broker and no Spark is touched. At a terminal the questions are asked, and what is
answered is remembered for files of that shape.
"""

from __future__ import annotations

import re
import shlex
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    from financelake_assets.providers.files import FileProvider
    from financelake_assets.providers.formats.questions import Question
    from financelake_assets.providers.request import IngestRequest

err = Console(stderr=True, highlight=False)

_ANSWERS = {
    "--symbol": "symbol",
    "--interval": "interval",
    "--time-format": "time_format",
    "--timezone": "timezone",
    "--decimal": "decimal",
    "--scale": "scale",
    "--columns": "header",
}
_MAP = "--map "


def is_pair(text: str) -> bool:
    """Whether an argument is ``field=column`` of a known field."""
    field, separator, _ = text.partition("=")
    return bool(separator) and field.strip() in _fields()


def _fields() -> tuple[str, ...]:
    from financelake_assets.providers.base import CLOCK, COLUMNS

    return (*COLUMNS, CLOCK)


def mapping(pairs: list[str]) -> dict[str, str]:
    """``field=column`` pairs, given one by one, after one ``--map``, or separated by commas.

    A column's name may hold commas and equals signs; it may be quoted.
    """
    fields = "|".join(_fields())
    found = {}
    for pair in (part for text in pairs for part in re.split(rf",(?=\s*(?:{fields})\s*=)", text)):
        field, separator, column = pair.partition("=")
        column = column.strip()
        if len(column) > 1 and column[0] == column[-1] and column[0] in "\"'":
            column = column[1:-1]
        if not separator or not field or not column:
            raise typer.BadParameter(f"{pair!r} is not FIELD=COLUMN", param_hint="--map")
        found[field.strip()] = column
    return found


def formats(
    forget: Annotated[
        str | None, typer.Option(metavar="NAME", help="Remove a remembered format.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the formats of files that are known by name, and those that were settled and remembered.

    `financelake ingest FILE --format NAME` forces a known one. A remembered one is used by itself for files of its
    shape; it is in <data_dir>/formats.yaml, or in the file that FINANCELAKE_FORMATS_FILE names, which a team can share.
    """
    from financelake_assets.cli.console import out, print_json
    from financelake_assets.config import get_settings
    from financelake_assets.providers.formats.known import FORMATS
    from financelake_assets.providers.formats.remembered import Remembered

    remembered = Remembered(get_settings().formats_path)
    if forget is not None:
        remembered.forget(forget)
        err.print(f"{forget} is forgotten", markup=False)
        return
    entries = remembered.entries()
    if as_json:
        known = [{"name": one.name, "title": one.title, "header": bool(one.header)} for one in FORMATS]
        settled = [
            {"name": one.name, "title": one.shown(), "header": bool(one.shape.columns), "settled": one.settled}
            for one in entries
        ]
        print_json([*known, *settled])
        return
    for one in FORMATS:
        out.print(f"{one.name:20} {one.title}", markup=False)
    for entry in entries:
        columns = ", ".join(entry.shape.columns) or f"{len(entry.shape.cells)} columns without names"
        told = f"remembered on {entry.on} for {entry.file}: {columns}: {entry.shown()}"
        out.print(f"{entry.name:20} {told}", markup=False, soft_wrap=True)


def dry_run_of(request: IngestRequest, as_json: bool) -> None:
    """Show what would be published of a user's own files.

    Raises:
        FinanceLakeError: there is no file to look at.
        typer.Exit: with code 1, something has to be asked or is refused.
    """
    from financelake_assets.cli.console import out, print_json
    from financelake_assets.providers.base import ProviderError

    if request.provider != "csv":
        raise typer.BadParameter("only files can be looked at; leave --provider out", param_hint="--dry-run")
    try:
        asking = not as_json and sys.stdin.isatty()
        answered, seen = _asked(request) if asking else (request, looked(request))
    except ProviderError as error:
        if as_json:
            print_json({**_empty(), "questions": [str(error)]})
            raise typer.Exit(1) from error
        raise FinanceLakeError(str(error)) from error
    if as_json:
        print_json(seen)
    else:
        for name, value in seen.items():
            for one in value if isinstance(value, list) and name in ("notes", "questions") else [value]:
                out.print(f"{name:10} {', '.join(one) if isinstance(one, list) else one}", markup=False)
        if not seen["questions"]:
            if asking:
                remember(answered)
            err.print("Nothing was published. Next, the same without --dry-run:")
            err.print(f"  financelake ingest {_options(answered)}", markup=False, soft_wrap=True)
    if seen["questions"]:
        raise typer.Exit(1)


def remember(request: IngestRequest) -> None:
    """Remember what a request says of files that would be refused without it, and say so."""
    if request.provider != "csv" or request.path is None:
        return
    for entry in _provider(request).settle():
        err.print(f"remembered for files of this shape: {entry.shown()} (`financelake formats`)", markup=False)


def _provider(request: IngestRequest, gaps: bool = False) -> FileProvider:
    from financelake_assets.config import get_settings
    from financelake_assets.providers.files import FileProvider
    from financelake_assets.providers.formats.remembered import Remembered

    return FileProvider(request, Remembered(get_settings().formats_path), gaps=gaps)


def looked(request: IngestRequest) -> dict[str, Any]:
    """What is in the files of a request, as ``--dry-run --json`` prints it."""
    provider = _provider(request, gaps=True)
    shown = _empty()
    kinds, intervals, symbols, spans = set(), set(), set(), []
    if provider.left_out:
        shown["notes"].append(f"left out: {', '.join(provider.left_out)}")
    for one in provider.look():
        shown["files"] += 1
        shown["questions"] += [str(question) for question in one.questions]
        if one.reading is not None and one.survey is not None:
            kinds.add(one.reading.format)
            intervals |= one.survey.intervals
            symbols |= one.survey.symbols
            shown["messages"] += one.survey.messages
            shown["odd"] += one.survey.odd
            shown["notes"] += [*one.reading.notes(one.source.label), *one.survey.notes]
            spans += [time for time in (one.survey.first, one.survey.last) if time is not None]
    shown["format"] = ",".join(sorted(kinds)) or None
    shown["interval"] = ",".join(sorted(intervals)) or None
    shown["symbols"] = sorted(symbols)
    shown["first"], shown["last"] = (_iso(min(spans)), _iso(max(spans))) if spans else (None, None)
    return shown


def _empty() -> dict[str, Any]:
    return {
        "format": None,
        "files": 0,
        "messages": 0,
        "odd": 0,
        "symbols": [],
        "interval": None,
        "first": None,
        "last": None,
        "notes": [],
        "questions": [],
    }


def _iso(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _asked(request: IngestRequest) -> tuple[IngestRequest, dict[str, Any]]:
    """Ask what is not sure until it is, or until an answer is left empty."""
    while True:
        open_questions = [
            question
            for one in _provider(request).look()
            for question in one.questions
            if question.option in _ANSWERS or question.option.startswith(_MAP)
        ]
        if not open_questions:
            break
        question = open_questions[0]
        err.print(str(question), markup=False)
        if question.choices:
            err.print(f"  one of: {', '.join(question.choices)}", markup=False)
        answer = typer.prompt(question.option, default="", show_default=False, err=True).strip()
        if not answer:
            break
        try:
            request = type(request).model_validate(_with_answer(request, question, answer))
        except ValidationError as error:
            err.print(f"{answer!r} cannot be: {error.errors()[0]['msg']}", markup=False)
    return request, looked(request)


def _with_answer(request: IngestRequest, question: Question, answer: str) -> dict[str, Any]:
    """The fields of a request with an answer; that of ``--map close=`` is a column."""
    fields = request.model_dump(exclude_unset=True)
    if question.option == "--columns":
        return {**fields, "header": tuple(one.strip() for one in answer.split(","))}
    if question.option.startswith(_MAP):
        field = question.option.removeprefix(_MAP).rstrip("=")
        return {**fields, "columns": {**request.columns, field: answer}}
    return {**fields, _ANSWERS[question.option]: answer}


def _options(request: IngestRequest) -> str:
    """A request as what is typed for it."""
    words = [str(request.path)]
    words += [word for field, column in request.columns.items() for word in ("--map", f"{field}={column}")]
    for field in ("asset_class", "interval", "symbol", "time_format", "decimal", "thousands", "scale", "format"):
        if (value := getattr(request, field)) is not None:
            words += [f"--{field.replace('_', '-')}", str(value)]
    if "timezone" in request.model_fields_set:
        words += ["--timezone", request.timezone]
    if request.header:
        words += ["--columns", ",".join(request.header)]
    return shlex.join([*words, *(["--accept-odd"] if request.accept_odd else [])])
