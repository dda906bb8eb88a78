"""Intervals in gold follow from the table alone: at once, bar by bar, after a restart and a loss the same bits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from financelake_assets.config import Settings
from financelake_assets.gold.adapting import EARLIER
from financelake_assets.gold.earlier import EarlierPredictions
from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.gold.scoring import features_for, forecasts, score_bars
from financelake_assets.model.adaptive import WIDENING
from financelake_assets.model.record import ModelRecord
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.gold.test_backtest import DAYS, LAST, RECORD, Guess, history
from financelake_assets_tests.model import market

KEY = ["symbol", "event_time"]
FOREST = Guess({}, 0.0, (), None)  # type: ignore[arg-type]
BARS_OF_ALL = history()


class Live:
    """A lake that is scored a part at a time, as the gold query does."""

    def __init__(self, settings: Settings, record: ModelRecord) -> None:
        self.settings, self.record = settings, record
        self.start()

    def start(self) -> None:
        """As after a restart: nothing is in memory."""
        self.tables = OpenTables(self.settings)
        self.earlier = EarlierPredictions(self.tables)

    def score(self, since: datetime, until: datetime) -> int:
        """Score the bars of a period, from the bars until then."""
        bars = BARS_OF_ALL.filter(pl.col("event_time") < until)
        wanted = bars.filter(pl.col("event_time") >= since)
        before = self.earlier.before(wanted, self.record)
        rows = score_bars(self.settings, bars, wanted, FOREST, self.record, {}, LAST, before)
        made = rows.drop_nulls("predicted_return")
        new = self.tables.insert(PREDICTIONS, made)
        self.earlier.written(made, new)
        return new

    @property
    def rows(self) -> pl.DataFrame:
        return PREDICTIONS.scan(self.settings).sort(KEY).collect()


def day(number: int) -> datetime:
    return market.START + timedelta(days=number)


def at_once(settings: Settings, record: ModelRecord) -> pl.DataFrame:
    rows = score_bars(settings, BARS_OF_ALL, BARS_OF_ALL, FOREST, record, {}, LAST).drop_nulls("predicted_return")
    return rows.select(PREDICTIONS.schema.names).sort(KEY)


@pytest.mark.parametrize("horizon", [1, 3])
def test_bar_by_bar_and_after_restarts_the_intervals_are_those_of_all_bars_at_once(
    offline_lake: Settings, horizon: int
) -> None:
    record = replace(RECORD, horizon=horizon)
    whole = at_once(offline_lake, record)
    assert whole[WIDENING].n_unique() > 20
    assert (whole["lower"] < whole["upper"]).all()
    live, number = Live(offline_lake, record), 0
    for step in (70, 1, 1, 1, 2, 1, 7, 1, 1, 1, 9, 1, 1, 1, 60):
        if step == 7:
            live.start()
        live.score(day(number), day(min(DAYS, number + step)))
        if step == 1:  # a batch that is repeated changes nothing
            assert live.score(day(number), day(number + step)) == 0
        number += step
    assert_frame_equal(live.rows, whole, check_exact=True)


def test_horizons_beside_each_other_have_the_intervals_that_each_has_alone(offline_lake: Settings) -> None:
    """They share a table and its memory, which holds so few bars of a series that it is shortened on the way."""
    records = [RECORD, *(replace(RECORD, model_version=f"rf+{ahead}-1", horizon=ahead) for ahead in (3, 40))]
    live, number = Live(offline_lake, RECORD), 0
    for step in (60, 90, 1, 1, 30, 2, 1, 1, 1, DAYS):
        until = min(DAYS, number + step)
        for record in records:
            live.record = record
            live.score(day(number), day(until))
        number = until
    for record in records:
        own = live.rows.filter(model_version=record.model_version)
        assert_frame_equal(own, at_once(offline_lake, record), check_exact=True)


def test_a_forecast_without_a_signal_is_that_of_the_signal(offline_lake: Settings) -> None:
    wanted = BARS_OF_ALL.filter(pl.col("event_time") >= day(100))
    before = at_once(offline_lake, RECORD).filter(pl.col("event_time") < day(100)).select(EARLIER.columns)
    given = wanted, FOREST, RECORD
    rows = score_bars(offline_lake, BARS_OF_ALL, *given, {}, LAST, before).drop_nulls("predicted_return")
    alone = forecasts(features_for(offline_lake, BARS_OF_ALL, RECORD), *given, LAST, before)
    assert alone.columns == PREDICTIONS.schema.names
    assert_frame_equal(alone.sort(KEY), rows.select(PREDICTIONS.schema.names).sort(KEY), check_exact=True)


def test_rows_that_were_lost_come_back_with_the_same_intervals(offline_lake: Settings) -> None:
    live = Live(offline_lake, RECORD)
    live.score(day(0), day(DAYS))
    whole = live.rows
    PREDICTIONS.ensure(offline_lake).delete(f"event_time >= '{day(90):%Y-%m-%d}' AND event_time < '{day(97):%Y-%m-%d}'")
    assert live.rows.height < whole.height
    live.score(day(85), day(100))
    assert_frame_equal(live.rows, whole, check_exact=True)


def test_the_next_version_goes_on_where_the_last_one_was(offline_lake: Settings) -> None:
    live = Live(offline_lake, RECORD)
    live.score(day(0), day(120))
    live.record = replace(RECORD, model_version="rf-2")
    live.score(day(120), day(DAYS))
    assert live.rows[WIDENING].to_list() == at_once(offline_lake, RECORD)[WIDENING].to_list()


def test_what_another_process_writes_is_seen(offline_lake: Settings) -> None:
    """Memory is as old as the table's version: here an operator's repair fills what the query had not yet scored."""
    live, other = Live(offline_lake, RECORD), Live(offline_lake, RECORD)
    live.score(day(0), day(100))
    other.score(day(100), day(110))
    live.score(day(110), day(DAYS))
    assert_frame_equal(live.rows, at_once(offline_lake, RECORD), check_exact=True)


def test_intervals_of_an_earlier_release_count_as_they_were_calibrated(offline_lake: Settings) -> None:
    live = Live(offline_lake, RECORD)
    live.score(day(0), day(100))
    live.tables.newest(PREDICTIONS).update(updates={WIDENING: "NULL"})
    live.score(day(100), day(101))
    first = live.rows.filter(event_time=day(100))[WIDENING].to_list()
    assert all(factor in (pytest.approx(0.98, abs=1e-3), pytest.approx(1.083, abs=1e-3)) for factor in first)
