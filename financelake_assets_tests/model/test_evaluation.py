from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from financelake_assets.model.evaluation import ALL, HOLDOUT, Judged, evaluate
from financelake_assets.model.schema import MODEL_METRICS
from financelake_assets.model.verdict import Verdict


def judged(keep: float, rows: int = 600, price: float = 100.0, symbol: str = "A", fold: int = 2) -> pl.DataFrame:
    """Rows of a forecast that knows a part of what happens; ``keep=0`` is the naive forecast."""
    random = np.random.default_rng(5)
    known = random.standard_normal(rows) * 0.01
    actual = known + random.standard_normal(rows) * 0.01
    return pl.DataFrame(
        {
            "symbol": symbol,
            "asset_class": "stock",
            "event_time": np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D"),
            "fold": fold,
            "held_out": True,
            "price": np.full(rows, price),
            "realised_return": actual,
            "predicted_return": keep * known,
            "delayed_return": [*(actual[1:]), None],
            "traded_return": [*(actual[1:]), None],
            "expected_move": np.full(rows, 0.0141),
            "volatility": np.full(rows, 0.0141 if keep == 0 else 0.0100),
            "naive_volatility": np.full(rows, 0.0141),
            "low": np.full(rows, -0.02),
            "high": np.full(rows, 0.02),
            "probability_up": np.where(known > 0, 0.7, 0.3) if keep else np.full(rows, 0.5),
            "training_mean": np.zeros(rows),
            "training_naive": np.full(rows, price * 0.01),
            "execution_bps": 3.0,
        }
    )


def metrics_of(*parts: pl.DataFrame) -> dict[tuple[int, str], dict[str, Any]]:
    found = evaluate(Judged(pl.concat(parts), horizon=1, coverage=0.8))
    return {(row["fold"], row["symbol"]): row for row in found}


def test_every_fold_symbol_class_and_all_have_a_row_with_the_columns_of_the_table() -> None:
    found = metrics_of(judged(0.5), judged(0.5, symbol="B", fold=3))
    assert set(found) == {
        *((2, name) for name in ("A", "*stock", ALL)),
        *((3, name) for name in ("B", "*stock", ALL)),
        *((HOLDOUT, name) for name in ("A", "B", "*stock", ALL)),
    }
    for row in found.values():
        assert {"model_version", *row} == set(MODEL_METRICS.schema.names)


def test_the_naive_forecast_has_the_naive_figures_and_no_edge() -> None:
    row = metrics_of(judged(0.0))[HOLDOUT, "A"]
    assert (row["skill"], row["r2_price"], row["mase"]) == (0.0, row["r2_price_naive"], row["mase_naive"])
    assert (row["verdict"], row["calls"]) == (Verdict.NO_EDGE.value, 0)
    assert math.isnan(row["hit_rate"])
    assert row["brier"] == row["brier_naive"] == 0.25
    assert row["qlike"] == row["qlike_naive"]
    assert row["qlike_gain"] == row["qlike_gain_low"] == row["qlike_gain_high"] == 0
    assert math.isnan(row["delayed_ic"])


def test_a_forecast_that_knows_something_has_an_edge() -> None:
    row = metrics_of(judged(1.0))[HOLDOUT, "A"]
    assert row["verdict"] == Verdict.EDGE.value
    assert 0 < row["skill_low"] < row["skill"] < row["skill_high"] < 1
    assert row["hit_rate_low"] > row["majority_rate"]
    assert row["ic_t"] > 5
    assert row["brier"] < row["brier_naive"]
    # nothing that it knows of a bar says anything of the next one
    assert abs(row["delayed_ic_t"]) < 3


