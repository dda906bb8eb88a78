"""A table's commits: when each was made, and which files it added and removed, read from the Delta log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import orjson

from financelake_assets.config import Settings
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.store import asked, names

_COMMIT = re.compile(r"(\d{20})\.json")


@dataclass(frozen=True)
class Commit:
    """One version of a table. ``added`` and ``removed`` are files; if ``changes`` is false, the rows did not change.

    ``rows`` are in the added files.
    """

    version: int
    time: datetime
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changes: bool
    rows: int = 0


def versions(spec: TableSpec, settings: Settings) -> list[int]:
    """The versions whose commits are still in the log, in order."""
    found = (_COMMIT.fullmatch(name) for name in names(settings, f"{spec.full_name}/_delta_log"))
    return sorted(int(match[1]) for match in found if match)


def commit(spec: TableSpec, settings: Settings, version: int) -> Commit | None:
    """One commit; ``None`` if the log does not have that version.

    Raises:
        StoreError: the store cannot be read.
    """
    with asked(settings) as files:
        try:
            content = files.get(f"{spec.full_name}/_delta_log/{version:020}.json").bytes().to_bytes()
        except FileNotFoundError:
            return None
    return _parsed(version, content)


def time_of(spec: TableSpec, settings: Settings, version: int) -> datetime | None:
    """When a version was committed, by its writer's clock (UTC)."""
    found = commit(spec, settings, version)
    return None if found is None else found.time


def _parsed(version: int, content: bytes) -> Commit:
    actions: list[dict[str, Any]] = [orjson.loads(line) for line in content.splitlines() if line.strip()]
    info: dict[str, Any] = next((item["commitInfo"] for item in actions if "commitInfo" in item), {})
    milliseconds = info.get("inCommitTimestamp") or info.get("timestamp") or 0
    added = [item["add"] for item in actions if "add" in item]
    removed = [item["remove"] for item in actions if "remove" in item]
    return Commit(
        version,
        datetime.fromtimestamp(milliseconds / 1000, UTC),
        tuple(unquote(item["path"]) for item in added),
        tuple(unquote(item["path"]) for item in removed),
        any(item.get("dataChange", True) for item in (*added, *removed)),
        sum(orjson.loads(item.get("stats") or "{}").get("numRecords", 0) for item in added),
    )
