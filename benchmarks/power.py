"""False alarms and power of the three answers (``model.judgement``) on synthetic markets, by horizon.

A market is daily bars of one symbol. Its forecast is the mean of the training rows and a slope on the last move, both
estimated on four times as many bars before, as a model that has the right idea would have them. Markets:

- *none*: moves that nothing predicts; *tails*: the same with Student's t of four degrees of freedom;
- *AR(1) 0.05, 0.10, 0.20*: a move keeps this part of the one before;
- *trend*: nothing predicts the moves, but their mean, which training knows, is a tenth of their size;
- *volatility timing*: the size of moves can be foreseen and is known, their direction cannot.

Every market but the AR(1) has nothing that a test beyond the training mean should find: what it finds is a false alarm,
of which a one-sided 2.5 % are stated. Prints a Markdown table and, with --json, JSON.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import polars as pl
from scipy import signal

from financelake_assets.model.costs import Costs
from financelake_assets.model.judgement import judge, verdicts
from financelake_assets.model.verdict import QUESTIONS, Verdict

MARKETS: dict[str, dict[str, float]] = {
    "none": {},
    "tails": {"tails": 4.0},
    "AR(1) 0.05": {"kept": 0.05},
    "AR(1) 0.10": {"kept": 0.10},
    "AR(1) 0.20": {"kept": 0.20},
    "trend": {"mean": 0.1},
    "volatility timing": {"clusters": 0.97},
}
HORIZONS = (1, 5, 20)
MOVE = 0.01
COSTS = Costs()
TRAINED = 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400, help="markets of each kind")
    parser.add_argument("--days", type=int, default=641, help="that are judged of each")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = [
        {"market": name, "horizon": horizon, **shares(kind, horizon, arguments.days, arguments.runs)}
        for name, kind in MARKETS.items()
        for horizon in HORIZONS
    ]
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    heads = list(found[0])
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in found:
        told = [f"{value:.1%}" if isinstance(value, float) else str(value) for value in row.values()]
        print("| " + " | ".join(told) + " |")


def shares(kind: dict[str, float], horizon: int, days: int, runs: int) -> dict[str, float]:
    """In which share of markets each question was answered with *edge*."""
    found = dict.fromkeys(QUESTIONS, 0)
    for seed in range(runs):
        rows = market(np.random.default_rng(seed), horizon, days, **kind)
        (row,) = verdicts([{"rows": len(rows), **judge(rows, horizon)}])
        for question in QUESTIONS:
            found[question] += row[question] == Verdict.EDGE
    return {question: count / runs for question, count in found.items()}


def market(
    random: np.random.Generator,
    horizon: int,
    days: int,
    kept: float = 0.0,
    mean: float = 0.0,
    clusters: float = 0.0,
    tails: float | None = None,
) -> pl.DataFrame:
    """The last bars of a market with a forecast that was estimated on those before, as rows to be judged."""
    count = (TRAINED + 1) * days + 2 * horizon + 2
    shocks = random.standard_normal(count)
    if tails is not None:
        shocks = random.standard_t(tails, count) * np.sqrt((tails - 2) / tails)
    size = np.exp(0.3 * signal.lfilter([1], [1, -clusters], random.standard_normal(count)) * np.sqrt(1 - clusters**2))
    size = size if clusters else np.ones(count)
    moves = signal.lfilter([1], [1, -kept], shocks) * size + mean
    running = np.concatenate([[0.0], np.cumsum(moves)])
    ahead = running[1 + horizon :] - running[1:-horizon]
    at = np.arange(count - 2 * horizon - 2)
    learnt, judged = at[: TRAINED * days - horizon], at[TRAINED * days :][:days]
    slope, level = np.polyfit(moves[learnt], ahead[learnt], 1)
    expected = MOVE * size[judged] * np.sqrt(horizon)
    predicted = (level + slope * moves[judged]) * MOVE
    return pl.DataFrame(
        {
            "symbol": "A",
            "asset_class": "stock",
            "event_time": np.datetime64("2020-01-01", "us") + np.arange(len(judged)) * np.timedelta64(1, "D"),
            "realised_return": ahead[judged] * MOVE,
            "predicted_return": predicted,
            # markets without a gap at night: the next open is the close that the forecast was made of
            "traded_return": np.expm1(ahead[judged] * MOVE),
            "training_mean": np.full(len(judged), float(np.mean(ahead[learnt])) * MOVE),
            "expected_move": expected,
            "execution_bps": COSTS.by_class["stock"] + COSTS.slippage_bps,
            "probability_up": np.where(predicted > 0, 0.6, 0.4),
        }
    )


if __name__ == "__main__":
    main()
