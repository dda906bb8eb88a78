"""The gold tables, declared once. Returns are log returns over the horizon; prices are unadjusted."""

from __future__ import annotations

import pyarrow as pa

from financelake_assets.resources.delta import TIMESTAMP, TableSpec, columns

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
"""What holds of every forecast. A signal must not wait for these to be judged: a check in Dagster looks after them."""

PREDICTIONS = TableSpec(
    layer="gold",
    name="predictions",
    key=_KEY,
    description="What the champion model expected of the next bars, made when the bar was first seen.",
    schema=columns(
        {
            **_BAR,
            "predicted_return": pa.float64(),
            "predicted_close": pa.float64(),
            "lower": pa.float64(),
            "upper": pa.float64(),
            "coverage": pa.float64(),
            "volatility": pa.float64(),
            "probability_up": pa.float64(),
            "model_version": pa.string(),
            "topic": pa.string(),
            "partition": pa.int32(),
            "offset": pa.int64(),
            "as_of": TIMESTAMP,
        },
        required=("symbol", "interval", "event_time", "model_version"),
    ),
    expectations=_FORECAST,
)

SIGNALS = TableSpec(
    layer="gold",
    name="signals",
    key=_KEY,
    description="BUY, SELL or HOLD for every prediction, with the reason for abstaining and the costs assumed.",
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
)

SCORECARD = TableSpec(
    layer="gold",
    name="scorecard",
    key=_KEY,
    description="Every prediction whose horizon is over, against what happened and naive; never rewritten.",
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
)

CORRECTIONS = TableSpec(
    layer="gold",
    name="corrections",
    key=(*_KEY, "base_offset", "offset"),
    description="Outcomes in the scorecard that a late correction of a bar changed, with what was known before.",
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
)

MODELS = TableSpec(
    layer="gold",
    name="models",
    key=("model_version",),
    description="The model registry: one row a trained version, with what it saw and whether it is the champion.",
    schema=columns(
        {
            "model_version": pa.string(),
            "status": pa.string(),
            "status_reason": pa.string(),
            "verdict": pa.string(),
            "trained_at": TIMESTAMP,
            "silver_version": pa.int64(),
            "silver_rows": pa.int64(),
            "train_start": TIMESTAMP,
            "train_end": TIMESTAMP,
            "horizon": pa.int32(),
            "interval": pa.string(),
            "features": pa.string(),
            "parameters": pa.string(),
            "importance": pa.string(),
            "permutation": pa.string(),
            "reliability": pa.string(),
            "reference": pa.string(),
            "trials": pa.int32(),
            "residual_quantiles": pa.string(),
            "shrinkage": pa.string(),
            "manifest_sha256": pa.string(),
            "promoted_at": TIMESTAMP,
        },
        required=("model_version",),
    ),
    time_column="trained_at",
)

DRIFT = TableSpec(
    layer="gold",
    name="drift",
    key=("model_version", "checked_at"),
    description="How far recent bars are from what the champion learnt, and its live skill; one row a check.",
    schema=columns(
        {
            "model_version": pa.string(),
            "checked_at": TIMESTAMP,
            "silver_version": pa.int64(),
            "rows": pa.int64(),
            "drifted_share": pa.float64(),
            "outlier_share": pa.float64(),
            "psi": pa.string(),
            "live_rows": pa.int64(),
            "live_skill": pa.float64(),
            "live_skill_low": pa.float64(),
            "live_skill_high": pa.float64(),
            "retrain": pa.string(),
        },
        required=("model_version", "checked_at"),
    ),
    time_column="checked_at",
)

MODEL_METRICS = TableSpec(
    layer="gold",
    name="model_metrics",
    key=("model_version", "fold", "symbol"),
    description=(
        "Out-of-sample metrics of a version, each beside the naive baseline's, by fold and symbol, class (*stock) "
        "or ALL. Fold 0 is the holdout, the latest part of each symbol; the verdict rests on it."
    ),
    schema=columns(
        {
            "model_version": pa.string(),
            "fold": pa.int32(),
            "symbol": pa.string(),
            "asset_class": pa.string(),
            "rows": pa.int64(),
            "start": TIMESTAMP,
            "end": TIMESTAMP,
            "r2_price": pa.float64(),
            "r2_price_naive": pa.float64(),
            "skill": pa.float64(),
            "skill_low": pa.float64(),
            "skill_high": pa.float64(),
            "mase": pa.float64(),
            "mase_naive": pa.float64(),
            "oos_r2_return": pa.float64(),
            "hit_rate": pa.float64(),
            "hit_rate_low": pa.float64(),
            "hit_rate_high": pa.float64(),
            "majority_rate": pa.float64(),
            "calls": pa.int64(),
            "ic": pa.float64(),
            "ic_t": pa.float64(),
            "rank_ic": pa.float64(),
            "rank_ic_t": pa.float64(),
            "delayed_ic": pa.float64(),
            "delayed_ic_t": pa.float64(),
            "qlike": pa.float64(),
            "qlike_naive": pa.float64(),
            "brier": pa.float64(),
            "brier_naive": pa.float64(),
            "coverage": pa.float64(),
            "coverage_nominal": pa.float64(),
            "interval_width": pa.float64(),
            "verdict": pa.string(),
        },
        required=("model_version", "symbol"),
    ),
    time_column="end",
)
