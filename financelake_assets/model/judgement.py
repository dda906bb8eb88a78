"""Judgement: whether a forecast is predictable, accurate and tradable, each with its own test and interval.

Input: out-of-sample rows of one symbol or of several. Output: three answers in one word each, and the numbers behind
them. All are in one unit: the expected move, the standard deviation that was expected of the return before it came.

- *predictable*: it says something of the return that zero and the mean of the training rows do not (Clark & West).
- *accurate*: its squared errors are smaller than those of repeating the last price (Diebold & Mariano).
- *tradable*: trades that follow it, executed a bar later at the open, earn more than they cost.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from financelake_assets.model import inference, metrics
from financelake_assets.model.inference import LEVEL, Clusters, Estimate
from financelake_assets.model.metrics import Floats
from financelake_assets.model.outputs import EXECUTION
from financelake_assets.model.verdict import QUESTIONS, Verdict

LEAST_ROWS = 100
"""Fewer rows than this are not judged."""

LEAST_TRADES = 30
"""Fewer trades than this are not judged; none at all are an answer."""

LEAST_CONFIDENCE = 0.5
"""A trade needs the forest of the direction to agree with that of the return, as a signal does."""


def judge(rows: pl.DataFrame, horizon: int) -> dict[str, Any]:
    """The numbers of all three answers, before the number of symbols is allowed for.

    Args:
        rows: symbol, event_time, realised_return, predicted_return, training_mean, traded_return, expected_move,
            probability_up and execution_bps.
        horizon: in bars.

    Returns:
        Columns of gold.model_metrics: the p-values with the sign of what was found as ``…_t``, the estimates and their
        intervals; ``verdicts`` makes words of them.
    """
    day, reach = days(rows), overlap(rows, horizon)
    actual, predicted, usual = (moves(rows, name) for name in ("realised_return", "predicted_return", "training_mean"))
    beyond_zero = inference.clark_west(actual, predicted, np.zeros(len(actual)), day, reach)
    beyond_mean = inference.clark_west(actual, predicted, usual, day, reach)
    accurate = inference.skill(actual - predicted, actual, day, reach)
    lesser = _lesser(beyond_zero, beyond_mean)
    return {
        "predictable_t": lesser.t,
        "predictable_p": lesser.p,
        "clark_west_t": beyond_zero.t,
        "clark_west_mean_t": beyond_mean.t,
        "smallest_edge": _smallest_edge(beyond_zero, actual, predicted, day, reach),
        "skill": accurate.value if accurate.known else metrics.skill(actual - predicted, actual),
        "skill_low": accurate.interval.low,
        "skill_high": accurate.interval.high,
        "accurate_t": accurate.t,
        "accurate_p": accurate.p,
        **_trades(rows, reach),
    }


def verdicts(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the words, and the p-values adjusted for all that were looked at together.

    Args:
        found: rows of gold.model_metrics that answer the same question, one a symbol, with what ``judge`` gave.
    """
    words: list[dict[str, Any]] = [{} for _ in found]
    for question in QUESTIONS:
        # what is not judged was not looked at
        adjusted = inference.false_discovery(
            [row[f"{question}_p"] if row["rows"] >= LEAST_ROWS else math.nan for row in found]
        )
        for row, word, q in zip(found, words, adjusted, strict=True):
            word[f"{question}_q"] = q
            word[question] = _word(question, row, q).value
    # the one word of a version: whether there is anything in it at all
    return [{**row, **word, "verdict": word["predictable"]} for row, word in zip(found, words, strict=True)]


def skill(scored: pl.DataFrame) -> Estimate:
    """Skill of predictions that were made live, in expected moves as on the holdout.

    Bars that begin together count once, not those of a day: a lake of minutes is not a month old when it is watched.

    Args:
        scored: rows of gold.scorecard; those without an outcome, a prediction or its expected move are left out.

    Returns:
        The estimate; where too few days have passed for an error, the value alone.
    """
    rows = known(scored)
    if rows.is_empty():
        return inference.UNKNOWN
    move = rows.select(metrics.LIVE_MOVE).to_series().to_numpy()
    naive, made = (rows[name].to_numpy() / move for name in ("realised_return", "predicted_return"))
    longest: int = rows["horizon"].max()  # type: ignore[assignment]
    found = by_bar(naive - made, naive, rows, longest)
    return found if found.known else Estimate(metrics.skill(naive - made, naive), math.nan, math.nan)


