"""What the limit of dissimilarity holds back: how many bars, and whether they really were predicted worse.

Input: out-of-sample rows with their dissimilarity, each from what its fold had learnt. Output: a ``HeldBack``, for the
record and the card of a version. The limit follows from the training rows alone, so nothing here changes it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.model import inference, judgement
from financelake_assets.model.inference import Clusters, Estimate
from financelake_assets.model.metrics import Floats
from financelake_assets.model.outputs import DISSIMILARITY


@dataclass(frozen=True)
class Compared:
    """A number of the bars that are held back beside that of all others.

    ``low`` and ``high`` are the ends of the 95 % interval of the difference; ``None`` where there are too few bars.
    """

    held_back: float
    others: float
    low: float | None = None
    high: float | None = None

    def answer(self, more: str, less: str) -> str:
        """Whether the two differ, in words for more and for less."""
        if self.low is None or self.high is None:
            return "too few to be told apart"
        return more if self.low > 0 else less if self.high < 0 else "not told apart"


@dataclass(frozen=True)
class HeldBack:
    """The out-of-sample bars beyond the limit of their fold, beside the others.

    ``threshold`` is the version's own limit, in mean distances between two learnt rows. ``error`` compares the mean
    squared errors, in squared expected moves, and ``skill`` what the forecasts are worth beside repeating the last
    price; both are ``None`` where none of the bars, or each, is held back.
    """

    threshold: float
    bars: int
    held_back: int
    error: Compared | None = None
    skill: Compared | None = None

    @property
    def sentence(self) -> str:
        """The result in words."""
        limit = f"The limit is {self.threshold:.2f} mean distances between two learnt rows."
        share = f"{self.held_back / self.bars:.1%}" if self.bars else "none"
        told = f"{limit} It would have held back {share} of {self.bars:,} bars out of sample."
        if self.error is None or self.skill is None:
            return told
        error, skill = self.error, self.skill
        return (
            f"{told} Their mean squared error was {error.held_back:.2f} squared expected moves, that of the others "
            f"{error.others:.2f}: {error.answer('worse', 'better')}. Their skill over the last price was "
            f"{skill.held_back:+.2%}, that of the others {skill.others:+.2%}: {skill.answer('better', 'worse')}."
        )


def judge(rows: pl.DataFrame, horizon: int, threshold: float) -> HeldBack:
    """Compare the bars that would have been held back with the others.

    Args:
        rows: symbol, event_time, realised_return, predicted_return, expected_move and ``DISSIMILARITY``.
        horizon: in bars.
        threshold: of the version.
    """
    beyond = (rows[DISSIMILARITY] > 1).fill_null(False).to_numpy()
    if not beyond.any() or beyond.all():
        return HeldBack(threshold, rows.height, int(beyond.sum()))
    actual, predicted = (judgement.moves(rows, name) for name in ("realised_return", "predicted_return"))
    naive, made = actual**2, (actual - predicted) ** 2
    day, reach = judgement.days(rows), judgement.overlap(rows, horizon)
    return HeldBack(
        threshold,
        rows.height,
        int(beyond.sum()),
        _compared(made, np.ones(len(made)), beyond, day, reach),
        _compared(naive - made, naive, beyond, day, reach),
    )


def parse(text: str | None) -> HeldBack | None:
    """What a record has as JSON; ``None`` for a version of an earlier release."""
    if text is None:
        return None
    stored = json.loads(text)
    compared = {name: None if stored[name] is None else Compared(**stored[name]) for name in ("error", "skill")}
    return HeldBack(**{**stored, **compared})


def _compared(numerator: Floats, denominator: Floats, beyond: NDArray[np.bool_], day: Clusters, reach: int) -> Compared:
    """``Σ numerator / Σ denominator`` of the rows beyond and of the others, with the interval of the difference.

    The difference's influence function is that of the one ratio less that of the other, and days count once.
    """
    sides: list[float] = []
    influence = np.zeros(len(numerator))
    for own, sign in ((beyond, 1), (~beyond, -1)):
        total = float(denominator[own].sum())
        ratio = float(numerator[own].sum()) / total
        influence += sign * np.where(own, numerator - ratio * denominator, 0.0) * len(numerator) / total
        sides.append(ratio)
    spread = inference.mean(influence, day, reach)
    held, others = sides
    interval = Estimate(held - others, spread.error, spread.freedom).interval
    enough = beyond.sum() >= judgement.LEAST_ROWS and not math.isnan(interval.low)
    return Compared(held, others, interval.low, interval.high) if enough else Compared(held, others)
