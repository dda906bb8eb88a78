"""Everything that is made of signals and outcomes, against pandas on the same rows."""

import math
from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from financelake_assets.config import Settings
from financelake_assets.defs.gold.checks import _signal_for_each
from financelake_assets.gold.paper.schema import EQUITY, PORTFOLIO, POSITIONS, TRADES
from financelake_assets.gold.recording import Outcomes, record
from financelake_assets.gold.schema import CALIBRATION, DAILY, LATEST, PREDICTIONS, SCORECARD, SIGNALS, SUMMARY
from financelake_assets.gold.standing import Standing
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.gold.frames import bar, bars, day, prediction, predictions, signals
from financelake_assets_tests.gold.test_book_store import add, content

DAYS = 60
CLASSES = {"AAPL": "stock", "IBM": "stock", "BTC-USD": "crypto"}
SUMS = (SUMMARY, DAILY, CALIBRATION, LATEST, PORTFOLIO, POSITIONS)


def fill(settings: Settings, first: int, last: int) -> None:
    chance = np.random.default_rng(8)
    priced, made, given = [], [], []
    for symbol, asset_class in CLASSES.items():
        closes = 100 * np.exp(np.cumsum(chance.normal(0, 0.02, DAYS)))
        for number, close in enumerate(closes):
            expected = float(chance.normal(0, 0.01))
            right = 0.5 + 0.5 * math.erf(expected / 0.02 / math.sqrt(2))
            more = {"asset_class": asset_class, "probability_up": right, "model_version": f"m{number // 30}"}
            opened = float(close) * (1.004 if number % 2 else 0.997)
            priced.append(bar(number, float(close), symbol, asset_class=asset_class, open=opened))
            made.append(prediction(number, float(close), expected, symbol, **more))
            signal = ("BUY" if expected > 0 else "SELL") if abs(expected) > 0.004 else "HOLD"
            given.append({**made[-1], "signal": signal, "reason": None if signal != "HOLD" else "below_costs"})
    for table, rows in ((BARS, bars(*priced)), (PREDICTIONS, predictions(*made)), (SIGNALS, signals(*given))):
        add(table, settings, rows.filter(pl.col("event_time").is_between(day(first), day(last), closed="left")))
    new = bars(*priced).filter(pl.col("event_time").is_between(day(first), day(last), closed="left"))
    record(
        OpenTables(settings), Outcomes(bars(*priced).filter(pl.col("event_time") < day(last)), new, longest_horizon=1)
    )


@pytest.fixture
def stood(offline_lake: Settings) -> Settings:
    standing = Standing(offline_lake)
    for first in range(0, DAYS, 20):
        fill(offline_lake, first, first + 20)
        standing.refresh()
    assert standing.refresh().written == ()
    return offline_lake


def test_bit_by_bit_gives_what_all_at_once_gives(stood: Settings, tmp_path):
    other = Settings(data_dir=tmp_path / "other")
    fill(other, 0, DAYS)
    Standing(other).refresh()
    for table in (*SUMS, EQUITY, TRADES):
        assert_frame_equal(content(table, stood), content(table, other), rel_tol=1e-9)
        assert not content(table, stood).is_empty()


def test_a_further_horizon_is_judged_beside_the_signals_and_changes_nothing_of_theirs(offline_lake: Settings):
    standing = Standing(offline_lake)
    fill(offline_lake, 0, DAYS)
    standing.refresh()
    sums = (SIGNALS, LATEST, DAILY, CALIBRATION, PORTFOLIO, POSITIONS, EQUITY, TRADES)
    before = {table.name: content(table, offline_lake) for table in sums}
    summary, scored = (content(table, offline_lake) for table in (SUMMARY, SCORECARD))
    again = pl.col("predicted_return") * 2
    further = content(PREDICTIONS, offline_lake).with_columns(
        predicted_return=again, horizon=pl.lit(5, pl.Int32), model_version=pl.lit("rf+5-1")
    )
    add(PREDICTIONS, offline_lake, further)
    bars_of_all = content(BARS, offline_lake)
    record(OpenTables(offline_lake), Outcomes(bars_of_all, bars_of_all, longest_horizon=5))
    standing.refresh()
    for table in sums:
        assert_frame_equal(content(table, offline_lake), before[table.name])
    later = content(SCORECARD, offline_lake)
    assert later.filter(horizon=5).height == (DAYS - 5) * len(CLASSES)
    assert later.filter(horizon=5)["signal"].null_count() == (DAYS - 5) * len(CLASSES)
    assert_frame_equal(later.filter(horizon=1), scored)
    sums_of_all = content(SUMMARY, offline_lake)
    assert_frame_equal(sums_of_all.filter(horizon=1), summary)
    assert set(sums_of_all.filter(horizon=5)["predictions"]) == {DAYS - 5, 2 * (DAYS - 5), 3 * (DAYS - 5)}
    assert sums_of_all.filter(horizon=5)["signals"].unique().to_list() == [0]
    assert _signal_for_each(offline_lake).passed
    add(PREDICTIONS, offline_lake, further.with_columns(model_version=pl.lit("rf-1")))
    assert not _signal_for_each(offline_lake).passed, "a prediction of a version with signals lacks its own"


