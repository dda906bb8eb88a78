"""The gold tables of the paper portfolio and the summaries, declared once.

Equity and trades are only ever added to; positions, portfolio and the summaries are replaced as a whole, and made of
the others.
"""

from __future__ import annotations

import pyarrow as pa

from financelake_assets.resources.delta import TIMESTAMP, TableSpec, columns

_ACCOUNT = {"asset_class": pa.string(), "interval": pa.string()}

EQUITY = TableSpec(
    layer="gold",
    name="equity",
    key=("asset_class", "interval", "event_time"),
    description=(
        "The paper portfolio's accounts, bar by bar, net of costs, beside buy-and-hold and a control that trades when "
        "the signals do but in random directions. The last row of each commit holds the book to go on from."
    ),
    schema=columns(
        {
            **_ACCOUNT,
            "event_time": TIMESTAMP,
            "equity": pa.float64(),
            "cash": pa.float64(),
            "exposure": pa.float64(),
            "net_exposure": pa.float64(),
            "turnover": pa.float64(),
            "costs": pa.float64(),
            "positions": pa.int32(),
            "drawdown": pa.float64(),
            "halted": pa.bool_(),
            "buy_and_hold": pa.float64(),
            "random": pa.float64(),
            "computed_at": TIMESTAMP,
            "book": pa.string(),
        },
        required=("asset_class", "interval", "event_time"),
    ),
    expectations={
        "drawdown": "drawdown >= 0",
        "costs_not_negative": "costs >= 0",
        "exposure": "exposure >= 0 AND net_exposure <= exposure + 0.000001",
    },
)

TRADES = TableSpec(
    layer="gold",
    name="trades",
    key=("asset_class", "interval", "event_time", "number"),
    description="The paper portfolio's executions: signed value, cost, and the profit net of costs of what was closed.",
    schema=columns(
        {
            **_ACCOUNT,
            "event_time": TIMESTAMP,
            "number": pa.int32(),
            "symbol": pa.string(),
            "leg": pa.string(),
            "why": pa.string(),
            "value": pa.float64(),
            "cost": pa.float64(),
            "profit": pa.float64(),
        },
        required=("asset_class", "interval", "event_time", "number", "symbol"),
    ),
    expectations={"cost_not_negative": "cost >= 0"},
)

POSITIONS = TableSpec(
    layer="gold",
    name="positions",
    key=("asset_class", "interval", "symbol"),
    description="What the paper portfolio holds now; replaced as a whole, its past is the table's history.",
    schema=columns(
        {
            **_ACCOUNT,
            "symbol": pa.string(),
            "event_time": TIMESTAMP,
            "side": pa.string(),
            "value": pa.float64(),
            "basis": pa.float64(),
            "profit": pa.float64(),
            "share": pa.float64(),
            "bars_held": pa.int32(),
            "bars_left": pa.int32(),
        },
        required=("asset_class", "interval", "symbol"),
    ),
)

PORTFOLIO = TableSpec(
    layer="gold",
    name="portfolio",
    key=("asset_class", "interval", "curve"),
    description=(
        "Statistics of each account of the paper portfolio (curve signals), beside buy_and_hold and random; replaced "
        "as a whole. Ratios are yearly, at a risk-free rate of zero."
    ),
    schema=columns(
        {
            **_ACCOUNT,
            "curve": pa.string(),
            "start": TIMESTAMP,
            "event_time": TIMESTAMP,
            "steps": pa.int64(),
            "equity": pa.float64(),
            "total_return": pa.float64(),
            "yearly_return": pa.float64(),
            "yearly_volatility": pa.float64(),
            "sharpe": pa.float64(),
            "sortino": pa.float64(),
            "calmar": pa.float64(),
            "max_drawdown": pa.float64(),
            "probabilistic_sharpe": pa.float64(),
            "deflated_sharpe": pa.float64(),
            "trials": pa.int64(),
            "trades": pa.int64(),
            "win_rate": pa.float64(),
            "profit_factor": pa.float64(),
            "turnover": pa.float64(),
            "costs": pa.float64(),
            "exposure": pa.float64(),
            "drawdown": pa.float64(),
            "halted": pa.bool_(),
        },
        required=("asset_class", "interval", "curve"),
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
)

SUMMARY = TableSpec(
    layer="gold",
    name="scorecard_summary",
    key=("symbol", "interval", "horizon", "model_version"),
    description=(
        "How good the live predictions were, beside naive: by symbol, class (*stock) and ALL, and by model version and "
        "ALL. Returns are the mean of BUY and SELL, before and after costs."
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
)

DAILY = TableSpec(
    layer="gold",
    name="scorecard_daily",
    key=("date", "asset_class", "interval"),
    description="What matured on each day of the bars' own time, beside naive, by asset class and interval.",
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
)

CALIBRATION = TableSpec(
    layer="gold",
    name="calibration",
    key=("measure", "asset_class", "low"),
    description=(
        "Whether what was stated came true: confidence against the share of right directions, strength against the "
        "mean move in the predicted direction, in standard deviations; by bin, class and ALL."
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
)