def by_bar(error: Floats, naive_error: Floats, rows: pl.DataFrame, horizon: int) -> Estimate:
    """Skill of errors over those of another forecast, where bars that begin together count once.

    Args:
        error: of the forecast.
        naive_error: of the other one.
        rows: symbol and event_time of each error.
        horizon: in bars.
    """
    return inference.skill(error, naive_error, *_begun(rows, horizon))


def adds(error: Floats, other_error: Floats, rows: pl.DataFrame, horizon: int) -> Estimate:
    """The mean of the encompassing test of Harvey, Leybourne & Newbold (1998); bars that begin together count once.

    ``other_error·(other_error - error)`` is above zero on average when the forecast says something that the other one
    does not; for one that is noise it is zero, even where the other one knows little.

    Args:
        error: of the forecast.
        other_error: of the other one.
        rows: symbol and event_time of each error.
        horizon: in bars.
    """
    return inference.mean(other_error * (other_error - error), *_begun(rows, horizon))


def _begun(rows: pl.DataFrame, horizon: int) -> tuple[Clusters, int]:
    begun = rows["event_time"].dt.replace_time_zone(None).to_numpy()
    return begun, inference.overlap_in_days(rows["symbol"].to_numpy().astype(str), begun, horizon)


def proportion(right: Floats, cluster: Clusters, overlap: int) -> metrics.Interval:
    """Wilson's interval of how often something was right, where rows that depend on each other count as fewer.

    Args:
        right: 1 or 0 of each row.
        cluster: see ``inference.ratio``.
        overlap: see ``inference.ratio``.
    """
    if not len(right):
        return metrics.NOWHERE
    share = inference.mean(right, cluster, overlap)
    # of too few clusters for an error, those that do not overlap are what is known
    least = max(1.0, len(np.unique(cluster)) / overlap)
    worth = inference.effective_rows(len(right), share) if share.known else min(float(len(right)), least)
    return metrics.wilson(float(np.mean(right)) * worth, worth)


def live_proportion(right: Floats, rows: pl.DataFrame) -> metrics.Interval:
    """``proportion`` of rows of gold.scorecard: bars that begin together count once, and horizons that overlap less.

    Args:
        right: 1 or 0 of each row.
        rows: symbol, event_time and horizon of each.
    """
    if rows.is_empty():
        return metrics.NOWHERE
    longest: int = rows["horizon"].max()  # type: ignore[assignment]
    return proportion(right, *_begun(rows, longest))


def live_mean(name: str, rows: pl.DataFrame) -> Estimate:
    """The mean of a column of gold.scorecard; see ``live_proportion``. Rows without a value are left out.

    Args:
        name: of the column.
        rows: with symbol, event_time and horizon.

    Returns:
        The estimate; where too few days have passed for an error, the value alone.
    """
    rows = rows.drop_nulls(name)
    if rows.is_empty():
        return inference.UNKNOWN
    values = rows[name].cast(pl.Float64).to_numpy()
    longest: int = rows["horizon"].max()  # type: ignore[assignment]
    found = inference.mean(values, *_begun(rows, longest))
    return found if found.known else Estimate(float(np.mean(values)), math.nan, math.nan)


def known(scored: pl.DataFrame) -> pl.DataFrame:
    """The rows of gold.scorecard with an outcome, a prediction and its expected move."""
    return scored.filter(
        pl.col("realised_return").is_not_null(), pl.col("predicted_return").is_not_null(), metrics.LIVE_MOVE > 0
    )


def days(rows: pl.DataFrame) -> Clusters:
    """The day of each row, by its bar's start."""
    return rows["event_time"].dt.truncate("1d").dt.replace_time_zone(None).to_numpy()


def overlap(rows: pl.DataFrame, horizon: int) -> int:
    """Over how many of the rows' days a label reaches."""
    return inference.overlap_in_days(rows["symbol"].to_numpy().astype(str), days(rows), horizon)


def moves(rows: pl.DataFrame, name: str) -> Floats:
    """A column of log returns in expected moves."""
    return np.asarray((rows[name].cast(pl.Float64) / rows["expected_move"]).to_numpy(), dtype=np.float64)