def restless(rows: int, seed: int) -> pl.DataFrame:
    """Rows whose moves are four times as large every other week."""
    size = np.where(np.arange(rows) // 7 % 2, 0.02, 0.005)
    actual = np.random.default_rng(seed).standard_normal(rows) * size
    return judged(0.0, rows).with_columns(
        pl.Series("realised_return", actual), pl.Series("volatility", size), pl.lit(0.0146).alias("naive_volatility")
    )


def test_a_forecast_of_the_size_of_moves_has_a_gain_and_its_interval() -> None:
    row = metrics_of(restless(600, 1))[HOLDOUT, "A"]
    assert row["qlike_gain"] == pytest.approx(row["qlike_naive"] - row["qlike"])
    true = np.mean([2 * math.log(0.0146 / size) + size**2 / 0.0146**2 - 1 for size in (0.02, 0.005)])
    assert 0 < row["qlike_gain_low"] < true < row["qlike_gain_high"]
    # the forecast that is wrong by as much loses as much
    swapped = restless(600, 1).rename({"volatility": "naive_volatility", "naive_volatility": "volatility"})
    found = metrics_of(swapped)[HOLDOUT, "A"]
    assert found["qlike_gain_high"] == pytest.approx(-row["qlike_gain_low"])
    # a second symbol of the same days and moves is no second look
    both = metrics_of(restless(600, 1), restless(600, 1).with_columns(symbol=pl.lit("B")))[HOLDOUT, ALL]
    assert (both["qlike_gain_low"], both["qlike_gain_high"]) == pytest.approx(
        (row["qlike_gain_low"], row["qlike_gain_high"])
    )


def test_symbols_weigh_by_rows_not_by_price() -> None:
    cheap, dear = judged(1.0, symbol="CHEAP"), judged(0.0, symbol="DEAR", price=60_000.0)
    found = metrics_of(cheap, dear)
    single = [found[HOLDOUT, name]["skill"] for name in ("CHEAP", "DEAR")]
    assert found[HOLDOUT, ALL]["skill"] == pytest.approx(sum(single) / 2)


def test_rows_that_are_not_held_out_do_not_count_for_the_verdict() -> None:
    tuned = judged(1.0).with_columns(pl.lit(False).alias("held_out"))
    late = judged(0.0, fold=3).with_columns(pl.col("event_time").dt.offset_by("9y"))
    found = metrics_of(tuned, late)
    assert found[HOLDOUT, ALL]["rows"] == 600
    assert found[HOLDOUT, ALL]["verdict"] == Verdict.NO_EDGE.value


def test_one_day_does_not_outweigh_all_others() -> None:
    # at Henry Hub one day of 1,475 was a third of the squared error of the price
    rows = judged(1.0)
    wild = rows.with_columns(
        price=pl.when(pl.int_range(pl.len()) == 300).then(pl.col("price") * 1000).otherwise("price"),
    )
    one, other = metrics_of(rows)[HOLDOUT, "A"], metrics_of(wild)[HOLDOUT, "A"]
    assert other["skill"] == pytest.approx(one["skill"])
    assert other["r2_price"] != pytest.approx(one["r2_price"])


def test_the_verdicts_of_symbols_allow_for_how_many_they_are() -> None:
    # one symbol that is found by itself, among many in which there is nothing
    weak = judged(1.0).with_columns(realised_return=pl.col("realised_return") - 0.86 * pl.col("predicted_return"))
    alone = metrics_of(weak)[HOLDOUT, "A"]
    assert alone["predictable_q"] == alone["predictable_p"] < 0.05
    noise = []
    for number in range(30):
        random = np.random.default_rng(number).standard_normal(600) * 0.01
        noise.append(judged(1.0, symbol=f"N{number}").with_columns(realised_return=pl.Series(random)))
    found = metrics_of(weak, *noise)
    among = found[HOLDOUT, "A"]
    assert among["predictable_p"] == alone["predictable_p"]
    assert among["predictable_q"] > 0.05
    assert (alone["predictable"], among["predictable"]) == (Verdict.EDGE.value, Verdict.NO_EDGE.value)
    # all together are one question
    assert found[HOLDOUT, ALL]["predictable_q"] == found[HOLDOUT, ALL]["predictable_p"]


def test_a_symbol_that_nothing_was_learnt_of_does_not_silence_the_others() -> None:
    new = judged(1.0, symbol="NEW").with_columns(training_mean=pl.lit(None, pl.Float64))
    found = metrics_of(judged(1.0), new)
    assert found[HOLDOUT, ALL]["oos_r2_return"] == pytest.approx(found[HOLDOUT, "A"]["oos_r2_return"])
    assert found[HOLDOUT, ALL]["oos_r2_return_low"] == pytest.approx(found[HOLDOUT, "A"]["oos_r2_return_low"])
    assert found[HOLDOUT, ALL]["predictable"] == Verdict.EDGE.value


def test_a_figure_lies_within_its_interval() -> None:
    found = metrics_of(judged(0.2))[HOLDOUT, "A"]
    for name in ("hit_rate", "coverage", "oos_r2_return"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


@pytest.mark.parametrize("name", ["ic_t", "rank_ic_t", "hit_rate_low", "oos_r2_return_low"])
def test_copies_of_a_symbol_are_not_more_evidence(name: str) -> None:
    found = metrics_of(*(judged(0.2, symbol=str(number)) for number in range(5)))
    assert found[HOLDOUT, ALL][name] == pytest.approx(found[HOLDOUT, "0"][name], rel=1e-3)


def test_labels_that_overlap_are_less_evidence() -> None:
    random = np.random.default_rng(9)
    shocks = random.standard_normal(660) * 0.01
    running = np.cumsum(shocks)
    twenty = running[20:620] - running[:600]
    signal = np.convolve(random.standard_normal(619) * 0.01, np.ones(20) / 20, "valid")
    rows = judged(1.0).with_columns(realised_return=pl.Series(twenty), predicted_return=pl.Series(signal))
    narrow, wide = (evaluate(Judged(rows, horizon, 0.8))[0] for horizon in (1, 20))
    assert wide["hit_rate_high"] - wide["hit_rate_low"] > 1.5 * 1.96 * 2 * math.sqrt(0.25 / 600)
    assert abs(wide["ic_t"]) <= abs(narrow["ic_t"])
