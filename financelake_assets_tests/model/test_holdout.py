from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from financelake_assets.config import ModelSettings
from financelake_assets.model.features import features_of
from financelake_assets.model.holdout import PACKAGED, cut_offs, in_holdout
from financelake_assets.model.labels import LABEL, labels_of
from financelake_assets.silver.packaged import packaged_bars

_DAY = np.timedelta64(1, "D")


def test_without_a_cut_off_the_holdout_is_the_latest_part_of_a_symbol() -> None:
    symbol = np.array(["A"] * 10 + ["B"] * 5)
    event_time = np.datetime64("2020-01-01", "us") + np.concatenate([np.arange(10)[::-1], 100 + np.arange(5)]) * _DAY
    held = in_holdout(symbol, event_time, 0.2, {})
    assert held.tolist() == [True, True] + [False] * 8 + [False] * 4 + [True]


def test_a_cut_off_does_not_move_with_the_bars_that_are_there() -> None:
    event_time = np.datetime64("2020-01-01", "us") + np.arange(100) * _DAY
    symbol, since = np.array(["A"] * 100), {"A": date(2020, 3, 21)}
    held = in_holdout(symbol, event_time, 0.2, since)
    assert (held.sum(), event_time[held].min()) == (20, np.datetime64("2020-03-21"))
    # a lake that has loaded all but the last 10 days, and one that has loaded nothing else
    assert in_holdout(symbol[:90], event_time[:90], 0.2, since).sum() == 10
    assert in_holdout(symbol[90:], event_time[90:], 0.2, since).all()


def test_the_settings_say_a_cut_off_for_other_symbols_and_for_these() -> None:
    settings = ModelSettings.model_validate({"holdout_since": {"TSLA": "2024-05-01", "AAPL": "2012-01-01"}})
    found = cut_offs(settings)
    assert (found["TSLA"], found["AAPL"], found["IBM"]) == (date(2024, 5, 1), date(2012, 1, 1), PACKAGED["IBM"])


@pytest.fixture(scope="module")
def packaged() -> pl.DataFrame:
    """The labelled bars of the packaged history, all of it."""
    bars = packaged_bars()
    labelled = labels_of(features_of(bars.unique(["symbol", "interval", "event_time"], keep="last")), 1)
    return labelled.filter("scorable", pl.col(LABEL).is_not_null())


def times(rows: pl.DataFrame) -> np.ndarray:
    return rows["event_time"].dt.replace_time_zone(None).to_numpy()


def test_the_packaged_cut_offs_are_where_the_choices_ended(packaged: pl.DataFrame) -> None:
    held = in_holdout(packaged["symbol"].to_numpy().astype(str), times(packaged), 0.2, {})
    first = packaged.filter(pl.Series(held)).group_by("symbol").agg(pl.col("event_time").min().dt.date())
    assert dict(first.iter_rows()) == dict(PACKAGED)


def test_in_a_lake_that_replays_a_year_nothing_of_the_choices_is_held_out(packaged: pl.DataFrame) -> None:
    live_days = 365
    last = pl.col("event_time").max().over("symbol")
    loaded = packaged.filter(pl.col("event_time") <= last - pl.duration(days=live_days))
    symbol, day = loaded["symbol"].to_numpy().astype(str), loaded["event_time"].dt.date()
    cut_off = pl.Series([PACKAGED[one] for one in symbol])
    held = pl.Series(in_holdout(symbol, times(loaded), 0.2, cut_offs(ModelSettings())))
    by_fraction = pl.Series(in_holdout(symbol, times(loaded), 0.2, {}))
    goog = pl.Series(symbol == "GOOG")
    # what the latest fifth of what is loaded would have held out: of GOOG more than a half was chosen on
    assert 2 * int(((day < cut_off) & by_fraction & goog).sum()) > int((by_fraction & goog).sum())
    assert not ((day < cut_off) & held).any()
