"""What was settled about files, by their shape: used for others of that shape without asking again.

Input: a table, and the options that settled how it is read. Output: a YAML file that people can read, edit and share.
Only what is a file's shape is remembered: its columns, times and numbers. The symbol, the interval and the asset class
belong to one file. Answers are used only where a file would be refused without them, so they overrule nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.formats.numbers import absent
from financelake_assets.providers.formats.sample import first_rows
from financelake_assets.providers.formats.tables import Table
from financelake_assets.providers.request import IngestRequest

SETTLED = ("format", "header", "columns", "time_format", "timezone", "decimal", "thousands", "scale")
"""The options of ``financelake ingest`` that are remembered."""

_HEADING = """\
# What was settled about files, by their shape. `financelake ingest` uses it where it would otherwise ask.
# Share this file: FINANCELAKE_FORMATS_FILE names it. Remove an entry with `financelake formats --forget NAME`.
"""
_NUMBER = re.compile(r"[-+]?[\d.,' ]*\d[\d.,' ]*")
_FEWEST_DIGITS = 4


class Shape(BaseModel):
    """What files of one source have in common: their kind, separator, names of columns, and how cells look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    delimiter: str | None = None
    columns: tuple[str, ...]
    cells: tuple[str, ...]


class Entry(BaseModel):
    """One shape and what was settled of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: Shape
    settled: dict[str, Any]
    file: str = Field("", description="the file for which it was settled")
    on: str = ""

    def shown(self) -> str:
        """The options in words."""
        return ", ".join(f"{key.replace('_', '-')} {_words(value)}" for key, value in self.settled.items())


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    formats: list[Entry] = []


def shape_of(table: Table) -> Shape:
    """The shape of a table that was opened without names from the user."""
    first = first_rows(table).head(20)
    cells = []
    for column in first.columns:
        there = first[column].filter(~absent(first[column]))
        cells.append(_pattern(str(there[0])) if len(there) and not there.dtype.is_numeric() else "number")
    source = table.source
    return Shape(
        kind=source.kind,
        delimiter=table.dialect.delimiter if table.dialect else None,
        columns=tuple(first.columns) if table.header else (),
        cells=tuple(cells),
    )


def _pattern(cell: str) -> str:
    """How a cell looks: a date keeps its form, with 9 for each digit; a number and another text keep nothing."""
    text = cell.strip()
    if _NUMBER.fullmatch(text) and not re.fullmatch(r"(?:18|19|20)\d{6,12}", text):
        return "number"
    if sum(letter.isdigit() for letter in text) < _FEWEST_DIGITS:
        return "text"
    return re.sub(r"[A-Za-z]+", "a", re.sub(r"\d", "9", text))


class Remembered:
    """A YAML file of entries. It is read when it is asked, so that it can be edited while a lake runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """All entries.

        Raises:
            ProviderError: the file is not what it should be.
        """
        if not self.path.is_file():
            return []
        try:
            return _File.model_validate(yaml.safe_load(self.path.read_text("utf-8")) or {}).formats
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise ProviderError(f"{self.path} cannot be read: {error}") from error
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(str(part) for part in wrong["loc"])
            raise ProviderError(f"{self.path}: {where}: {wrong['msg']}") from error

    def of(self, shape: Shape) -> Entry | None:
        """What was settled of a shape."""
        return next((one for one in self.entries() if one.shape == shape), None)

    def keep(self, shape: Shape, settled: Mapping[str, Any], file: str) -> Entry:
        """Note what was settled of a shape; what was noted of it before is replaced."""
        entry = Entry(
            name=_name(shape), shape=shape, settled=dict(settled), file=file, on=f"{datetime.now(UTC):%Y-%m-%d}"
        )
        self._rewrite(lambda entries: [*(one for one in entries if one.shape != shape), entry])
        return entry

    def forget(self, name: str) -> None:
        """Remove an entry.

        Raises:
            ProviderError: there is none of that name.
        """
        if not any(one.name == name for one in self.entries()):
            raise ProviderError(f"no remembered format {name!r}; `financelake formats` lists them")
        self._rewrite(lambda entries: [one for one in entries if one.name != name])

    def _rewrite(self, change: Any) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock", timeout=10):
            content = {"formats": [one.model_dump(mode="json", exclude_none=True) for one in change(self.entries())]}
            text = _HEADING + yaml.safe_dump(content, allow_unicode=True, sort_keys=False, default_flow_style=None)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".formats-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(self.path)


def settled_in(request: IngestRequest) -> dict[str, Any]:
    """The options of a request that are about a file's shape."""
    given = request.model_dump(mode="json", exclude_unset=True)
    return {key: given[key] for key in SETTLED if given.get(key)}


def without_settled(request: IngestRequest) -> IngestRequest:
    """A request as it would be if nothing of a file's shape had been said."""
    fields = request.model_dump(exclude_unset=True)
    return IngestRequest.model_validate({key: value for key, value in fields.items() if key not in SETTLED})


def with_settled(request: IngestRequest, settled: Mapping[str, Any]) -> IngestRequest:
    """A request with what was settled before; what it says itself comes first."""
    fields = request.model_dump(exclude_unset=True)
    told = {key: value for key, value in settled.items() if key in SETTLED and not fields.get(key)}
    columns = {**settled.get("columns", {}), **request.columns}
    return IngestRequest.model_validate({**fields, **told, "columns": columns})


def _name(shape: Shape) -> str:
    words = [re.sub(r"\W+", "", one.lower()) for one in shape.columns[:4]]
    digest = hashlib.sha256(repr(shape).encode()).hexdigest()[:6]
    return "-".join([*(one for one in words if one), digest])


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={one}" for key, one in value.items())
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
