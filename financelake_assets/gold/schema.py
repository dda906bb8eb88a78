"""The gold tables, declared once. Returns are log returns over the horizon; prices are unadjusted."""

from __future__ import annotations

import pyarrow as pa

from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TIMESTAMP, Lineage, TableSpec, columns

_BAR = {
    "symbol": pa.string(),
    "asset_class": pa.string(),
    "interval": pa.string(),
    "event_time": TIMESTAMP,
    "horizon": pa.int32(),
    "close": pa.float64(),
}
_KEY = ("symbol", "interval", "event_time", "horizon", "model_version")
_FORECAST = {
    "interval_order": "lower <= upper",
    "probability": "probability_up >= 0 AND probability_up <= 1",
    "volatility_not_negative": "volatility >= 0",
}
"""Rules for every forecast. Delta does not check them, so that signals are fast; a check in Dagster does."""

_BAR_COLUMNS = BARS.columns("event_time", "open", "high", "low", "close", "adj_close", "volume", "split")
_FORECAST_COLUMNS = (
    *("predicted_return", "predicted_close", "lower", "upper", "volatility", "probability_up"),
    *("widening", "expected_move", "dissimilarity"),
)
OUTCOME = BARS.columns("close", "adj_close", "split")
"""The columns from which the outcome of a prediction is computed."""

_TRADED = (*OUTCOME, *BARS.columns("open", "imputed"))
"""What tells how a trade turned out."""

PREDICTIONS = TableSpec(
    layer="gold",
    name="predictions",
    key=_KEY,
    description="The champion models' predictions for the next bars, made when each bar was first seen: one for each "
    "horizon. widening is the factor by which the calibrated interval was widened after those before it. "
    "dissimilarity is how far the bar's features are from those that the model learnt: above 1 the signal is HOLD, "
    "null where an earlier release trained the model.",
    schema=columns(
        {
            **_BAR,
            "predicted_return": pa.float64(),
            "predicted_close": pa.float64(),
            "lower": pa.float64(),
            "upper": pa.float64(),
            "coverage": pa.float64(),
            "widening": pa.float64(),
            "volatility": pa.float64(),
            "expected_move": pa.float64(),
            "probability_up": pa.float64(),
            "dissimilarity": pa.float64(),
            "model_version": pa.string(),
            "topic": pa.string(),
            "partition": pa.int32(),
            "offset": pa.int64(),
            "as_of": TIMESTAMP,
        },
        required=("symbol", "interval", "event_time", "model_version"),
    ),
    expectations=_FORECAST,
    lineage=Lineage(same=(BARS,), of=dict.fromkeys(_FORECAST_COLUMNS, _BAR_COLUMNS)),
)

_JUDGED_FORECAST = PREDICTIONS.columns(
    *("predicted_return", "lower", "upper", "volatility", "probability_up", "dissimilarity")
)
_ERRORS = (*PREDICTIONS.columns("predicted_return", "predicted_close"), *OUTCOME)

SIGNALS = TableSpec(
    layer="gold",
    name="signals",
    key=_KEY,
    description="BUY, SELL or HOLD for every prediction of the first horizon, with the reason for a HOLD, or the rule "
    "of the user that gave the signal, and the assumed costs.",
    schema=columns(
        {
            **_BAR,
            "signal": pa.string(),
            "strength": pa.float64(),
            "confidence": pa.float64(),
            "reason": pa.string(),
            "cost_bps": pa.float64(),
            "model_version": pa.string(),
            "as_of": TIMESTAMP,
        },
        required=("symbol", "interval", "event_time", "model_version"),
    ),
    expectations={
        "signal": "signal IN ('BUY', 'SELL', 'HOLD')",
        "hold_has_a_reason": "signal <> 'HOLD' OR reason IS NOT NULL",
        "confidence": "confidence >= 0 AND confidence <= 1",
        "cost_not_negative": "cost_bps >= 0",
    },
    lineage=Lineage(
        same=(PREDICTIONS,),
        of={
            **dict.fromkeys(
                ("signal", "strength", "confidence", "reason"), (*_JUDGED_FORECAST, *BARS.columns("close"))
            ),
            "cost_bps": PREDICTIONS.columns("asset_class"),
        },
    ),
)

