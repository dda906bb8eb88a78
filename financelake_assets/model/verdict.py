"""The words of a judgement: three questions about a forecast, and the four answers to each."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """An answer, from a two-sided test of 5 % that allows for the number of symbols looked at."""

    EDGE = "edge"
    NO_EDGE = "no edge"
    WORSE = "worse"
    NOT_ENOUGH_DATA = "not enough data"


QUESTIONS = ("predictable", "accurate", "tradable")
"""The three questions, each a column with its word, and others with its t statistic, its p-value, and the p-value
adjusted for the number of symbols (``_t``, ``_p``, ``_q``)."""
