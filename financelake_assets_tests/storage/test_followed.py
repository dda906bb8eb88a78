from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from deltalake import write_deltalake

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.config import Settings
from financelake_assets.storage.followed import FollowedFacts


def add(settings: Settings, count: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    rows = pl.DataFrame(
        {
            "symbol": [f"S{number}" for number in range(count)],
            "asset_class": "stock",
            "provider": "test",
            "added_at": [now + timedelta(seconds=number) for number in range(count)],
        }
    )
    table = UNIVERSE.ensure(settings)
    missing = [name for name in UNIVERSE.schema.names if name not in rows.columns]
    source = rows.with_columns(pl.lit(None).alias(name) for name in missing).select(UNIVERSE.schema.names)
    write_deltalake(table, source.to_arrow().cast(UNIVERSE.schema), mode="append")


def test_the_figures_are_those_of_the_newest_commit_each_time(offline_lake: Settings):
    followed = FollowedFacts(offline_lake)
    assert followed.of(UNIVERSE) is None
    for rows in (1, 3, 10):
        add(offline_lake, rows)
        assert followed.of(UNIVERSE) == UNIVERSE.facts(offline_lake)


def test_a_table_that_stands_still_is_not_read_again(offline_lake: Settings):
    add(offline_lake, 3)
    followed = FollowedFacts(offline_lake)
    assert followed.of(UNIVERSE) is followed.of(UNIVERSE)


def test_a_table_that_was_made_again_is_read_from_its_beginning(offline_lake: Settings):
    add(offline_lake, 3)
    followed = FollowedFacts(offline_lake)
    followed.of(UNIVERSE)
    shutil.rmtree(Path(UNIVERSE.path(offline_lake)))
    assert followed.of(UNIVERSE) is None
    add(offline_lake, 5)
    facts = followed.of(UNIVERSE)
    assert facts is not None
    assert facts.rows == 5