SCORECARD = TableSpec(
    layer="gold",
    name="scorecard",
    key=_KEY,
    description="The outcome of every prediction whose horizon has passed, beside the naive forecast; never rewritten.",
    schema=columns(
        {
            **_BAR,
            "target_time": TIMESTAMP,
            "predicted_return": pa.float64(),
            "realised_return": pa.float64(),
            "predicted_close": pa.float64(),
            "realised_close": pa.float64(),
            "comparable_close": pa.float64(),
            "naive_close": pa.float64(),
            "lower": pa.float64(),
            "upper": pa.float64(),
            "coverage": pa.float64(),
            "covered": pa.bool_(),
            "volatility": pa.float64(),
            "expected_move": pa.float64(),
            "probability_up": pa.float64(),
            "hit": pa.bool_(),
            "error": pa.float64(),
            "price_error": pa.float64(),
            "naive_price_error": pa.float64(),
            "signal": pa.string(),
            "reason": pa.string(),
            "confidence": pa.float64(),
            "cost_bps": pa.float64(),
            "gross_return": pa.float64(),
            "net_return": pa.float64(),
            "traded_return": pa.float64(),
            "model_version": pa.string(),
            "base_offset": pa.int64(),
            "topic": pa.string(),
            "partition": pa.int32(),
            "offset": pa.int64(),
            "as_of": TIMESTAMP,
            "scored_at": TIMESTAMP,
        },
        required=("symbol", "interval", "event_time", "model_version", "target_time"),
    ),
    expectations={**_FORECAST, "matures_later": "target_time > event_time"},
    lineage=Lineage(
        same=(PREDICTIONS,),
        of={
            **{name: SIGNALS.columns(name) for name in ("signal", "reason", "confidence", "cost_bps")},
            **dict.fromkeys(("realised_return", "realised_close", "comparable_close"), OUTCOME),
            **dict.fromkeys(
                ("topic", "partition", "offset", "target_time"),
                BARS.columns("topic", "partition", "offset", "event_time"),
            ),
            "naive_close": PREDICTIONS.columns("close"),
            "base_offset": PREDICTIONS.columns("offset"),
            "covered": (*PREDICTIONS.columns("lower", "upper"), *OUTCOME),
            **dict.fromkeys(("hit", "error", "price_error"), _ERRORS),
            "naive_price_error": (*PREDICTIONS.columns("close"), *OUTCOME),
            "traded_return": _TRADED,
            **dict.fromkeys(("gross_return", "net_return"), (*SIGNALS.columns("signal", "cost_bps"), *_TRADED)),
        },
    ),
)

_JUDGED = SCORECARD.columns(
    *("realised_return", "predicted_return", "price_error", "naive_price_error", "hit", "covered", "expected_move")
)
_EARNED = SCORECARD.columns("signal", "gross_return", "net_return", "traded_return")

CORRECTIONS = TableSpec(
    layer="gold",
    name="corrections",
    key=(*_KEY, "base_offset", "offset"),
    description="Outcomes in the scorecard that a late correction of a bar changed, with the earlier outcome.",
    schema=columns(
        {
            "symbol": pa.string(),
            "interval": pa.string(),
            "event_time": TIMESTAMP,
            "horizon": pa.int32(),
            "model_version": pa.string(),
            "target_time": TIMESTAMP,
            "realised_close": pa.float64(),
            "realised_return": pa.float64(),
            "previous_target_time": TIMESTAMP,
            "previous_realised_close": pa.float64(),
            "previous_realised_return": pa.float64(),
            "base_offset": pa.int64(),
            "topic": pa.string(),
            "partition": pa.int32(),
            "offset": pa.int64(),
            "corrected_at": TIMESTAMP,
        },
        required=("symbol", "interval", "event_time", "model_version"),
    ),
    lineage=Lineage(
        same=(SCORECARD,),
        of={
            **dict.fromkeys(("realised_close", "realised_return"), OUTCOME),
            **{
                f"previous_{name}": SCORECARD.columns(name)
                for name in ("target_time", "realised_close", "realised_return")
            },
        },
    ),
)


LATEST = TableSpec(
    layer="gold",
    name="latest",
    key=("symbol", "interval"),
    description="The newest signal of each symbol and interval with its prediction.",
    schema=columns(
        {
            "symbol": pa.string(),
            "asset_class": pa.string(),
            "interval": pa.string(),
            "event_time": TIMESTAMP,
            "horizon": pa.int32(),
            "close": pa.float64(),
            "signal": pa.string(),
            "strength": pa.float64(),
            "confidence": pa.float64(),
            "reason": pa.string(),
            "cost_bps": pa.float64(),
            "predicted_return": pa.float64(),
            "predicted_close": pa.float64(),
            "lower": pa.float64(),
            "upper": pa.float64(),
            "coverage": pa.float64(),
            "volatility": pa.float64(),
            "probability_up": pa.float64(),
            "model_version": pa.string(),
            "as_of": TIMESTAMP,
        },
        required=("symbol", "interval"),
    ),
    lineage=Lineage(same=(PREDICTIONS, SIGNALS)),
)


