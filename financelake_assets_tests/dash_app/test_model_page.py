"""The model page and card: each champion is told of as its market's, and a market without one says how far it is."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import polars as pl
from dash import html

from dash_app import wording
from dash_app.charts.theme import LIGHT
from dash_app.data import champion, signal_feed
from dash_app.data import market as market_data
from dash_app.data.history import History
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.data.replay import as_of
from dash_app.views import market as market_view
from dash_app.views import model as view
from dash_app.views import model_card
from dash_app.views.parts import Children
from financelake_assets.config import Settings
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD
from financelake_assets.model import search_state, standstill
from financelake_assets.model.markets import Market
from financelake_assets.model.overfitting import Overfitting
from financelake_assets.model.schema import BASELINE_METRICS
from financelake_assets.model.search_state import SearchState
from financelake_assets_tests.dash_app import written

LATER = datetime(2026, 4, 1, 12, tzinfo=UTC)


def at_five_minutes(rows: pl.DataFrame) -> pl.DataFrame:
    """The same bars as those of five minutes that end now."""
    number = pl.int_range(pl.len()).over("symbol") - pl.len().over("symbol")
    now = pl.lit(datetime.now(UTC)).dt.truncate("5m").cast(pl.Datetime("us", "UTC"))
    return rows.with_columns(interval=pl.lit("5m"), event_time=now + number * timedelta(minutes=5))


def read(lake: Settings) -> Snapshot:
    reader = LakeReader(lake)
    reader.refresh()
    return reader.snapshot


def text(parts: Children) -> str:
    return json.dumps(html.Div(parts).to_plotly_json(), default=lambda one: getattr(one, "to_plotly_json", str)())


def test_the_markets_stand_side_by_side_with_what_their_models_are_worth(offline_lake: Settings):
    written.write_bars(offline_lake, written.bars(("AAPL",), 10))
    written.write_model(offline_lake)
    written.write_model(
        offline_lake, model_version="rf-5m", interval="5m", trained_at=LATER, promoted_at=LATER, verdict="edge"
    )
    snapshot = read(offline_lake)
    assert {interval: row["model_version"] for interval, row in champion.champions(snapshot).items()} == {
        "5m": "rf-5m",
        "1d": written.VERSION,
    }
    assert list(champion.champions(snapshot)) == ["5m", "1d"]
    assert (champion.leading(snapshot) or {})["model_version"] == written.VERSION
    page = text(view.page(snapshot, LIGHT))
    for words in ("The model of 5m bars", "The model of 1d bars", "rf-5m of 5m bars", f"{written.VERSION} of 1d bars"):
        assert words in page
    assert page.count("in use") == 2, "a promotion in one market ends none in the other"
    assert "rf-5m" in text(model_card.card(snapshot, "5m", "AAPL"))
    assert "rf-5m" not in text(model_card.card(snapshot, "1d", "AAPL"))


def test_a_market_without_a_model_says_why_and_how_far_it_is(offline_lake: Settings):
    written.write_bars(offline_lake, written.bars(("AAPL",), 10))
    written.write_bars(offline_lake, at_five_minutes(written.bars(("AAPL",), 10, 100)).head(100))
    written.write_model(offline_lake)
    snapshot = read(offline_lake)
    said = text(model_card.card(snapshot, "5m", "AAPL"))
    assert "No model of 5m bars" in said
    assert "of 500 labelled bars; about" in said
    assert "labelled bars" in text(view.page(snapshot, LIGHT))
    assert "labelled bars" not in text(model_card.card(snapshot, "1d", "AAPL"))


def test_a_market_that_is_switched_off_says_so(offline_lake: Settings):
    model = offline_lake.model.model_copy(update={"skipped_intervals": ("5m",)})
    lake = offline_lake.model_copy(update={"model": model})
    written.write_bars(lake, at_five_minutes(written.bars(("AAPL",), 10)))
    written.write_model(lake, interval="5m")
    snapshot = read(lake)
    assert champion.champions(snapshot) == {}
    assert "settings switch it off" in text(model_card.card(snapshot, "5m", "AAPL"))


def test_a_market_that_a_plug_in_halts_says_so_and_goes_on(offline_lake: Settings):
    written.write_bars(offline_lake, written.bars(("AAPL",), 10))
    written.write_bars(offline_lake, at_five_minutes(written.bars(("AAPL",), 10)))
    written.write_model(offline_lake)
    reader = LakeReader(offline_lake)
    reader.refresh()
    before = reader.snapshot.stamp
    standstill.note(offline_lake, Market("1d"), "scoring", "the plug-in mean 1 fails: ValueError: no")
    standstill.note(offline_lake, Market("5m"), "training", "the plug-in mean 1 is refused")
    assert reader.refresh(), "the page shows it although no table has changed"
    snapshot = reader.snapshot
    assert snapshot.stamp != before
    said = text(model_card.card(snapshot, "1d"))
    assert "stands still, no new signals: the plug-in mean 1 fails: ValueError: no" in said
    assert written.VERSION in said
    assert "Stands still, no training: the plug-in mean 1 is refused." in text(model_card.card(snapshot, "5m"))
    assert text(view.page(snapshot, LIGHT)).count("stands still") == 3
    standstill.note(offline_lake, Market("1d"), "scoring", None)
    assert reader.refresh()
    assert "stands still" not in text(model_card.card(reader.snapshot, "1d"))
    assert not reader.refresh()


def test_the_search_of_a_market_says_how_far_it_is(offline_lake: Settings):
    written.write_bars(offline_lake, written.bars(("AAPL",), 10))
    written.write_model(offline_lake)
    reader = LakeReader(offline_lake)
    reader.refresh()
    before = reader.snapshot.stamp
    state = SearchState("1d", "runs", 20, 1, LATER.isoformat(), done=3, best=0.002, own=0.001, seconds=60.0)
    search_state.tell(offline_lake, state)
    assert reader.refresh()
    assert reader.snapshot.stamp != before
    assert f"Search of settings for 1d bars: {state.sentence}." in text(view.page(reader.snapshot, LIGHT))
    search_state.tell(offline_lake, replace(state, fold=3))
    assert not reader.refresh(), "it is told of trials, not of folds"


def with_further(lake: Settings, symbols: tuple[str, ...] = ("AAPL", "BTC-USD")) -> Settings:
    """A lake with predictions five bars ahead beside those of the signals."""
    rows = written.bars(symbols, count=60)
    written.write_bars(lake, rows)
    written.write_gold(lake, rows)
    further = written.gold_of(rows).with_columns(
        horizon=pl.lit(5), model_version=pl.lit("rf+5-1"), predicted_close=pl.lit(123.45), lower=pl.lit(111.0)
    )
    written.write(lake, PREDICTIONS, further)
    written.write_model(lake)
    written.write_model(lake, model_version="rf+5-1", horizon=5, promoted_at=LATER, trained_at=LATER)
    return lake.model_copy(update={"model": lake.model.model_copy(update={"further_horizons": (5, 20)})})


def test_a_further_horizon_is_a_market_of_its_own_on_the_page(offline_lake: Settings):
    snapshot = read(with_further(offline_lake))
    assert {name: row["model_version"] for name, row in champion.champions(snapshot).items()} == {
        "1d": written.VERSION,
        "1d+5": "rf+5-1",
    }
    assert (champion.leading(snapshot) or {})["model_version"] == written.VERSION, "though the other is newer"
    assert [market.name for market in champion.markets(snapshot)] == ["1d", "1d+5", "1d+20"]
    assert list(champion.without_model(snapshot)) == ["1d+20"]
    page = text(view.page(snapshot, LIGHT))
    for said in ("The model of 1d bars", "The model of 1d bars, 5 ahead", "no model yet: 0 of 500 labelled bars"):
        assert said in page
    assert page.count('"in use"') == 2, "a promotion of one horizon ends no other's"
    assert "side by side" not in page, "each market has one version"


def test_a_further_horizon_doubles_no_row_of_the_page(offline_lake: Settings):
    lake = with_further(offline_lake)
    snapshot, without = read(lake), read(offline_lake)
    assert without.further.groups == {}
    for one in (snapshot, without):  # also where the settings ask for no further horizon any more
        for key, rows in one.bars.groups.items():
            made = one.predictions.group(*key)
            assert made["horizon"].unique().to_list() == [1]
            assert made["event_time"].is_unique().all()
            shown = market_data.series(one, *key, 50)
            assert shown is not None
            assert shown.horizon == 1
            assert shown.bars["event_time"].to_list() == rows["event_time"].tail(50).to_list()
        assert market_data.watch_rows(one) == market_data.watch_rows(without)
        assert signal_feed.signals(one).height == sum(rows.height for rows in one.signals.groups.values())
    further = written.gold_of(written.bars(("AAPL",), count=60)).with_columns(
        horizon=pl.lit(5), model_version=pl.lit("rf+5-1"), target_time=pl.col("event_time") + timedelta(days=5)
    )
    written.write(lake, SCORECARD, further)
    assert read(lake).scorecard.groups == {}
    assert History(lake).outcomes("AAPL", "1d").is_empty()
    old = History(lake)._rows(PREDICTIONS, "AAPL", "1d")
    assert (old["horizon"].unique().to_list(), old.height) == ([1], snapshot.predictions.group("AAPL", "1d").height)


def test_the_market_view_tells_the_newest_prediction_of_each_further_horizon(offline_lake: Settings):
    snapshot = read(with_further(offline_lake))
    found = market_data.series(snapshot, "AAPL", "1d", 50)
    assert found is not None
    (made,) = found.further
    assert (made["horizon"], made["event_time"]) == (5, found.last["event_time"])
    said = text(market_view.facts(found, ""))
    assert "In 5 bars, 80" in said
    assert "111.00 to" in said
    assert "no signal is made of it" in said
    assert found.target_of(made["event_time"], 5) > found.target_time
    then = as_of(snapshot, found.last["event_time"])
    assert (market_data.series(then, "AAPL", "1d", 50) or found).further == (), "a replay does not tell it"


def test_a_signal_that_a_rule_gave_names_the_rule():
    assert wording.hold_reason("rule:no_fridays") == "your rule no_fridays"
    assert market_view._why({"signal": "HOLD", "reason": "rule:no_fridays"}) == "Withheld: your rule no_fridays."
    assert market_view._why({"signal": "BUY", "reason": "rule:contrary"}) == "Given: your rule contrary."


def test_overfitting_by_choice_is_told_where_the_release_measured_it(offline_lake: Settings):
    written.write_bars(offline_lake, written.bars(("AAPL",), 10))
    written.write_model(offline_lake)
    assert "overfitting" not in text(model_card.card(read(offline_lake), "1d")), "a version of an earlier release"
    found = Overfitting(12, 900, 0.04, 0.11, 0.93)
    written.write_model(offline_lake, model_version="rf-2", promoted_at=LATER, overfitting=json.dumps(asdict(found)))
    assert found.sentence in text(model_card.card(read(offline_lake), "1d"))


def test_the_forest_stands_beside_the_other_learners(offline_lake: Settings):
    written.write_bars(offline_lake, written.bars(("AAPL",), 10))
    written.write_model(offline_lake)
    assert "Linear model" not in text(model_card.card(read(offline_lake), "1d")), "a version of an earlier release"
    linear = {"predictable": "edge", "accurate": "no edge", "tradable": "worse", "skill": 0.0123, "over_forest": 0.0154}
    row = {"model_version": written.VERSION, "baseline": "linear", "fold": 0, "symbol": "ALL", **linear}
    written.write(offline_lake, BASELINE_METRICS, pl.DataFrame([row]))
    said = text(model_card.card(read(offline_lake), "1d"))
    assert "Linear model (ridge)" in said
    assert "+1.54" in said
    assert "Linear model" not in text(model_card.card(read(offline_lake), "1d", "AAPL"))


def test_the_page_names_what_learnt_a_version() -> None:
    assert champion.learner({"learner": '{"hist_boosting": {"version": "1"}}'}) == "Plug-in hist_boosting"
    assert champion.learner({"learner": "{}"}) == "Random forest"
    assert champion.learner({}) == champion.learner({"learner": None}) == "Random forest", "of an earlier release"
