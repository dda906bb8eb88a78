"""Two horizons of one interval beside each other: each scored, repaired and watched alone, and no row is doubled."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dash_app.data import market as market_view
from dash_app.data import signal_feed
from dash_app.data.lake_reader import LakeReader
from financelake_assets import lake as api
from financelake_assets.config import Settings
from financelake_assets.defs.gold.checks import _signal_for_each
from financelake_assets.gold import monitoring, scoring
from financelake_assets.gold.history import Repaired, repair, score_newest
from financelake_assets.gold.paper.schema import EQUITY
from financelake_assets.gold.schema import CALIBRATION, DAILY, LATEST, PREDICTIONS, SCORECARD, SIGNALS, SUMMARY
from financelake_assets.gold.standing import Standing
from financelake_assets.model import registry
from financelake_assets.model.markets import FURTHER, Market
from financelake_assets.model.schema import MODELS
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.gold.frames import day, frame
from financelake_assets_tests.gold.lakes import append, content, score_changes
from financelake_assets_tests.gold.test_backtest import RECORD, Guess
from financelake_assets_tests.gold.test_book_store import add

FIRST, AHEAD = Market("1d"), Market("1d", 5)
SYMBOLS = tuple(lakes.SYMBOLS)
LEARNT, LIVE = 150, 12
"""Bars of a symbol that the versions learnt, and bars that come after."""
NOT_TIMES = ("as_of", "scored_at")


@pytest.fixture
def lake(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake with a champion of each horizon, whose forest is the tests' own."""
    monkeypatch.setattr(registry, "load_predictor", lambda *_: Guess({}, 0.0, (), None))  # type: ignore[arg-type]
    found = with_horizons(offline_lake, 5)
    version = append(found, lakes.market(0, LEARNT))
    learnt = dict.fromkeys(SYMBOLS, day(LEARNT - 1))
    first = replace(RECORD, silver_version=version, learnt_until=learnt, train_end=day(LEARNT - 1))
    second = replace(first, model_version="rf+5-1", horizon=5)
    add(MODELS, found, frame(MODELS, [first.row(), second.row()]))
    for record in registry.champions(found).values():
        score_newest(found, record)
    return found


def with_horizons(lake: Settings, *further: int) -> Settings:
    return lake.model_copy(update={"model": lake.model.model_copy(update={"further_horizons": further})})


def live(lake: Settings) -> None:
    """The next bars come, in batches of a few."""
    for first in range(LEARNT, LEARNT + LIVE, 4):
        now = pl.lit(datetime.now(UTC) + timedelta(seconds=5)).cast(pl.Datetime("us", "UTC"))
        score_changes(lake, append(lake, lakes.market(first, first + 4).with_columns(processed_at=now)))


