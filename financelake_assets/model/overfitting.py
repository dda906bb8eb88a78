"""The probability of back-test overfitting: how often the best of the trials on some days is poor on the others.

Input: the daily returns of several trials on the same days. Output: the probability, beside what luck alone gives, and
whether the best earned more than the best of as many worthless ones would (``reality_check.py``).
Combinatorially symmetric cross-validation (CSCV) of Bailey, Borwein, López de Prado & Zhu (2017), "The probability of
backtest overfitting", Journal of Computational Finance 20(4). Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from financelake_assets.model import reality_check
from financelake_assets.model.metrics import Floats, Interval

BLOCKS = 10
"""So many blocks of consecutive days make 252 ways to choose half of them."""

LEAST_TRIALS = 10
"""Of fewer trials the probability says little: with two, luck alone gives 0 to 97 %, with ten 11 to 93 %."""

LEAST_DAYS = 25 * BLOCKS
"""A block of fewer days than a month of trading is not judged."""

_EQUAL = 1e-9
_WORTHLESS = 400
_SEED = 24


@dataclass(frozen=True)
class Overfitting:
    """What is known of overfitting by choice.

    ``probability`` is ``None`` where there are fewer than ``LEAST_TRIALS`` trials or ``LEAST_DAYS`` days; ``low`` and
    ``high`` are the ends between which 95 % of the sets of as many worthless trials lie, and a choice by lot has 0.5.
    ``best_p`` is how often the best of as many worthless trials looks at least as good as the best of these; ``None``
    where there are fewer than ``LEAST_DAYS`` days, and for a version of an earlier release.
    """

    trials: int
    days: int
    probability: float | None = None
    low: float | None = None
    high: float | None = None
    best_p: float | None = None

    @property
    def sentence(self) -> str:
        """The result in words, or why there is none."""
        return self._of_the_choice if self.best_p is None else f"{self._of_the_choice} {self._of_the_best}"

    @property
    def _of_the_best(self) -> str:
        strategy = "the only strategy" if self.trials == 1 else f"the best of {self.trials} strategies"
        worthless = "a worthless one" if self.trials == 1 else "the best of as many worthless ones"
        often = "less than 1%" if self.best_p is not None and self.best_p < 0.01 else f"{self.best_p:.0%}"
        return f"In {often} of cases {worthless} would have earned as much as {strategy}."

    @property
    def _of_the_choice(self) -> str:
        if self.probability is None:
            kept = "1 strategy is" if self.trials == 1 else f"{self.trials} strategies are"
            return (
                f"The probability of back-test overfitting is not known: the daily returns of {kept} kept, on "
                f"{self.days} common days; {LEAST_TRIALS} strategies and {LEAST_DAYS} days are needed."
            )
        return (
            f"The probability of back-test overfitting is {self.probability:.0%}; luck alone gives {self.low:.0%} to "
            f"{self.high:.0%}, and a choice by lot 50%. So often, when {self.days:,} days were split into halves, the "
            f"best of {self.trials} strategies in one half was below the median in the other."
        )


NOTHING_KNOWN = Overfitting(0, 0)
"""What a lake without any trial's returns knows."""


def judge(returns: Floats) -> Overfitting:
    """The probability of overfitting of trials, its range for worthless ones, and whether the best is worth anything.

    Args:
        returns: one row a day in order, one column a trial; in any unit, also one for each trial.
    """
    days, trials = returns.shape
    if not trials or days < LEAST_DAYS:
        return Overfitting(trials, days)
    best = reality_check.p_value(returns)
    if trials < LEAST_TRIALS:
        return Overfitting(trials, days, best_p=best)
    luck = by_luck(trials)
    return Overfitting(trials, days, probability(returns), luck.low, luck.high, best)


def parse(told: str | None) -> Overfitting | None:
    """What a row of gold.models says in JSON; ``None`` for a version of an earlier release, which says nothing."""
    return Overfitting(**json.loads(told)) if told else None


def probability(returns: Floats, blocks: int = BLOCKS) -> float:
    """The share of splits into halves in which the best of one half is below the median of the other one.

    The days are cut into ``blocks`` of consecutive days. Each choice of half of the blocks is once the half that is
    chosen on; the performance is the Sharpe ratio. With the rank r of the chosen one among N in the other half it is
    the share with ``log(r/(N+1-r)) < 0``. A trial at the median counts one half, and trials that are equally good share
    the choice. Worthless trials have 0.5 on average.

    Args:
        returns: one row a day in order, one column a trial; at least ``blocks`` days and two trials.
        blocks: an even number.

    Raises:
        ValueError: there are too few days or trials, the number of blocks is odd, or a return is not finite.
    """
    days, trials = returns.shape
    if trials < 2 or blocks % 2 or blocks > days or not np.isfinite(returns).all():
        raise ValueError(f"{trials} trials on {days} days cannot be split into {blocks} blocks of finite returns")
    chosen = _halves(blocks)
    # in one unit, so that "equal" means the same for each trial
    scale = np.sqrt(np.mean(returns**2, axis=0))
    parts = np.array_split(returns / np.where(scale > 0, scale, 1.0), blocks)
    sums, squares = np.array([part.sum(axis=0) for part in parts]), np.array([(part**2).sum(axis=0) for part in parts])
    counts = np.array([float(len(part)) for part in parts])
    inside, outside = (_sharpe(half, sums, squares, counts) for half in (chosen, 1 - chosen))
    best = inside >= inside.max(axis=1, keepdims=True) - _EQUAL
    gap = outside - np.median(outside, axis=1, keepdims=True)
    poor = np.where(np.abs(gap) <= _EQUAL, 0.5, gap < 0)
    return float(np.mean((poor * best).sum(axis=1) / best.sum(axis=1)))


@lru_cache(maxsize=32)
def by_luck(trials: int, blocks: int = BLOCKS) -> Interval:
    """Between which two values the probability lies for 95 % of sets of worthless trials, by simulation.

    It is wide: trials that were luckier on the whole were so in many of the splits at once.

    Args:
        trials: how many.
        blocks: see ``probability``.
    """
    random = np.random.default_rng(_SEED)
    found = [probability(random.standard_normal((LEAST_DAYS, trials)), blocks) for _ in range(_WORTHLESS)]
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(float(low), float(high))


def _halves(blocks: int) -> Floats:
    """Each choice of half of the blocks: one row each, 1 for a block that is chosen."""
    return np.array(
        [np.isin(np.arange(blocks), some) for some in combinations(range(blocks), blocks // 2)], dtype=float
    )


def _sharpe(half: Floats, sums: Floats, squares: Floats, counts: Floats) -> Floats:
    """The Sharpe ratio of each trial in each half; zero for one that neither earned nor lost there."""
    days = (half @ counts)[:, None]
    mean, square = half @ sums / days, half @ squares / days
    spread = np.sqrt(np.maximum(square - mean**2, _EQUAL**2))
    return np.asarray(mean / spread)
