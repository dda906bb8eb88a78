"""Outcomes of predictions: each once, against the right bar, whatever the bars look like."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.config import Settings
from financelake_assets.gold import scorecard
from financelake_assets.gold.schema import CORRECTIONS, PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.gold.frames import bar, bars, day, frame, prediction, predictions, signals

NOW = datetime(2026, 2, 2, tzinfo=UTC)


def only(found: pl.DataFrame) -> dict[str, Any]:
    assert found.height == 1
    return found.row(0, named=True)


def score(*made: dict[str, Any], of: pl.DataFrame, signal: str = "BUY") -> pl.DataFrame:
    return scorecard.mature(predictions(*made), signals(*made, signal=signal), of, NOW, 1.0)


def test_a_prediction_is_scored_against_the_bar_at_its_horizon():
    made = prediction(0, 100.0, 0.01)
    row = only(score(made, of=bars(bar(0, 100.0), bar(3, 102.0, open=101.0), bar(4, 50.0))))
    assert (row["target_time"], row["realised_close"], row["naive_close"]) == (day(3), 102.0, 100.0)
    assert row["realised_return"] == pytest.approx(math.log(1.02))
    assert row["error"] == pytest.approx(math.log(1.02) - 0.01)
    assert row["price_error"] == pytest.approx(102.0 - 100 * math.exp(0.01))
    assert row["naive_price_error"] == pytest.approx(2.0)
    assert row["hit"]
    assert row["covered"]
    assert row["gross_return"] == pytest.approx(102 / 101 - 1)
    assert row["net_return"] == pytest.approx(102 / 101 - 1 - 0.0006)
    assert (row["offset"], row["base_offset"], row["scored_at"]) == (3, 0, NOW)


def test_a_prediction_is_not_scored_before_its_horizon_is_over():
    history = bars(bar(0, 100.0), bar(1, 102.0))
    assert score(prediction(1, 102.0, 0.01), of=history).is_empty()
    assert score(prediction(0, 100.0, 0.01, horizon=2), of=history).is_empty()
    assert score(of=history).is_empty()


def test_a_longer_horizon_looks_further():
    row = only(score(prediction(0, 100.0, 0.01, horizon=3), of=bars(*[bar(n, 100.0 + n) for n in range(5)])))
    assert (row["target_time"], row["realised_close"]) == (day(3), 103.0)
    assert row["realised_return"] == pytest.approx(math.log(1.03))


def test_a_trade_is_not_made_at_the_close_that_its_signal_was_made_of():
    made = prediction(0, 100.0, 0.01)
    # the whole move happens before the market opens again
    gap = only(score(made, of=bars(bar(0, 100.0), bar(1, 105.0, open=105.0))))
    assert gap["realised_return"] == pytest.approx(math.log(1.05))
    assert (gap["gross_return"], gap["net_return"]) == (0.0, pytest.approx(-0.0006))
    short = only(score(made, of=bars(bar(0, 100.0), bar(1, 95.0, open=105.0)), signal="SELL"))
    assert short["gross_return"] == pytest.approx(1 - 95 / 105)
    # a split between the signal and the trade is neither gain nor loss
    split = only(score(made, of=bars(bar(0, 100.0, adj_close=50.0), bar(1, 51.0, adj_close=51.0, open=50.0))))
    assert split["gross_return"] == pytest.approx(0.02)


def test_a_spot_price_without_an_open_is_traded_at_the_next_close():
    spot = {"imputed": "open,high,low"}
    prices = bars(bar(0, 100.0, **spot), bar(1, 104.0, **spot), bar(2, 105.0, **spot), bar(3, 107.0, **spot))
    assert only(score(prediction(0, 100.0, 0.01), of=prices))["net_return"] is None
    row = only(score(prediction(0, 100.0, 0.01, horizon=3), of=prices))
    assert row["gross_return"] == pytest.approx(107 / 104 - 1)


def test_a_split_is_not_a_loss():
    history = bars(bar(0, 100.0, adj_close=50.0), bar(1, 51.0, adj_close=51.0))
    row = only(score(prediction(0, 100.0, 0.01), of=history))
    assert (row["realised_close"], row["naive_close"]) == (51.0, 100.0)
    assert row["comparable_close"] == pytest.approx(102.0)
    assert row["naive_price_error"] == pytest.approx(2.0)
    assert row["covered"]


@pytest.mark.parametrize(("closes", "realised"), [((140.0, 21.0), 1.05), ((20.0, 21.0), 1.05)])
def test_a_split_without_adjusted_closes_is_not_a_loss(closes: tuple[float, float], realised: float):
    """Whether the provider adjusts its closes for a split that it tells of, or does not."""
    before, after = closes
    made = prediction(0, before, 0.01)
    row = only(score(made, of=bars(bar(0, before), bar(1, after, open=after, split=7.0))))
    assert row["realised_return"] == pytest.approx(math.log(realised))
    assert row["comparable_close"] == pytest.approx(before * realised)
    assert row["realised_close"] == after
    assert (row["hit"], row["covered"]) == (True, False)


def test_a_return_is_not_measured_between_an_adjusted_and_a_raw_price():
    row = only(score(prediction(0, 100.0, 0.01), of=bars(bar(0, 100.0, adj_close=10.0), bar(1, 101.0))))
    assert row["realised_return"] == pytest.approx(math.log(1.01))


def test_a_negative_price_is_an_outcome_too():
    row = only(score(prediction(0, 18.27, 0.01), of=bars(bar(0, 18.27), bar(1, -36.98))))
    assert row["realised_return"] is None
    assert row["error"] is None
    assert row["comparable_close"] == -36.98
    assert row["price_error"] < -55
    assert row["hit"] is False
    assert row["covered"] is False
    assert row["gross_return"] is None  # nobody buys at an open below zero
    bought = bars(bar(0, 18.27), bar(1, -36.98, open=17.73))
    assert only(score(prediction(0, 18.27, 0.01), of=bought))["gross_return"] == pytest.approx(-36.98 / 17.73 - 1)


@pytest.mark.parametrize(("signal", "side"), [("BUY", 1), ("SELL", -1), ("HOLD", None)])
def test_only_signals_that_act_have_a_return(signal: str, side: int | None):
    row = only(score(prediction(0, 100.0, 0.01), of=bars(bar(0, 100.0), bar(1, 98.0, open=100.0)), signal=signal))
    assert row["signal"] == signal
    if side is None:
        assert row["gross_return"] is None
        assert row["net_return"] is None
    else:
        assert row["gross_return"] == pytest.approx(-0.02 * side)
        assert row["net_return"] == pytest.approx(-0.02 * side - 0.0006)


def test_no_move_is_neither_a_hit_nor_a_miss():
    assert only(score(prediction(0, 100.0, 0.01), of=bars(bar(0, 100.0), bar(1, 100.0))))["hit"] is None
    assert only(score(prediction(0, 100.0, 0.0), of=bars(bar(0, 100.0), bar(1, 101.0))))["hit"] is None


def test_a_bar_that_is_still_being_traded_is_no_outcome_yet():
    growing = [bar(0, 100.0, trades=5), bar(1, 101.0, trades=1)]
    assert score(prediction(0, 100.0, 0.01), of=bars(*growing)).is_empty()
    assert score(prediction(0, 100.0, 0.01), of=bars(*growing, bar(2, 99.0, trades=1))).height == 1


def test_series_and_versions_do_not_mix():
    history = bars(
        *[bar(n, 100.0 + n) for n in range(3)],
        *[bar(n, 200.0 - n, symbol="BTC-USD", asset_class="crypto") for n in (0, 2)],
        *[bar(n, 9.0 + n, interval="1h") for n in (0, 5)],
    )
    made = [
        prediction(0, 100.0, 0.01),
        prediction(0, 100.0, -0.01, model_version="m2"),
        prediction(0, 200.0, 0.01, symbol="BTC-USD", asset_class="crypto"),
        prediction(0, 9.0, 0.01, interval="1h"),
    ]
    found = score(*made, of=history).select("symbol", "interval", "model_version", "target_time")
    assert set(found.iter_rows()) == {
        ("AAPL", "1d", "m1", day(1)),
        ("AAPL", "1d", "m2", day(1)),
        ("BTC-USD", "1d", "m1", day(2)),
        ("AAPL", "1h", "m1", day(5)),
    }


closes = st.lists(st.floats(0.5, 500.0), min_size=2, max_size=40)


@given(closes, st.integers(1, 5), st.randoms(use_true_random=False))
def test_scoring_agrees_with_pandas_and_ignores_the_order_of_rows(prices: list[float], horizon: int, chance: Any):
    made = [prediction(n, price, 0.01 * (-1) ** n, horizon=horizon) for n, price in enumerate(prices)]
    rows = [bar(n, price) for n, price in enumerate(prices)]
    chance.shuffle(rows)
    found = score(*made, of=bars(*rows)).to_pandas()
    series = pd.Series(prices)
    wanted = pd.DataFrame({"naive": series, "realised": series.shift(-horizon)}).dropna().reset_index(drop=True)
    assert len(found) == len(wanted)
    np.testing.assert_allclose(found["realised_close"], wanted["realised"])
    np.testing.assert_allclose(found["realised_return"], np.log(wanted["realised"] / wanted["naive"]), atol=1e-12)
    np.testing.assert_allclose(found["naive_price_error"], wanted["realised"] - wanted["naive"], atol=1e-9)


@given(closes, st.data())
def test_scoring_bar_by_bar_gives_what_scoring_at_once_gives(prices: list[float], data: st.DataObject):
    made = [prediction(n, price, 0.01) for n, price in enumerate(prices)]
    history = bars(*[bar(n, price) for n, price in enumerate(prices)])
    cut = data.draw(st.integers(0, len(prices)))
    at_once = score(*made, of=history)
    early = score(*made[:cut], of=history.head(cut))
    late = score(*made, of=history).join(early, on=scorecard.KEY, how="anti")
    assert pl.concat([early, late]).sort(scorecard.KEY).equals(at_once)


# -- corrections -----------------------------------------------------------------------------------------


def corrected(known: pl.DataFrame, made: dict[str, Any], of: pl.DataFrame, recorded: pl.DataFrame) -> pl.DataFrame:
    return scorecard.corrections(known, recorded, score(made, of=of), NOW)


def test_a_corrected_bar_is_recorded_with_what_was_known_before():
    made = prediction(0, 100.0, 0.01)
    none = frame(CORRECTIONS, [])
    known = score(made, of=bars(bar(0, 100.0), bar(1, 102.0)))
    assert corrected(known, made, bars(bar(0, 100.0), bar(1, 102.0)), none).is_empty()
    first = corrected(known, made, bars(bar(0, 100.0), bar(1, 103.0, offset=7)), none)
    row = only(first)
    assert (row["realised_close"], row["previous_realised_close"], row["offset"]) == (103.0, 102.0, 7)
    assert row["previous_target_time"] == day(1)
    # the same again is nothing new, and neither is another message with the same close
    assert corrected(known, made, bars(bar(0, 100.0), bar(1, 103.0, offset=7)), first).is_empty()
    assert corrected(known, made, bars(bar(0, 100.0), bar(1, 103.0, offset=8)), first).is_empty()
    back = only(corrected(known, made, bars(bar(0, 100.0), bar(1, 102.0, offset=9)), first))
    assert (back["realised_close"], back["previous_realised_close"]) == (102.0, 103.0)


def test_a_late_bar_in_between_moves_the_outcome():
    made = prediction(0, 100.0, 0.01)
    known = score(made, of=bars(bar(0, 100.0), bar(2, 102.0)))
    late = bars(bar(0, 100.0), bar(1, 99.0, offset=8), bar(2, 102.0))
    row = only(corrected(known, made, late, frame(CORRECTIONS, [])))
    assert (row["target_time"], row["previous_target_time"]) == (day(1), day(2))


def test_a_corrected_base_bar_changes_the_return_but_not_the_naive_forecast():
    made = prediction(0, 100.0, 0.01)
    known = score(made, of=bars(bar(0, 100.0), bar(1, 102.0)))
    row = only(corrected(known, made, bars(bar(0, 101.0, offset=5), bar(1, 102.0)), frame(CORRECTIONS, [])))
    assert row["realised_return"] == pytest.approx(math.log(102 / 101))
    assert row["realised_close"] == row["previous_realised_close"] == 102.0


# -- in Delta --------------------------------------------------------------------------------------------


def test_a_key_is_written_once_as_it_was_first(offline_lake: Settings):
    first = score(prediction(0, 100.0, 0.01), of=bars(bar(0, 100.0), bar(1, 102.0)))
    assert OpenTables(offline_lake).insert(SCORECARD, first) == 1
    both = score(prediction(0, 100.0, 0.5), prediction(1, 102.0, 0.01), of=bars(*[bar(n, 100.0) for n in range(3)]))
    assert OpenTables(offline_lake).insert(SCORECARD, both) == 1
    assert OpenTables(offline_lake).insert(SCORECARD, both) == 0
    opened = SCORECARD.open(offline_lake)
    assert opened is not None
    assert pl.scan_delta(opened).filter(pl.col("event_time") == day(0)).collect().equals(first)
    assert OpenTables(offline_lake).insert(SCORECARD, both.clear()) == 0


def test_the_tables_have_the_columns_that_outside_tools_rely_on():
    bar_columns = "symbol, interval, event_time, horizon, close"
    forecast = f"{bar_columns}, predicted_return, predicted_close, lower, upper, model_version, as_of"
    relied_on = [
        (PREDICTIONS, forecast),
        (SIGNALS, "symbol, interval, event_time, signal, strength, confidence, reason, model_version"),
        (SCORECARD, f"{forecast}, target_time, realised_close, naive_close"),
    ]
    for table, names in relied_on:
        assert set(names.split(", ")) <= set(table.schema.names)
