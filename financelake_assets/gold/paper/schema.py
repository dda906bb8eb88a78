"""The paper portfolio's tables, live and of the back-test.

Live runs only append to equity and trades; they replace positions and portfolio as a whole. A back-test replaces the
rows of its version.
"""

from __future__ import annotations

import pyarrow as pa

from financelake_assets.gold.paper.accounts import ACCOUNT
from financelake_assets.gold.schema import OUTCOME, PREDICTIONS, SIGNALS
from financelake_assets.model.schema import WALK_FORWARD
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TIMESTAMP, Lineage, TableSpec, columns

_ACCOUNT = dict.fromkeys(ACCOUNT, pa.string())
"""An account's name. ``currency`` follows from the symbol by the universe; null where nobody told it."""

_EXECUTED = (
    *SIGNALS.columns("signal", "strength", "cost_bps"),
    *PREDICTIONS.columns("volatility"),
    *BARS.columns("open"),
    *OUTCOME,
)
"""The columns from which the account's orders and executions are computed."""

EQUITY = TableSpec(
    layer="gold",
    name="equity",
    key=(*ACCOUNT, "event_time"),
    description=(
        "The paper portfolio's accounts, bar by bar, net of costs, each in its own currency, beside buy-and-hold and a "
        "control that trades at the same times in random directions. luck_low and luck_high are the 5 % and 95 % "
        "quantiles of a thousand paths that hold the signals' positions in random directions; luck_p is the "
        "probability that such a path does as well as the signals. The last row of each commit holds the book for the "
        "next run."
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
            **dict.fromkeys(("luck_low", "luck_high", "luck_p"), pa.float64()),
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
    lineage=Lineage(
        rest=_EXECUTED,
        of={
            **{name: SIGNALS.columns(name) for name in ("asset_class", "interval", "event_time")},
            "currency": SIGNALS.columns("symbol"),
            "buy_and_hold": OUTCOME,
            "computed_at": (),
        },
    ),
)


TRADES = TableSpec(
    layer="gold",
    name="trades",
    key=(*ACCOUNT, "event_time", "number"),
    description="The paper portfolio's executions: signed value, cost, and the profit of the closed part net of costs.",
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
    lineage=Lineage(
        rest=_EXECUTED,
        of={
            **{name: SIGNALS.columns(name) for name in ("asset_class", "interval", "event_time", "symbol")},
            "currency": SIGNALS.columns("symbol"),
        },
    ),
)


POSITIONS = TableSpec(
    layer="gold",
    name="positions",
    key=(*ACCOUNT, "symbol"),
    description="The paper portfolio's positions now; replaced as a whole, so older ones are in the table's history.",
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
    lineage=Lineage(same=(EQUITY,), rest=EQUITY.columns("book")),
)


PORTFOLIO = TableSpec(
    layer="gold",
    name="portfolio",
    key=(*ACCOUNT, "curve"),
    description=(
        "Statistics of each account of the paper portfolio (curve signals), beside buy_and_hold and random; replaced "
        "as a whole. Ratios are yearly, by the time that passed, with a risk-free rate of zero. A position that was "
        "cut back before it was closed counts once."
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
            "luck_p": pa.float64(),
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
    lineage=Lineage(
        same=(EQUITY,),
        rest=EQUITY.columns("equity", "buy_and_hold", "random"),
        of={
            **dict.fromkeys(("trades", "win_rate", "profit_factor"), TRADES.columns("profit", "cost")),
            **dict.fromkeys(("curve", "trials"), ()),
        },
    ),
)


_BACKTESTED = (
    *WALK_FORWARD.columns("predicted_return", "probability_up", "volatility", "dissimilarity", "horizon"),
    *BARS.columns("open", "close", "adj_close", "split"),
)
"""The columns from which a back-test is computed."""


def _of_the_backtest(table: TableSpec, description: str) -> TableSpec:
    """A table of the live account as the back-test has it: the same columns and the version's name, without books."""
    live = {field.name: field.type for field in table.schema if field.name not in ("computed_at", "book")}
    key = ("model_version", *table.key)
    required = tuple(name for name in key if name != "currency")
    return TableSpec(
        layer="gold",
        name=f"backtest_{table.name}",
        key=key,
        description=description,
        schema=columns({"model_version": pa.string(), **live, "computed_at": TIMESTAMP}, required=required),
        expectations=table.expectations,
        lineage=Lineage(
            rest=_BACKTESTED,
            of={
                "currency": WALK_FORWARD.columns("symbol"),
                **dict.fromkeys(("model_version", "computed_at", "curve", "trials"), ()),
            },
        ),
    )


BACKTEST_EQUITY = _of_the_backtest(
    EQUITY,
    "The back-test's accounts, bar by bar: what a version's walk-forward forecast out of sample, traded by the rules "
    "of the lake. The columns are those of gold/equity.",
)
BACKTEST_TRADES = _of_the_backtest(TRADES, "The back-test's executions; the columns are those of gold/trades.")
BACKTEST_PORTFOLIO = _of_the_backtest(
    PORTFOLIO, "Statistics of each account of a version's back-test; the columns are those of gold/portfolio."
)