def test_the_scorecard_and_its_summaries_agree_with_pandas(stood: Settings):
    made = content(PREDICTIONS, stood).to_pandas().sort_values(["symbol", "event_time"])
    given = content(SIGNALS, stood).to_pandas().set_index(["symbol", "event_time"])
    priced = content(BARS, stood).to_pandas().sort_values(["symbol", "event_time"])
    priced["next"] = priced.groupby("symbol")["close"].shift(-1)
    priced["next_open"] = priced.groupby("symbol")["open"].shift(-1)
    columns = ["symbol", "event_time", "next", "next_open"]
    frame = made.merge(priced[columns], on=["symbol", "event_time"]).dropna(subset=["next"])
    frame["realised"] = np.log(frame["next"] / frame["close"])
    frame["hit"] = (frame["realised"] > 0) == (frame["predicted_return"] > 0)
    frame["signal"] = [given.loc[key, "signal"] for key in zip(frame["symbol"], frame["event_time"], strict=True)]
    side = frame["signal"].map({"BUY": 1, "SELL": -1})
    # in at the next open; two basis points and one of slippage, twice
    frame["net"] = side * (frame["next"] / frame["next_open"] - 1) - 2 * 3.0 / 10_000
    frame["covered"] = frame["next"].between(frame["lower"], frame["upper"])

    scored = content(SCORECARD, stood).to_pandas().sort_values(["symbol", "event_time"])
    assert len(scored) == len(frame) == (DAYS - 1) * len(CLASSES)
    np.testing.assert_allclose(scored["realised_return"], frame["realised"], rtol=1e-12)
    np.testing.assert_allclose(scored["net_return"].astype(float), frame["net"], rtol=1e-9)

    found = {(r["symbol"], r["model_version"]): r for r in content(SUMMARY, stood).iter_rows(named=True)}
    for name, rows in {
        "ALL": frame,
        "*stock": frame[frame.asset_class == "stock"],
        "IBM": frame[frame.symbol == "IBM"],
    }.items():
        row = found[name, "ALL"]
        errors = frame.loc[rows.index, "realised"] - rows["predicted_return"]
        assert row["predictions"] == len(rows)
        assert row["skill"] == pytest.approx(1 - (errors**2).sum() / (rows["realised"] ** 2).sum())
        assert row["hit_rate"] == pytest.approx(rows["hit"].mean())
        assert row["hit_rate_low"] < row["hit_rate"] < row["hit_rate_high"]
        assert row["coverage"] == pytest.approx(rows["covered"].mean())
        assert row["net_return"] == pytest.approx(rows["net"].mean())
        assert row["brier"] == pytest.approx(((rows["probability_up"] - (rows["realised"] > 0)) ** 2).mean())
    assert found["ALL", "m1"]["predictions"] == (frame["model_version"] == "m1").sum()

    days = content(DAILY, stood).to_pandas()
    assert days["predictions"].sum() == len(frame)
    stock = days[(days.asset_class == "stock") & (days.date == pd.Timestamp(day(5)))].iloc[0]
    then = frame[(frame.asset_class == "stock") & (frame.event_time == day(4))]
    assert stock["mse_naive"] == pytest.approx((then["realised"] ** 2).mean())

    bins = content(CALIBRATION, stood).to_pandas().query("measure == 'confidence' and asset_class == 'ALL'")
    confidence = np.maximum(frame["probability_up"], 1 - frame["probability_up"])
    assert bins["predictions"].sum() == len(frame)
    one = bins.iloc[2]
    inside = (confidence >= one["low"]) & (confidence < one["low"] + 0.05)
    assert one["hit_rate"] == pytest.approx(frame.loc[inside, "hit"].mean())
    assert one["stated"] == pytest.approx(confidence[inside].mean())


def test_the_newest_signal_of_each_symbol_is_at_hand(stood: Settings):
    rows = content(LATEST, stood)
    assert rows["symbol"].to_list() == sorted(CLASSES)
    assert set(rows["event_time"]) == {day(DAYS - 1)}
    newest = content(SIGNALS, stood).filter(pl.col("event_time") == day(DAYS - 1)).sort("symbol")
    assert rows["signal"].to_list() == newest["signal"].to_list()
    assert rows["lower"].null_count() == 0


def test_an_older_signal_that_comes_late_is_not_the_newest(stood: Settings):
    late = prediction(3, 1.0, 0.5, "AAPL", as_of=day(9_000) + timedelta(days=1))
    add(PREDICTIONS, stood, predictions(late))
    add(SIGNALS, stood, signals({**late, "model_version": "other"}))
    Standing(stood).refresh()
    assert content(LATEST, stood)["event_time"].to_list() == [day(DAYS - 1)] * len(CLASSES)


def test_a_lake_without_gold_has_nothing_to_sum(offline_lake: Settings):
    taken = Standing(offline_lake).refresh()
    assert (taken.steps, taken.written) == (0, ())
