"""Which numbered trades of one symbol are had, and which are missing: what makes each trade come once.

Input: trades in any order, some of them twice. Output: those that are new, and the holes between their numbers. An
exchange numbers the trades of a symbol without leaving any out, so a hole in the numbers is a trade that was missed.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

UNKNOWN = -1
"""The number before a hole that begins at a time: nobody knows yet which trade is the first after that."""


class Trade(NamedTuple):
    """One trade; ``time`` in microseconds since 1970."""

    symbol: str
    id: int
    time: int
    price: float
    size: float


@dataclass(frozen=True)
class Hole:
    """Trades between two numbers are missing; ``since`` is the time of the trade before it, in microseconds."""

    after: int
    before: int
    since: int

    @property
    def size(self) -> int | None:
        """How many trades are missing; ``None`` where the hole begins at a time."""
        return None if self.after == UNKNOWN else self.before - self.after - 1


@dataclass
class TradeIds:
    """The numbers of one symbol's trades. ``opening``: from which time on trades are wanted, in microseconds."""

    opening: int | None = None
    newest: int | None = None
    newest_time: int = 0
    holes: list[Hole] = field(default_factory=list)

    def take(self, trades: Iterable[Trade]) -> list[Trade]:
        """Those trades that are new; they count as had from now on."""
        return [trade for trade in trades if self._takes(trade)]

    def expect(self, newest: int) -> None:
        """The exchange says that this is its newest trade: if it has not come, it is missing."""
        if self.newest is not None and newest > self.newest:
            self._put(Hole(self.newest, newest + 1, self.newest_time))
            self.newest = newest

    def settle(self, hole: Hole) -> None:
        """The exchange has been asked for what is in a hole, and has no more of it."""
        self.holes = [one for one in self.holes if not (hole.after <= one.after and one.before <= hole.before)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        holes = [[hole.after, hole.before, hole.since] for hole in self.holes]
        return {"opening": self.opening, "newest": self.newest, "time": self.newest_time, "holes": holes}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """What ``as_dict`` gave."""
        return cls(values["opening"], values["newest"], values["time"], [Hole(*hole) for hole in values["holes"]])

    def _takes(self, trade: Trade) -> bool:
        if self.newest is None:
            if self.opening is not None and trade.time < self.opening:
                return False
            self._put(Hole(UNKNOWN, trade.id, self.opening) if self.opening is not None else None)
        elif trade.id <= self.newest:
            return self._fills(trade)
        elif trade.id > self.newest + 1:
            self._put(Hole(self.newest, trade.id, self.newest_time))
        self.newest, self.newest_time = trade.id, trade.time
        return True

    def _put(self, hole: Hole | None) -> None:
        if hole is not None:
            self.holes.append(hole)

    def _fills(self, trade: Trade) -> bool:
        """Whether a trade lies in a hole, which it then parts in two."""
        for place, hole in enumerate(self.holes):
            if hole.after < trade.id < hole.before:
                if hole.after == UNKNOWN and trade.time < hole.since:
                    return False
                self.holes[place : place + 1] = _parted(hole, trade)
                return True
        return False


def _parted(hole: Hole, trade: Trade) -> list[Hole]:
    lower = replace(hole, before=trade.id)
    upper = Hole(trade.id, hole.before, trade.time)
    return [one for one in (lower, upper) if one.size != 0]
