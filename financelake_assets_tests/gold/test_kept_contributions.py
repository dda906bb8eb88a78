"""gold.contributions on real tables: they add up to the newest predictions, and nothing else is kept."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from financelake_assets import lake
from financelake_assets.config import Settings
from financelake_assets.defs.gold.checks import CHECKS
from financelake_assets.gold import kept_contributions
from financelake_assets.gold.explain import explain
from financelake_assets.gold.kept_contributions import BASE
from financelake_assets.gold.schema import CONTRIBUTIONS, PREDICTIONS, SIGNALS
from financelake_assets.gold.standing import Standing
from financelake_assets_tests.gold import forests
from financelake_assets_tests.gold.frames import day, prediction, predictions, signals
from financelake_assets_tests.gold.lakes import SYMBOLS, append, content, correct, market, score_changes
from financelake_assets_tests.gold.test_book_store import add

DAYS = 70


def scored(settings: Settings, first: int, last: int) -> None:
    """Days come to silver, and gold has seen them."""
    score_changes(settings, append(settings, market(first, last)))


def kept(settings: Settings) -> pl.DataFrame:
    """The table, after a refresh of all that is derived."""
    Standing(settings).refresh()
    return content(CONTRIBUTIONS, settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake with predictions of a forest for three series."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("whole"))
    forests.registered(settings)
    scored(settings, 0, DAYS)
    return settings


@pytest.fixture
def explained(whole: Settings, tmp_path: Path) -> Settings:
    """A copy of it."""
    shutil.copytree(whole.data_dir, tmp_path / "lake")
    return whole.model_copy(update={"data_dir": tmp_path / "lake"})


@pytest.mark.parametrize("seed", range(3))
def test_they_add_up_to_the_prediction_whatever_the_trees(offline_lake: Settings, seed: int) -> None:
    forests.registered(offline_lake, seed=seed)
    scored(offline_lake, 0, DAYS + 10 * seed)
    Standing(offline_lake).refresh()
    sums = lake.sql(
        "SELECT symbol, sum(contribution) AS total, any_value(predicted_return) AS predicted, count(*) AS rows "
        "FROM gold.contributions JOIN gold.latest USING (symbol, interval, horizon, event_time, model_version) "
        "GROUP BY symbol ORDER BY symbol",
        settings=offline_lake,
    )
    assert sums["symbol"].to_list() == sorted(SYMBOLS)
    assert sums["total"].to_list() == pytest.approx(sums["predicted"].to_list(), abs=1e-15)
    assert sums["predicted"].n_unique() > 1
    assert set(sums["rows"]) == {3}
    check = next(check for check in CHECKS if check.name == "adds_up")
    assert check.find(offline_lake).passed


def test_they_are_those_of_why(explained: Settings) -> None:
    rows = kept(explained)
    for symbol in SYMBOLS:
        found = explain(explained, symbol)
        own = rows.filter(pl.col("symbol") == symbol)
        parts = {BASE: found.base, **{part.name: part.contribution for part in found.parts}}
        assert dict(own.select("feature", "contribution").iter_rows()) == pytest.approx(parts, abs=1e-15)
        assert dict(own.select("feature", "value").iter_rows()) == {
            BASE: None,
            **{part.name: part.value for part in found.parts},
        }
        assert set(own["event_time"]) == {found.event_time}


def test_newer_ones_take_the_place_of_older_ones_and_others_stay(
    explained: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept(explained)
    bars = market(DAYS, DAYS + 1).filter(pl.col("symbol") == "AAPL")
    score_changes(explained, append(explained, bars))
    asked: list[pl.DataFrame] = []
    original = kept_contributions.explain.explained
    monkeypatch.setattr(
        kept_contributions.explain, "explained", lambda *given: asked.append(given[2]) or original(*given)
    )
    after = kept(explained)
    assert [some["symbol"].to_list() for some in asked] == [["AAPL"]]
    other = pl.col("symbol") != "AAPL"
    assert_frame_equal(after.filter(other), before.filter(other))
    assert set(after.filter(~other)["event_time"]) == {day(DAYS)}
    assert after.height == before.height
    # what is there already is neither made nor written again
    version = CONTRIBUTIONS.ensure(explained).version()
    kept(explained)
    assert len(asked) == 1
    assert CONTRIBUTIONS.ensure(explained).version() == version


def test_where_there_are_none_it_says_why(explained: Settings) -> None:
    made = forests.registered(explained, "line-1", learner={"line": {"version": "1"}}, promoted=None)
    for symbol, version in (("X", made.model_version), ("Y", "rf-gone")):
        one = prediction(DAYS, 1.0, 0.01, symbol, model_version=version)
        add(PREDICTIONS, explained, predictions(one))
        add(SIGNALS, explained, signals(one))
    rows = kept(explained).filter(pl.col("contribution").is_null())
    assert rows["symbol"].to_list() == ["X", "Y"]
    plugin, gone = rows["reason"]
    assert "line-1 is a model of the plug-in line, which does not tell what its inputs contribute" in plugin
    assert "no model rf-gone" in gone
    assert kept(explained).filter(pl.col("contribution").is_not_null())["symbol"].n_unique() == len(SYMBOLS)


def test_a_prediction_of_bars_that_were_corrected_has_no_numbers(explained: Settings) -> None:
    newest = market(DAYS - 3, DAYS - 2).filter(pl.col("symbol") == "WTI")
    correct(explained, newest.with_columns(pl.col("close") * 1.2, pl.col("high") * 1.3))
    rows = kept(explained).filter(pl.col("symbol") == "WTI")
    assert rows["contribution"].to_list() == [None]
    assert "corrected after it was made" in rows["reason"][0]
    assert not explain(explained, "WTI").made_of_these_bars


def test_a_series_that_ended_long_ago_keeps_its_own(offline_lake: Settings) -> None:
    forests.registered(offline_lake)
    append(offline_lake, market(0, DAYS))
    later = market(DAYS, DAYS + 90).filter(pl.col("symbol") != "WTI")
    append(offline_lake, later)
    score_changes(offline_lake, 1)
    rows = kept(offline_lake)
    ends = dict(rows.group_by("symbol").agg(pl.col("event_time").max()).iter_rows())
    assert ends["WTI"] == day(DAYS - 1)
    assert ends["AAPL"] == ends["WTI"] + timedelta(days=90)
    assert rows["contribution"].null_count() == 0