CONTRIBUTIONS = TableSpec(
    layer="gold",
    name="contributions",
    key=("symbol", "interval", "horizon", "feature"),
    description=(
        "What each input of the model contributed to the newest prediction of each series (gold.latest), in log "
        "return: exact Shapley values of the forest. With the row of the feature 'nothing known', which is what the "
        "version predicts without any input, they add up to predicted_return. Where there are none, reason says why in "
        "the only row. They explain the model and not the market."
    ),
    schema=columns(
        {
            "symbol": pa.string(),
            "interval": pa.string(),
            "event_time": TIMESTAMP,
            "horizon": pa.int32(),
            "feature": pa.string(),
            "value": pa.float64(),
            "contribution": pa.float64(),
            "reason": pa.string(),
            "model_version": pa.string(),
            "as_of": TIMESTAMP,
        },
        required=("symbol", "interval", "event_time", "feature", "model_version"),
    ),
    expectations={"contribution_or_reason": "(contribution IS NULL) = (reason IS NOT NULL)"},
    lineage=Lineage(
        same=(LATEST,),
        of=dict.fromkeys(("value", "contribution", "reason"), _BAR_COLUMNS),
    ),
)


SUMMARY = TableSpec(
    layer="gold",
    name="scorecard_summary",
    key=("symbol", "interval", "horizon", "model_version"),
    description=(
        "How good the live predictions were, beside the naive forecast: by symbol, class (*stock) and ALL, and by "
        "model version and ALL. Returns are the mean of BUY and SELL, from the next bar's open, before and after costs "
        "and slippage."
    ),
    schema=columns(
        {
            "symbol": pa.string(),
            "asset_class": pa.string(),
            "interval": pa.string(),
            "horizon": pa.int32(),
            "model_version": pa.string(),
            "predictions": pa.int64(),
            "start": TIMESTAMP,
            "end": TIMESTAMP,
            **dict.fromkeys(("skill", "skill_low", "skill_high"), pa.float64()),
            **dict.fromkeys(("hit_rate", "hit_rate_low", "hit_rate_high"), pa.float64()),
            "calls": pa.int64(),
            **dict.fromkeys(("coverage", "coverage_nominal", "brier", "brier_naive"), pa.float64()),
            "signals": pa.int64(),
            "gross_return": pa.float64(),
            "net_return": pa.float64(),
        },
        required=("symbol", "interval", "model_version"),
    ),
    time_column="end",
    lineage=Lineage(
        same=(SCORECARD,),
        rest=_JUDGED,
        of={
            **dict.fromkeys(("brier", "brier_naive"), SCORECARD.columns("probability_up", "realised_return")),
            "coverage": SCORECARD.columns("covered"),
            "coverage_nominal": SCORECARD.columns("coverage"),
            **dict.fromkeys(("start", "end"), SCORECARD.columns("event_time")),
            **dict.fromkeys(("signals", "gross_return", "net_return"), _EARNED),
        },
    ),
)


DAILY = TableSpec(
    layer="gold",
    name="scorecard_daily",
    key=("date", "asset_class", "interval"),
    description="Outcomes by day of the target bars, beside the naive forecast, by asset class and interval; those of "
    "further horizons are left out.",
    schema=columns(
        {
            "date": TIMESTAMP,
            "asset_class": pa.string(),
            "interval": pa.string(),
            **dict.fromkeys(("predictions", "hits", "calls"), pa.int64()),
            **dict.fromkeys(("mse", "mse_naive", "coverage"), pa.float64()),
            "signals": pa.int64(),
            "net_return": pa.float64(),
        },
        required=("date", "interval"),
    ),
    time_column="date",
    expectations={"hits_of_calls": "hits <= calls AND calls <= predictions", "mse": "mse >= 0 AND mse_naive >= 0"},
    lineage=Lineage(
        same=(SCORECARD,),
        rest=_JUDGED,
        of={
            "date": SCORECARD.columns("target_time"),
            "coverage": SCORECARD.columns("covered"),
            **dict.fromkeys(("signals", "net_return"), _EARNED),
        },
    ),
)


CALIBRATION = TableSpec(
    layer="gold",
    name="calibration",
    key=("measure", "asset_class", "low"),
    description=(
        "Calibration of the signals: confidence against the hit rate, and strength against the mean move in the "
        "predicted direction, in standard deviations; by bin, class and ALL."
    ),
    schema=columns(
        {
            "measure": pa.string(),
            "asset_class": pa.string(),
            "low": pa.float64(),
            "predictions": pa.int64(),
            **dict.fromkeys(("stated", "hit_rate", "hit_rate_low", "hit_rate_high", "mean_move"), pa.float64()),
        },
        required=("measure", "asset_class"),
    ),
    time_column="low",
    expectations={"share": "hit_rate >= 0 AND hit_rate <= 1"},
    lineage=Lineage(
        rest=_JUDGED,
        of={
            "asset_class": SCORECARD.columns("asset_class"),
            "stated": SCORECARD.columns("confidence", "predicted_return", "volatility"),
            **dict.fromkeys(("measure", "low"), ()),
        },
    ),
)
