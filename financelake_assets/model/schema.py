"""The model's tables: its versions, their metrics, what they forecast out of sample, and the drift checks' results."""

from __future__ import annotations

import pyarrow as pa

from financelake_assets.model.verdict import QUESTIONS
from financelake_assets.storage.delta import TIMESTAMP, TableSpec, columns

MODELS = TableSpec(
    layer="gold",
    name="models",
    key=("model_version",),
    description="The model registry: one row for each trained version, with its training data and its status.",
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
            "learnt_until": pa.string(),
            "later_share": pa.float64(),
            "horizon": pa.int32(),
            "interval": pa.string(),
            "features": pa.string(),
            "plugins": pa.string(),
            "labels": pa.string(),
            "learner": pa.string(),
            "costs": pa.string(),
            "parameters": pa.string(),
            "importance": pa.string(),
            "permutation": pa.string(),
            "contributions": pa.string(),
            "reliability": pa.string(),
            "reference": pa.string(),
            "trials": pa.int32(),
            "refits": pa.string(),
            "overfitting": pa.string(),
            "held_back": pa.string(),
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
    description="Drift of recent bars from the champion's training data, and its live skill; one row for each check.",
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


TRIALS = TableSpec(
    layer="gold",
    name="trials",
    key=("trial",),
    description=(
        "The trials ledger: one row a distinct strategy that was tried in this lake, with the Sharpe ratio per day of "
        "its trades out of sample where it is known; variants is how many strategies the row stands for."
    ),
    schema=columns(
        {
            "trial": pa.string(),
            "tried_at": TIMESTAMP,
            "what": pa.string(),
            "parameters": pa.string(),
            "sharpe": pa.float64(),
            "steps": pa.int64(),
            "variants": pa.int64(),
        },
        required=("trial",),
    ),
    time_column="tried_at",
    expectations={"variants": "variants >= 1"},
)


TRIAL_RETURNS = TableSpec(
    layer="gold",
    name="trial_returns",
    key=("trial", "day"),
    description=(
        "What each strategy of gold.trials that was trained earned out of sample, day by day: the sum of its trades' "
        "net returns in expected moves, of its newest training. The probability of back-test overfitting is made of "
        "it. interval is the name of the market: 1d, or 1d+5 of a further horizon."
    ),
    schema=columns(
        {"trial": pa.string(), "interval": pa.string(), "day": TIMESTAMP, "net_move": pa.float64()},
        required=("trial", "day"),
    ),
    time_column="day",
)


MODEL_METRICS = TableSpec(
    layer="gold",
    name="model_metrics",
    key=("model_version", "fold", "symbol"),
    description=(
        "Out-of-sample metrics of a version, each beside that of the naive forecast, by fold and symbol, class "
        "(*stock) or ALL. Fold 0 is the holdout, which no choice used; the verdicts depend on it. Skill, net_move and "
        "the IC are in units of the expected move."
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
            "oos_r2_return_low": pa.float64(),
            "oos_r2_return_high": pa.float64(),
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
            **dict.fromkeys(("qlike_gain", "qlike_gain_low", "qlike_gain_high"), pa.float64()),
            "brier": pa.float64(),
            "brier_naive": pa.float64(),
            "coverage": pa.float64(),
            "coverage_low": pa.float64(),
            "coverage_high": pa.float64(),
            "coverage_nominal": pa.float64(),
            "interval_width": pa.float64(),
            "verdict": pa.string(),
            **dict.fromkeys(QUESTIONS, pa.string()),
            **{f"{question}_{number}": pa.float64() for question in QUESTIONS for number in ("t", "p", "q")},
            "clark_west_t": pa.float64(),
            "clark_west_mean_t": pa.float64(),
            "smallest_edge": pa.float64(),
            "trades": pa.int64(),
            "net_return": pa.float64(),
            "net_move": pa.float64(),
            "net_move_low": pa.float64(),
            "net_move_high": pa.float64(),
        },
        required=("model_version", "symbol"),
    ),
    time_column="end",
)


BASELINE_METRICS = TableSpec(
    layer="gold",
    name="baseline_metrics",
    key=("model_version", "baseline", "fold", "symbol"),
    description=(
        "What other learners reach by the walk-forward of a version, on the bars of its holdout (fold 0) and by the "
        "tests of gold.model_metrics: linear is a ridge regression, boosted are gradient-boosted trees. over_forest is "
        "1 - MSE/MSE of the forest, in expected moves."
    ),
    schema=columns(
        {
            "model_version": pa.string(),
            "baseline": pa.string(),
            **{field.name: field.type for field in MODEL_METRICS.schema if field.name != "model_version"},
            **dict.fromkeys(("over_forest", "over_forest_low", "over_forest_high"), pa.float64()),
        },
        required=("model_version", "baseline", "symbol"),
    ),
    time_column="end",
)


WALK_FORWARD = TableSpec(
    layer="gold",
    name="walk_forward",
    key=("model_version", "symbol", "interval", "event_time"),
    description=(
        "What each version's walk-forward forecast out of sample, bar by bar, from its second fold on (the first only "
        "calibrates the others). fold and refit say which of its forests, learnt_until the latest time at which a "
        "label that the forest learnt was known. refit counts the forests that were fitted as often as a live lake "
        "does; it is null where the fold has one forest. low and high are the ends of the return's interval; "
        "dissimilarity is from what that forest learnt, as in gold.predictions. The returns are logarithmic; held_out "
        "is null where the outcome is not known. Kept for the champion and the newest versions."
    ),
    schema=columns(
        {
            "model_version": pa.string(),
            "fold": pa.int32(),
            "refit": pa.int32(),
            "learnt_until": TIMESTAMP,
            "symbol": pa.string(),
            "asset_class": pa.string(),
            "interval": pa.string(),
            "event_time": TIMESTAMP,
            "horizon": pa.int32(),
            "target_time": TIMESTAMP,
            "predicted_return": pa.float64(),
            "low": pa.float64(),
            "high": pa.float64(),
            "probability_up": pa.float64(),
            "volatility": pa.float64(),
            "expected_move": pa.float64(),
            "dissimilarity": pa.float64(),
            "realised_return": pa.float64(),
            "held_out": pa.bool_(),
        },
        required=("model_version", "symbol", "interval", "event_time"),
    ),
    expectations={"out_of_sample": "learnt_until < event_time", "interval": "low <= high"},
)