def test_each_horizon_has_its_predictions_and_those_of_the_signals_are_as_without_the_other(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = with_horizons(lake.model_copy(update={"data_dir": lake.data_dir.parent / "alone"}))
    shutil.copytree(lake.data_dir, alone.data_dir)
    live(alone)
    made, features_for = [], scoring.features_for
    monkeypatch.setattr(scoring, "features_for", lambda *given: made.append(1) or features_for(*given))
    live(lake)
    assert len(made) == LIVE // 4, "the horizons of an interval share the features of a batch"
    Standing(lake).refresh()
    Standing(alone).refresh()
    for table in (PREDICTIONS, SIGNALS, SCORECARD, SUMMARY, LATEST, DAILY, CALIBRATION, EQUITY):
        ours, theirs = (content(table, one, (*NOT_TIMES, "computed_at", "book")) for one in (lake, alone))
        if table in (PREDICTIONS, SCORECARD, SUMMARY):  # there were predictions five bars ahead before the settings
            ours, theirs = (rows.filter(horizon=1) for rows in (ours, theirs))
        assert not ours.is_empty()
        assert_frame_equal(ours, theirs, check_exact=True)
    check_rows(lake, LIVE, len(SYMBOLS))
    assert monitoring.examine(lake, registry.champions(lake)[AHEAD]).live.rows == (LIVE - 4) * len(SYMBOLS)


def check_rows(lake: Settings, new: int, symbols: int) -> None:
    """Fail if a table or the page has two rows where there is one to have, after so many new bars of each symbol."""
    signals, predictions, scorecard = (content(table, lake) for table in (SIGNALS, PREDICTIONS, SCORECARD))
    assert signals.filter(FURTHER).is_empty()
    assert signals.height == (new + 1) * symbols, "one a bar, and one of the newest bar at the training"
    assert predictions.height == 2 * signals.height
    assert not predictions.select("symbol", "event_time", "horizon").is_duplicated().any()
    assert dict(scorecard.group_by("horizon").len().iter_rows()) == {1: new * symbols, 5: (new - 4) * symbols}
    assert _signal_for_each(lake).passed
    reader = LakeReader(lake)
    reader.refresh()
    snapshot = reader.snapshot
    assert signal_feed.signals(snapshot).height == signals.height
    for symbol in signals["symbol"].unique():
        shown = market_view.series(snapshot, symbol, "1d", 100)
        assert shown is not None
        assert not shown.bars["event_time"].is_duplicated().any()
        assert snapshot.scorecard.group(symbol, "1d").height == new
        assert [row["horizon"] for row in shown.further] == [5]
    assert len(market_view.watch_rows(snapshot)) == symbols
    told = "SELECT count(*) AS rows FROM gold.signals JOIN gold.predictions"
    both = api.sql(f'{told} USING (symbol, "interval", event_time, horizon, model_version)', settings=lake)
    assert both["rows"].to_list() == [signals.height]


def test_a_repeated_batch_changes_nothing(lake: Settings) -> None:
    live(lake)
    before = [content(table, lake) for table in (PREDICTIONS, SIGNALS, SCORECARD)]
    score_changes(lake, 1)
    for table, rows in zip((PREDICTIONS, SIGNALS, SCORECARD), before, strict=True):
        assert_frame_equal(content(table, lake), rows)


def test_an_outcome_is_as_many_bars_ahead_as_its_prediction(lake: Settings) -> None:
    live(lake)
    for row in content(SCORECARD, lake).iter_rows(named=True):
        assert row["target_time"] - row["event_time"] == timedelta(days=row["horizon"])


def test_lost_rows_of_one_horizon_come_back_and_the_others_stay(lake: Settings) -> None:
    live(lake)
    before = [content(table, lake, NOT_TIMES) for table in (PREDICTIONS, SIGNALS, SCORECARD)]
    live_bars = f"event_time >= '{day(LEARNT):%Y-%m-%d}'"
    for table in (PREDICTIONS, SCORECARD):
        table.ensure(lake).delete(f"horizon = 5 AND {live_bars}")
    span, count = (day(0), day(400)), len(SYMBOLS)
    assert repair(lake, *span) == Repaired(LIVE * count, 0, (LIVE - 5) * count)
    assert repair(lake, *span) == Repaired()
    for table in (PREDICTIONS, SIGNALS, SCORECARD):
        table.ensure(lake).delete(f"horizon = 1 AND {live_bars}")
    assert repair(lake, *span) == Repaired(LIVE * count, LIVE * count, (LIVE - 1) * count)
    for table, rows in zip((PREDICTIONS, SIGNALS, SCORECARD), before, strict=True):
        assert_frame_equal(content(table, lake, NOT_TIMES), rows, check_exact=True)


def test_a_horizon_that_the_settings_no_longer_name_gets_no_new_rows_and_keeps_the_old(lake: Settings) -> None:
    live(with_horizons(lake))
    made = content(PREDICTIONS, lake)
    assert made.filter(FURTHER)["event_time"].unique().to_list() == [day(LEARNT - 1)]
    assert made.filter(~FURTHER).height == (LIVE + 1) * len(SYMBOLS)
