"""Checks of gold in Dagster: every prediction has its signal and its outcome, and the accounts add up."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from financelake_assets.catalogue import BACKTEST, PAPER, SCORED, SUMMARIES
from financelake_assets.config import Settings
from financelake_assets.defs import table_checks
from financelake_assets.defs.table_checks import Check, CheckOutcome, every_table_has
from financelake_assets.gold import recording
from financelake_assets.gold import silver_changes as feed
from financelake_assets.gold.paper.schema import EQUITY
from financelake_assets.gold.query import QUERY
from financelake_assets.gold.schema import CONTRIBUTIONS, PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.model.markets import FURTHER
from financelake_assets.model.schema import BASELINE_METRICS, MODEL_METRICS, WALK_FORWARD

_ROUNDING = 1e-6
"""The allowed rounding error of an account, as a share of it."""

_EXACT = 1e-12
"""The allowed rounding error of a log return that is the sum of its contributions."""


def _signal_for_each(settings: Settings) -> CheckOutcome:
    key = list(PREDICTIONS.key)
    # read in this order: a signal is written after its prediction
    signals = SIGNALS.scan(settings).select(*key, "as_of").collect()
    newest = signals["as_of"].max()
    of_signals = ~FURTHER & (pl.col("as_of") <= pl.lit(newest))
    made = PREDICTIONS.scan(settings).filter(of_signals).select(key).collect()
    return CheckOutcome.none_of("without_signal", made.join(signals, on=key, how="anti").height)


def _all_matured(settings: Settings) -> CheckOutcome:
    version = feed.consumed_version(Path(settings.checkpoint(QUERY)))
    return CheckOutcome.none_of("not_scored", recording.unscored(settings, version).height if version >= 0 else 0)


def _sums_up(settings: Settings) -> CheckOutcome:
    equity = EQUITY.scan(settings).filter(pl.col("equity") > 0)
    off = (pl.col("cash") + pl.col("net_exposure") * pl.col("equity") - pl.col("equity")).abs()
    wrong = equity.filter(off > _ROUNDING * pl.col("equity").abs()).select(pl.len()).collect()
    return CheckOutcome.none_of("steps_that_do_not", int(wrong.item()))


def _adds_up(settings: Settings) -> CheckOutcome:
    key = list(PREDICTIONS.key)
    kept = CONTRIBUTIONS.scan(settings).group_by(key).agg(pl.col("contribution").sum(), pl.col("reason").first())
    explained = kept.filter(pl.col("reason").is_null()).collect()
    made = PREDICTIONS.scan(settings).filter(pl.col("event_time").is_in(explained["event_time"].unique().implode()))
    both = explained.join(made.select(*key, "predicted_return").collect(), on=key, how="left")
    exact = (pl.col("contribution") - pl.col("predicted_return")).abs() <= _EXACT
    return CheckOutcome.none_of("that_do_not", both.filter(~exact.fill_null(False)).height)


CHECKS = [
    *(
        check
        for table in (*SCORED, MODEL_METRICS, BASELINE_METRICS, WALK_FORWARD, *PAPER, *BACKTEST, *SUMMARIES)
        for check in every_table_has(table)
    ),
    Check(PREDICTIONS, "signal_for_each", "every prediction of the first horizon has its signal", _signal_for_each),
    Check(SCORECARD, "all_matured", "every prediction whose horizon has passed has an outcome", _all_matured),
    Check(CONTRIBUTIONS, "adds_up", "contributions add up to their prediction", _adds_up),
    Check(EQUITY, "sums_up", "cash plus positions equals the equity", _sums_up),
]

gold_checks = table_checks.definition("gold_checks", CHECKS, "The invariants of gold, in one pass.")
