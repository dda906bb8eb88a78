"""The closed lists of signals and of reasons for a HOLD."""

from __future__ import annotations

from enum import StrEnum


class Signal(StrEnum):
    """What to do at the close of a bar."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class HoldReason(StrEnum):
    """Why a signal is HOLD, in the order in which the reasons are checked."""

    MODEL_EXPIRED = "model_expired"
    INSUFFICIENT_HISTORY = "insufficient_history"
    MARKET_CLOSED = "market_closed"
    OUTLIER_INPUT = "outlier_input"
    UNLIKE_TRAINING = "unlike_training"
    BELOW_COSTS = "below_costs"
    LOW_CONFIDENCE = "low_confidence"
    RECENT_REVERSAL = "recent_reversal"


RULE = "rule:"
"""What the reason begins with where a rule of the user gave the signal; the rule's name follows."""
