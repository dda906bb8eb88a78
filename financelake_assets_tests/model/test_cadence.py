"""When a market is trained again, and what a version tells of the refits that it was judged by."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.config import ModelSettings
from financelake_assets.model.cadence import Refits, refits_of, retraining
from financelake_assets.model.card import model_card
from financelake_assets.model.record import ModelRecord
from financelake_assets_tests.model.records import record

SINCE, UNTIL = datetime(2025, 9, 1, tzinfo=UTC), datetime(2026, 8, 30, tzinfo=UTC)
MADE = Refits(12, SINCE, UNTIL)


@given(st.integers(0, 9_000), st.floats(0, 99), st.integers(0, 9_000), st.floats(0, 99))
def test_what_is_due_stays_due(rows: int, days: float, more: int, longer: float) -> None:
    if retraining(rows, days, ModelSettings()):
        assert retraining(rows + more, days + longer, ModelSettings())


def test_the_refits_of_a_walk_are_counted_with_their_time() -> None:
    walk = pl.DataFrame(
        {"refit": [None, 1, 1, 2], "event_time": [datetime(2024, 1, day) for day in (1, 2, 3, 4)]},
        schema={"refit": pl.Int32, "event_time": pl.Datetime("us")},
    )
    assert refits_of(walk) == Refits(2, datetime(2024, 1, 2), datetime(2024, 1, 4))
    assert refits_of(walk[:1]) is None


def test_a_version_keeps_them_and_its_card_says_how_many_over_which_time() -> None:
    for made in (record("rf-1", refits=MADE), record("rf-1")):
        assert ModelRecord.parse(made.row()) == made
    earlier = record("rf-1").row()
    del earlier["refits"]
    assert ModelRecord.parse(earlier).refits is None
    said = "4 folds, with refits: 12 as a live lake makes them, for the bars from 2025-09-01 to 2026-08-30. The"
    assert said in model_card(record("rf-1", refits=MADE), [])
    assert "walk-forward of 4 folds, each with one forest" in model_card(record("rf-1"), [])
