"""What is to be published: after any piece, another process goes on with exactly the rest."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from financelake_assets.config import Settings
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.publishing import pieces as module
from financelake_assets.publishing.pieces import Piece, PublishingGapError, pieces
from financelake_assets.publishing.place import Place
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.query import rows


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 2)


def commit(lake: Settings, *days: int) -> None:
    OpenTables(lake).insert(SIGNALS, pl.concat([rows.signal(day) for day in days]))


def opened(lake: Settings) -> DeltaTable:
    return SIGNALS.ensure(lake)


def rest(lake: Settings, known: Place | None, topic: str = "t") -> list[Piece]:
    return list(pieces(SIGNALS, lake, opened(lake), topic, known))


def days(found: list[Piece]) -> list[int]:
    return [(time - rows.DAY).days for piece in found for time in piece.rows["event_time"]]


@pytest.mark.usefixtures("small")
def test_a_table_that_is_not_published_yet_begins_with_all_its_rows(offline_lake: Settings) -> None:
    commit(offline_lake, 2, 0, 1)
    commit(offline_lake, 5, 4, 3)
    opened(offline_lake).optimize.compact()
    found = rest(offline_lake, None)
    assert days(found) == [0, 1, 2, 3, 4, 5]
    assert found[-1].after.version == opened(offline_lake).version() + 1
    assert not found[-1].after.whole


@pytest.mark.usefixtures("small")
def test_every_process_that_begins_at_a_place_gives_exactly_the_rest(offline_lake: Settings) -> None:
    commit(offline_lake, *range(5))
    first = rest(offline_lake, None)
    place: Place | None = first[1].after  # in the middle of the first rows
    assert place is not None
    assert place.whole
    for start in (5, 9):
        commit(offline_lake, *range(start, start + 4))
    opened(offline_lake).optimize.compact()
    everything = days(first[:2]) + days(rest(offline_lake, place))
    assert everything == list(range(13))
    after, seen = place, days(first[:2])
    while found := rest(offline_lake, after):
        seen += days(found[:1])
        after = found[0].after
    assert seen == everything


def test_there_is_nothing_after_the_last_piece(offline_lake: Settings) -> None:
    commit(offline_lake, 0)
    (*_, last) = rest(offline_lake, None)
    assert rest(offline_lake, last.after) == []
    commit(offline_lake, 1)
    (new,) = rest(offline_lake, last.after)
    assert days([new]) == [1]


def test_commits_without_rows_move_the_place_on(offline_lake: Settings) -> None:
    for day in range(3):
        commit(offline_lake, day)
    (*_, last) = rest(offline_lake, None)
    opened(offline_lake).optimize.compact()
    (moved,) = rest(offline_lake, last.after)
    assert moved.rows.is_empty()
    assert moved.after.version == opened(offline_lake).version() + 1
    assert rest(offline_lake, moved.after) == []


def test_a_table_or_topic_that_was_made_again_begins_anew(offline_lake: Settings) -> None:
    commit(offline_lake, 0, 1)
    (*_, last) = rest(offline_lake, None)
    assert days(rest(offline_lake, last.after, topic="another")) == [0, 1]
    other = Place("another table", "t", 99)
    assert days(rest(offline_lake, other)) == [0, 1]


def test_commits_that_are_gone_are_not_left_out_in_silence(offline_lake: Settings) -> None:
    commit(offline_lake, 0)
    (*_, last) = rest(offline_lake, None)
    for day in (1, 2):
        commit(offline_lake, day)
    table = opened(offline_lake)
    table.create_checkpoint()
    log = Path(SIGNALS.path(offline_lake), "_delta_log", f"{last.after.version:020}.json")
    log.unlink()
    with pytest.raises(PublishingGapError, match="no longer kept") as told:
        rest(offline_lake, last.after)
    assert "gold.signals" in told.value.remedy


def test_a_place_is_what_it_was_written_as() -> None:
    place = Place("table", "topic", 3, 4, whole=True)
    assert Place.decoded(place.encoded()) == place
