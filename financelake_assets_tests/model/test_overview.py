"""The overview: each market with its champion, or with what it lacks."""

from __future__ import annotations

from dataclasses import replace
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
        "horizon": 1,
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
        "horizon": 1,
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


def test_a_market_of_a_further_horizon_stands_behind_that_of_the_signals():
    settings = ModelSettings(further_horizons=(5, 20))
    versions = [CHAMPION, record("rf+5-1", promoted=1, horizon=5), record("rf+7-1", promoted=2, horizon=7)]
    lacking = {Market("1d", 20): replace(bars("1d", 312)[Market("1d")], market=Market("1d", 20))}
    found = overview(versions, lacking, settings, DAY)
    assert {name: (row["horizon"], row["model_version"]) for name, row in found.items()} == {
        "1d": (1, "rf-1"),
        "1d+5": (5, "rf+5-1"),
        "1d+7": (7, "rf+7-1"),
        "1d+20": (20, None),
    }
    assert found["1d+7"]["note"] == "no model: the settings switch it off"
    assert found["1d+20"]["note"].startswith("no model yet: 312 of 500 labelled bars")


@pytest.mark.parametrize(
    ("versions", "found", "settings", "days", "note"),
    [
        ([], bars("5m", 312), SETTINGS, 0, "no model yet: 312 of 500 labelled bars; about 16 hours to go"),
        ([], bars("5m", 500), SETTINGS, 0, "no model yet: 500 of 500 labelled bars; its training is due"),
        ([], bars("5m", 312), ModelSettings(skipped_intervals=("5m",)), 0, "no model: the settings switch it off"),
        ([record("a", "5m")], bars("5m", None), SETTINGS, 0, "no champion: no version was promoted"),
        ([record("a", "5m", 0)], {}, SETTINGS, 91, "the champion is 91 days old, more than 90: every signal is HOLD"),
        ([record("a", "5m", 0)], {}, ModelSettings(intervals=("1d",)), 0, "no model: the settings switch it off"),
        (
            [record("rf+5-a", "5m", 0, horizon=5)],
            {},
            ModelSettings(further_horizons=(5,)),
            91,
            "the champion is 91 days old, more than 90: its predictions go on",
        ),
    ],
)
def test_the_note_says_why_there_are_no_signals(
    versions: list[Any], found: dict[Market, MarketBars], settings: ModelSettings, days: int, note: str
):
    (row,) = overview(versions, found, settings, DAY + timedelta(days=days)).values()
    assert str(row["note"]).startswith(note)