def traded(rows: pl.DataFrame) -> pl.DataFrame:
    """What a trade on each row's forecast would have earned, executed a bar later.

    A forecast is traded when its move beats the costs of both executions and the probability of its direction is at
    least a half: what makes a signal BUY or SELL.

    Args:
        rows: predicted_return, probability_up, traded_return, expected_move and execution_bps (the cost of one
            execution, slippage included).

    Returns:
        The rows whose trade is over (``traded_return`` is there), with ``side`` (1, -1, or 0 for no trade),
        ``net_return`` (simple return of the trade after both executions, 0 without one) and ``net_move`` (the same in
        expected moves).
    """
    up = pl.col("predicted_return") > 0
    costs = 2 * pl.col(EXECUTION) / 10_000
    confidence = pl.when(up).then("probability_up").otherwise(1 - pl.col("probability_up"))
    acts = ((pl.col("predicted_return").exp() - 1).abs() > costs) & (confidence >= LEAST_CONFIDENCE)
    side = pl.when(~acts.fill_null(False)).then(0).when(up).then(1).otherwise(-1)
    earned = side * pl.col("traded_return") - side.abs() * costs
    return (
        rows.filter(pl.col("traded_return").is_not_null())
        .with_columns(side=side, net_return=pl.when(side != 0).then(earned).otherwise(0.0))
        .with_columns(net_move=pl.col("net_return") / pl.col("expected_move"))
    )


def _trades(rows: pl.DataFrame, reach: int) -> dict[str, Any]:
    done = traded(rows)
    made = int((done["side"] != 0).sum())
    if made:
        earned, acted = (done[name].cast(pl.Float64).to_numpy() for name in ("net_move", "side"))
        net = inference.ratio(earned, np.abs(acted), days(done), reach)
    else:
        net = inference.UNKNOWN
    mean = done.filter(pl.col("side") != 0)["net_return"].mean()
    judged = net if made >= LEAST_TRADES else inference.UNKNOWN
    return {
        "trades": made,
        "net_return": math.nan if mean is None else float(mean),  # type: ignore[arg-type]
        "net_move": net.value,
        "net_move_low": net.interval.low,
        "net_move_high": net.interval.high,
        "tradable_t": judged.t,
        "tradable_p": judged.p,
    }


def _word(question: str, row: dict[str, Any], q: float) -> Verdict:
    if question == "tradable" and row["trades"] == 0 and row["rows"] >= LEAST_ROWS:
        return Verdict.NO_EDGE  # no forecast beat the costs
    if row["rows"] < LEAST_ROWS or math.isnan(q):
        return Verdict.NOT_ENOUGH_DATA
    if q > LEVEL:
        return Verdict.NO_EDGE
    return Verdict.EDGE if row[f"{question}_t"] > 0 else Verdict.WORSE


def _lesser(one: Estimate, other: Estimate) -> Estimate:
    """The estimate that is nearer to zero, for a test that both must pass (Berger 1982); zero where they disagree."""
    if not (one.known and other.known):
        return inference.UNKNOWN
    if one.t * other.t <= 0:
        return Estimate(0.0, 1.0, one.freedom)
    return min(one, other, key=lambda estimate: abs(estimate.t))


def _smallest_edge(found: Estimate, actual: Floats, predicted: Floats, day: Clusters, reach: int) -> float:
    """The smallest skill that the test of predictability finds in 80 of 100 cases with this much data.

    Clark and West's mean against zero is ``2·E[yŷ]``; over ``2·rms(y)·rms(ŷ)`` it is a correlation, and the skill of
    the best forecast with a correlation is its square.
    """
    size = 2 * math.sqrt(float(np.mean(actual**2)) * float(np.mean(predicted**2)))
    if found.known and found.error > 0 and size > 0:
        return (found.detectable / size) ** 2
    count = len(np.unique(day))
    freedom = inference.cosines(count, reach)
    if count < inference.LEAST_CLUSTERS or freedom < 2:
        return math.nan
    # a forecast of zero has no error of its own: as if every day were one observation
    return Estimate(0.0, math.sqrt(reach / count), freedom).detectable ** 2
