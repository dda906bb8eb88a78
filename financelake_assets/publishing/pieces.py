"""What is still to be published of a table, in pieces that each fit in one transaction.

Input: a table, and the place up to which it is published. Output: the rows after it with their places, commit by
commit, and within a commit by time and key: every process that begins at a place reads the same rows after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl
from deltalake import DeltaTable

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.publishing.place import Place
from financelake_assets.query import following, versions
from financelake_assets.query.errors import VersionGoneError
from financelake_assets.query.names import dotted
from financelake_assets.query.rendering import in_order
from financelake_assets.storage.delta import TableSpec

MOST_ROWS = 5_000
"""Rows of one transaction."""


class PublishingGapError(FinanceLakeError, LookupError):
    """Commits that are not published are no longer kept: what follows them must not look complete."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows to publish, the place of the first of them, and the place after the last."""

    rows: pl.DataFrame
    first: Place
    after: Place


def pieces(
    spec: TableSpec, settings: Settings, table: DeltaTable, topic_id: str, known: Place | None
) -> Iterator[Piece]:
    """What is to be published, up to the table's version.

    Args:
        spec: the table.
        settings: the lake.
        table: the opened table.
        topic_id: the broker's id of the topic.
        known: how far an earlier publisher came; ``None`` if there was none.

    Raises:
        PublishingGapError: a commit or its files were deleted before they were published.
    """
    table_id = str(table.metadata().id)
    if known is None or (known.table, known.topic) != (table_id, topic_id):
        known = Place(table_id, topic_id, table.version(), whole=True)
    place = known
    try:
        for piece in _after(spec, settings, table, known):
            yield piece
            place = piece.after
    except VersionGoneError as error:
        raise PublishingGapError(
            f"{dotted(spec)} is published up to version {place.version - 1}. What follows is no longer kept: {error}",
            remedy=f"Delete the topic {dotted(spec)}; the publisher then publishes the whole table on a new one.",
        ) from error


def _after(spec: TableSpec, settings: Settings, table: DeltaTable, place: Place) -> Iterator[Piece]:
    if place.whole:
        for piece in _of_version(spec, settings, place):
            yield piece
            place = piece.after
    following.position(spec, settings, place.version - 1)
    moved = False
    while place.version <= table.version():
        rows = in_order(spec, following.of_commit(spec, settings, table, place.version).rows)
        end = _next(place)
        parts = list(_parts(rows, place, end))
        yield from parts
        place, moved = end, not parts
    if moved:  # the place leaves commits without new rows behind: their log will be deleted one day
        yield Piece(spec.empty, place, place)


def _next(place: Place) -> Place:
    """The beginning of the next commit."""
    return replace(place, version=place.version + 1, rows=0, whole=False)


def _of_version(spec: TableSpec, settings: Settings, place: Place) -> Iterator[Piece]:
    """All rows of a version, file by file, oldest file first."""
    table = versions.at(spec, settings, place.version)
    if table is None:
        raise VersionGoneError(f"There is no table {dotted(spec)}.")
    files = pl.DataFrame(table.get_add_actions()).sort("modification_time", "path")
    schema, before = pl.scan_delta(table).collect_schema(), 0
    for path, count in files.select("path", "num_records").iter_rows():
        if before + count > place.rows:
            rows = in_order(spec, following.rows_in(spec, settings, schema, (path,)))
            for piece in _parts(rows, replace(place, rows=max(0, place.rows - before)), replace(place, rows=count)):
                yield _shifted(piece, before)
        before += count
    end = _next(place)
    yield Piece(spec.empty, end, end)


def _shifted(piece: Piece, before: int) -> Piece:
    """The piece of a file, with the number of its rows in the version."""
    first, after = (replace(one, rows=one.rows + before) for one in (piece.first, piece.after))
    return Piece(piece.rows, first, after)


def _parts(rows: pl.DataFrame, place: Place, end: Place) -> Iterator[Piece]:
    """The rows from a place on; the last part ends at ``end``."""
    for first in range(place.rows, rows.height, MOST_ROWS):
        part = rows.slice(first, MOST_ROWS)
        last = first + part.height >= rows.height
        yield Piece(part, replace(place, rows=first), end if last else replace(place, rows=first + part.height))
