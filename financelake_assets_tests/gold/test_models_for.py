"""Which version scores which market's bars: each market by itself, whatever the others' commits and promotions."""

from __future__ import annotations

import polars as pl
import pytest

from financelake_assets.config import ModelSettings
from financelake_assets.gold.query import NoChampionError, models_for
from financelake_assets.gold.silver_changes import COMMIT
from financelake_assets.model.calibration import Calibration
from financelake_assets.model.record import ModelRecord
from financelake_assets_tests.model.records import record

SETTINGS = ModelSettings()
OUTDATED = Calibration({}, {}, {})


def changed(**commits: list[int]) -> pl.DataFrame:
    """Bars that commits of silver changed, by interval (as ``i5m``)."""
    rows = [{"interval": name[1:], COMMIT: commit} for name, found in commits.items() for commit in found]
    return pl.DataFrame(rows, schema={"interval": pl.String, COMMIT: pl.Int64})


def chosen(versions: list[ModelRecord], bars: pl.DataFrame, settings: ModelSettings = SETTINGS) -> dict[str, str]:
    return {one.market.name: one.model_version for one in models_for(versions, bars, settings)}


def test_each_market_is_scored_by_its_own_champion():
    versions = [record("d", "1d", 1, silver_version=10), record("f", "5m", 2, silver_version=20)]
    assert chosen(versions, changed(i1d=[30], i5m=[30], i1h=[30])) == {"1d": "d", "5m": "f"}
    assert chosen(versions, changed(i5m=[30])) == {"5m": "f"}


def test_a_new_champion_of_one_market_holds_up_no_other():
    """It has learnt the commits that wait, so its own market is not scored by it; the others are as before."""
    versions = [record("d", "1d", 1, silver_version=10), record("f", "5m", 2, silver_version=20)]
    assert chosen(versions, changed(i1d=[15], i5m=[15])) == {"1d": "d"}
    replaced = [*versions, record("d2", "1d", 3, silver_version=20)]
    assert chosen(replaced, changed(i1d=[15], i5m=[25])) == {"1d": "d", "5m": "f"}
    # the market's own first commit counts, not that of the batch
    assert chosen(replaced, changed(i1d=[21], i5m=[15, 25])) == {"1d": "d2"}


def test_after_a_roll_back_the_markets_earlier_version_scores():
    versions = [record("d", "1d", 5, silver_version=10), record("d2", "1d", 3, silver_version=20)]
    assert chosen(versions, changed(i1d=[30])) == {"1d": "d"}


def test_a_market_that_is_switched_off_is_not_scored():
    versions = [record("d", "1d", 1), record("f", "5m", 2)]
    assert chosen(versions, changed(i1d=[30], i5m=[30]), ModelSettings(skipped_intervals=("5m",))) == {"1d": "d"}


def test_each_horizon_is_scored_by_its_own_champion():
    versions = [
        record("d", "1d", 1, silver_version=10),
        record("rf+5-a", "1d", 2, silver_version=10, horizon=5),
        record("rf+5-b", "1d", 3, silver_version=20, horizon=5),
        record("rf+20-c", "1d", 4, silver_version=10, horizon=20),
    ]
    several = ModelSettings(further_horizons=(5, 20))
    assert chosen(versions, changed(i1d=[30]), several) == {"1d": "d", "1d+5": "rf+5-b", "1d+20": "rf+20-c"}
    assert chosen(versions, changed(i1d=[15]), several)["1d+5"] == "rf+5-a", "it learnt that commit"
    assert chosen(versions, changed(i1d=[30]), ModelSettings(further_horizons=(20,))) == {"1d": "d", "1d+20": "rf+20-c"}
    assert chosen(versions, changed(i1d=[30])) == {"1d": "d"}
    off = ModelSettings(further_horizons=(5,), skipped_intervals=("1d",))
    assert chosen(versions, changed(i1d=[30]), off) == {}


def test_a_champion_of_an_earlier_release_keeps_no_other_market_from_its_signals():
    versions = [record("d", "1d", 1), record("h", "1h", 2, calibration=OUTDATED)]
    assert versions[1].outdated
    assert chosen(versions, changed(i1d=[30], i1h=[30])) == {"1d": "d"}


def test_without_any_champion_there_is_no_signal():
    with pytest.raises(NoChampionError, match="train a model or roll back"):
        models_for([record("d")], changed(i1d=[30]), SETTINGS)
