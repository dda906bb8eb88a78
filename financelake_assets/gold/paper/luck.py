"""Luck: what the signals' own positions would have earned in directions by lot, a thousand times over.

Input: what each position of the account earned in a step, and what the step cost. Output: the equity of a thousand
paths. Every path holds the same positions as the signals, of the same size for the same time at the same costs. Only
each position's direction is drawn by lot, once for as long as it is held. So the paths differ from the signals in
nothing but whether the directions were right.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from financelake_assets.gold.paper.account import Account, Leg, Move, Trade

PATHS = 1_000
BAND = (0.05, 0.95)
"""The quantiles of the paths that the band is between."""

Floats = NDArray[np.float64]


@dataclass
class Luck:
    """The paths' equity, and since when each position that is held now has been held."""

    equity: Floats
    held_since: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, capital: float) -> Luck:
        """Paths that have nothing but cash."""
        return cls(np.full(PATHS, capital))

    def dump(self) -> dict[str, object]:
        """As plain values; bit by bit, so that a run that is taken up again goes on as if it had not stopped."""
        return {"equity": base64.b64encode(self.equity.tobytes()).decode(), "held_since": self.held_since}

    @classmethod
    def parse(cls, stored: Mapping[str, object]) -> Luck:
        """The inverse of ``dump``."""
        equity = np.frombuffer(base64.b64decode(str(stored["equity"])), np.float64).copy()
        return cls(equity, dict(stored["held_since"]))  # type: ignore[call-overload]

    @property
    def band(self) -> tuple[float, float]:
        """The equity that one path in twenty is below, and one in twenty above."""
        low, high = np.quantile(self.equity, BAND)
        return float(low), float(high)

    def p(self, equity: float) -> float:
        """How likely directions by lot do as well as the signals: ``(1 + paths as good)/(1 + paths)``.

        The signals count as one of the paths (Davison & Hinkley 1997), so it is never zero.
        """
        # the same sum in another order may differ in the last digits
        as_good = int(np.sum(self.equity >= equity * (1 - 1e-12)))
        return (1 + as_good) / (1 + len(self.equity))


def held(account: Account) -> dict[str, float]:
    """What an account holds before a step, by symbol."""
    return {symbol: position.value for symbol, position in account.positions.items()}


def follow(
    luck: Luck,
    account: Account,
    before: Mapping[str, float],
    moves: Mapping[str, Move],
    trades: Iterable[Trade],
    time: datetime,
    seed: int,
) -> None:
    """Take the paths through a step that the signals' account has just taken.

    Args:
        luck: changed in place.
        account: of the signals, after the step.
        before: what it held before, see ``held``.
        moves: the symbols that had a bar at this step.
        trades: what the step traded.
        time: of the step.
        seed: of the directions.
    """
    trades = list(trades)
    earned = {symbol: value * (moves[symbol].before - 1) for symbol, value in before.items() if symbol in moves}
    gain = _by_lot(luck, earned, seed)
    costs = sum(trade.cost for trade in trades)
    for trade in trades:
        if trade.leg is Leg.CLOSE:
            luck.held_since.pop(trade.symbol, None)
        elif trade.leg is Leg.OPEN:
            luck.held_since[trade.symbol] = time.isoformat()
    later = {
        symbol: position.value * (1 - 1 / moves[symbol].after)
        for symbol, position in account.positions.items()
        if symbol in moves and moves[symbol].after != 0
    }
    gain = gain + _by_lot(luck, later, seed)
    worth = account.equity - sum(earned.values()) - sum(later.values()) + costs
    if worth > 0:
        luck.equity = np.maximum(0.0, luck.equity * (1 + (gain - costs) / worth))


def _by_lot(luck: Luck, earned: Mapping[str, float], seed: int) -> Floats:
    """What the paths earned with positions, each in its direction."""
    gain = np.zeros(len(luck.equity))
    for symbol in sorted(earned):  # in an order of its own, so that equal inputs give equal sums
        gain += earned[symbol] * directions(seed, symbol, luck.held_since.get(symbol, ""), len(luck.equity))
    return gain


def directions(seed: int, symbol: str, since: str, paths: int = PATHS) -> Floats:
    """1 or -1 for each path: the same for the same position, whenever it is asked."""
    digest = hashlib.shake_256(f"{seed}/{symbol}/{since}".encode()).digest((paths + 7) // 8)
    bits = np.unpackbits(np.frombuffer(digest, np.uint8))[:paths]
    return np.asarray(2.0 * bits - 1.0, dtype=np.float64)
