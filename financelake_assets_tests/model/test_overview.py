"""The overview: each market with its champion, or with what it lacks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from financelake_assets.config import ModelSettings
from financelake_assets.model.features import LOOKBACK
from financelake_assets.model.markets import Market, Series
from financelake_assets.model.overview import overview
from financelake_assets.model.readiness import MarketBars
from financelake_assets_tests.model.records import DAY, record

SETTINGS = ModelSettings()
CHAMPION = record("rf-1", promoted=0)


def bars(interval: str, labelled: int | None, new: int = 0) -> dict[Market, MarketBars]:
    series = Series((labelled or 0) + LOOKBACK + 1, DAY, timedelta(minutes=5))
    return {Market(interval): MarketBars(Market(interval), (series,), new, 0, DAY, labelled)}


def test_markets_with_and_without_a_champion_stand_side_by_side():
    found = overview([CHAMPION], bars("5m", 312) | bars("1d", None, new=7), SETTINGS, DAY)
    assert list(found) == ["5m", "1d"]
    assert found["5m"] | {"note": ""} == {
        "interval": "5m",
        **dict.fromkeys(("model_version", "verdict", "trained_at")),
        "series": 1,
        "bars": 373,
        "labelled": 312,
        "needed": 500,
        "new_bars": 0,
        "note": "",
    }
    assert found["1d"] | {"series": 0, "bars": 0} == {
        "interval": "1d",
        "model_version": "rf-1",
        "verdict": "no edge",
        "trained_at": "2026-06-01T00:00:00+00:00",
        "series": 0,
        "bars": 0,
        "labelled": None,
        "needed": None,
        "new_bars": 7,
        "note": "7 new bars since the last training; the next at 5,000",
    }


@pytest.mark.parametrize(
    ("versions", "found", "settings", "days", "note"),
    [
        ([], bars("5m", 312), SETTINGS, 0, "no model yet: 312 of 500 labelled bars; about 16 hours to go"),
        ([], bars("5m", 500), SETTINGS, 0, "no model yet: 500 of 500 labelled bars; its training is due"),
        ([], bars("5m", 312), ModelSettings(skipped_intervals=("5m",)), 0, "no model: the settings switch it off"),
        ([record("a", "5m")], bars("5m", None), SETTINGS, 0, "no champion: no version was promoted"),
        ([record("a", "5m", 0)], {}, SETTINGS, 91, "the champion is 91 days old, more than 90: every signal is HOLD"),
        ([record("a", "5m", 0)], {}, ModelSettings(intervals=("1d",)), 0, "no model: the settings switch it off"),
    ],
)
def test_the_note_says_why_there_are_no_signals(
    versions: list[Any], found: dict[Market, MarketBars], settings: ModelSettings, days: int, note: str
):
    (row,) = overview(versions, found, settings, DAY + timedelta(days=days)).values()
    assert str(row["note"]).startswith(note)
