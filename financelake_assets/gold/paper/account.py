"""One paper account: positions, limits, costs and the kill switch, bar by bar, without any I/O.

Input: each symbol's price growth since its last bar, and its pending order. Output: the account after the bar, and the
trades. An order that a signal gives at a bar's close is executed at the next bar's open, or at its close where a
provider has no open. A position is stored as its market value, which grows with the adjusted return. So splits and
dividends cause no loss, and prices may be negative.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from financelake_assets.config import PortfolioSettings

_DRIFT = 1.1
"""How far a position or the exposure may exceed its limit before it is cut back; each cut costs money."""

_DUST = 1e-9


class Leg(StrEnum):
    """What a trade does to a position."""

    OPEN = "open"
    CLOSE = "close"
    CUT = "cut"


class Why(StrEnum):
    """The cause of a trade."""

    SIGNAL = "signal"
    EXPIRED = "expired"
    LIMIT = "limit"
    ABSENT = "absent"
    KILL_SWITCH = "kill_switch"
    CURRENCY = "currency"


class Order(NamedTuple):
    """The order of a signal for the next bar.

    ``side`` is 1, -1 or 0; ``volatility`` the expected yearly volatility, NaN if unknown; ``horizon`` is in bars.
    """

    side: int
    volatility: float
    horizon: int
    cost_bps: float


class Move(NamedTuple):
    """Growth of a price from the last close to the execution and from there to the close; whether one can open then."""

    before: float
    after: float
    tradable: bool


class Trade(NamedTuple):
    """One execution: ``value`` is signed; ``profit`` is that of the closed part, net of all its costs, otherwise 0."""

    symbol: str
    leg: Leg
    why: Why
    value: float
    cost: float
    profit: float


@dataclass
class Position:
    """Market value, value when opened, cost of opening, bars held, bars until its signal expires.

    ``absent`` counts the account's steps since the symbol's last bar: it is no longer traded, or its provider is down.
    ``basis`` tells long from short, because at a negative price the value of a long position is negative too.
    """

    value: float
    basis: float
    cost: float
    held: int
    left: int
    absent: int = 0


@dataclass
class Account:
    """Cash, positions, pending orders, and the state of the kill switch.

    ``peak`` is the highest equity, ``halted`` for how many more steps the switch holds, ``armed`` the highest equity
    since it was last armed, from which it measures the loss, and ``trips`` how often it tripped since the peak.
    """

    cash: float
    peak: float
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    halted: int = 0
    armed: float = 0.0
    trips: int = 0

    @property
    def equity(self) -> float:
        """Cash plus the value of all positions."""
        return self.cash + sum(position.value for position in self.positions.values())

    @property
    def gross(self) -> float:
        """The sum of the absolute values of all positions."""
        return sum(abs(position.value) for position in self.positions.values())

    @property
    def net(self) -> float:
        """Long minus short positions."""
        return sum(position.value for position in self.positions.values())


def step(
    account: Account,
    moves: Mapping[str, Move],
    orders: Mapping[str, Order],
    rules: PortfolioSettings,
    leaving: Collection[str] = (),
) -> list[Trade]:
    """Move an account forward by one step.

    Args:
        account: changed in place.
        moves: the price moves of the symbols that have a bar at this step.
        orders: the orders of these bars' signals, to be executed at each symbol's next bar.
        rules: sizes and limits.
        leaving: symbols that belong to another account now, none of which is in ``moves``: what is held is closed at
            its last price, because the next one may be in another currency.

    Returns:
        The trades, in the order of execution.
    """
    for symbol, position in account.positions.items():
        if symbol in moves:
            position.value *= moves[symbol].before
            position.held += 1
            position.left -= 1
            position.absent = 0
        else:
            position.absent += 1
    trades = _rebalance(account, moves, rules, leaving)
    for symbol, position in account.positions.items():
        if symbol in moves:
            position.value *= moves[symbol].after
    account.orders.update(orders)
    for symbol in leaving:
        account.orders.pop(symbol, None)
    _watch(account, rules)
    return trades


def _watch(account: Account, rules: PortfolioSettings) -> None:
    """Trip the kill switch, or count down while it holds.

    Armed again at the equity that is left, it would let an account lose the same share again and again. So each time it
    allows half the loss of the time before, and new positions are half as large, until the account is back at its
    highest equity.
    """
    equity = account.equity
    if account.halted:
        account.halted -= 1
        if account.halted == 0:
            account.armed = equity
        return
    if equity >= account.peak:
        account.peak, account.trips = equity, 0
    account.armed = max(account.armed, equity)
    if equity <= account.armed * (1 - rules.kill_switch_drawdown / 2**account.trips):
        account.halted = rules.kill_switch_bars
        account.trips += 1


def release(account: Account) -> None:
    """End the hold of the kill switch: the account has no symbols left, and takes no more steps that would end it."""
    if account.halted:
        account.halted, account.armed = 0, account.equity


def _rebalance(
    account: Account, moves: Mapping[str, Move], rules: PortfolioSettings, leaving: Collection[str]
) -> list[Trade]:
    equity = account.equity
    trades = _close_absent(account, rules, leaving)
    openings: dict[str, tuple[Order, float]] = {}
    rates: dict[str, float] = {}
    for symbol in sorted(moves):  # a fixed order, so that equal inputs give equal sums
        order = account.orders.pop(symbol, None)
        if order is None:
            continue
        rates[symbol] = _rate(order, rules)
        position = account.positions.get(symbol)
        why = _why_close(account, position, order, equity, rules)
        if position is not None and why is not None:
            trades.append(_reduce(account, symbol, 1.0, Leg.CLOSE, why, rates[symbol]))
            position = None
        if position is not None:
            if order.side * position.basis > 0:
                position.left = order.horizon
        elif moves[symbol].tradable and not account.halted and equity > 0:
            size = _size(order, rules) * equity / 2**account.trips
            if size > 0 and (order.side > 0 or rules.short):
                openings[symbol] = (order, order.side * size)
    trades += _cut(account, rates, equity, rules)
    room = max(0.0, rules.max_exposure * equity - account.gross)
    asked = sum(abs(value) for _, value in openings.values())
    share = min(1.0, room / asked) if asked > 0 else 0.0
    for symbol, (order, value) in openings.items():
        if share > _DUST:
            trades.append(_open(account, symbol, order, value * share, rates[symbol]))
    return trades


def _close_absent(account: Account, rules: PortfolioSettings, leaving: Collection[str]) -> list[Trade]:
    """Close positions in symbols that leave, and in those that bring no bars, at their last price: there is no other.

    The kill switch waits for a bar of each symbol as long as it holds, and not longer.
    """
    last = account.halted == 1
    trades = []
    for symbol in sorted(account.positions):
        absent = account.positions[symbol].absent
        if symbol in leaving or absent >= rules.absent_steps or (last and absent):
            why = Why.CURRENCY if symbol in leaving else Why.KILL_SWITCH if account.halted else Why.ABSENT
            order = account.orders.pop(symbol, None)
            rate = rules.slippage_bps / 10_000 if order is None else _rate(order, rules)
            trades.append(_reduce(account, symbol, 1.0, Leg.CLOSE, why, rate))
    return trades


def _why_close(
    account: Account, position: Position | None, order: Order, equity: float, rules: PortfolioSettings
) -> Why | None:
    """Why a position is closed at this bar; ``None`` when it stays open."""
    if position is None:
        return None
    if account.halted or equity <= 0:
        return Why.KILL_SWITCH
    if position.held < rules.min_holding_bars:
        return None
    if order.side * position.basis < 0:
        return Why.SIGNAL
    return Why.EXPIRED if order.side == 0 and position.left <= 0 else None


def _size(order: Order, rules: PortfolioSettings) -> float:
    """Share of the account for a new position: larger when the expected volatility is lower."""
    if order.side == 0 or not order.volatility > 0:
        return 0.0
    return min(rules.max_position, rules.target_volatility / order.volatility)


def _cut(account: Account, rates: Mapping[str, float], equity: float, rules: PortfolioSettings) -> list[Trade]:
    """Cut back positions that exceed their limit, and all positions if their sum exceeds its limit.

    ``rates`` are the costs of the symbols that can be traded now, as shares of the traded value.
    """
    if equity <= 0:
        return []
    trades = []
    held = [symbol for symbol in sorted(rates) if symbol in account.positions]
    for symbol in held:
        limit, size = rules.max_position * equity, abs(account.positions[symbol].value)
        if size > limit * _DRIFT:
            trades.append(_reduce(account, symbol, 1 - limit / size, Leg.CUT, Why.LIMIT, rates[symbol]))
    limit = rules.max_exposure * equity
    if account.gross > limit * _DRIFT:
        excess = 1 - limit / account.gross
        trades += [_reduce(account, symbol, excess, Leg.CUT, Why.LIMIT, rates[symbol]) for symbol in held]
    return trades


def _rate(order: Order, rules: PortfolioSettings) -> float:
    return (order.cost_bps + rules.slippage_bps) / 10_000


def _open(account: Account, symbol: str, order: Order, value: float, rate: float) -> Trade:
    cost = abs(value) * rate
    account.cash -= value + cost
    account.positions[symbol] = Position(value, value, cost, 0, order.horizon)
    return Trade(symbol, Leg.OPEN, Why.SIGNAL, value, cost, 0.0)


def _reduce(account: Account, symbol: str, share: float, leg: Leg, why: Why, rate: float) -> Trade:
    """Close a share of a position."""
    position = account.positions[symbol]
    value, basis, paid = position.value * share, position.basis * share, position.cost * share
    cost = abs(value) * rate
    account.cash += value - cost
    if leg is Leg.CLOSE:
        del account.positions[symbol]
    else:
        position.value, position.basis, position.cost = (
            position.value - value,
            position.basis - basis,
            position.cost - paid,
        )
    return Trade(symbol, leg, why, -value, cost, value - basis - cost - paid)


def buy_and_hold(
    account: Account, moves: Mapping[str, Move], joining: Iterable[str], rate: float, leaving: Collection[str] = ()
) -> None:
    """Move the buy-and-hold comparison forward by a step: each symbol gets an equal share when it joins, then holds it.

    Args:
        account: changed in place.
        moves: the symbols that have a bar at this step.
        joining: the symbols that are bought now; all other positions are cut by the same share to pay for them.
        rate: cost of a trade as a share of its value.
        leaving: symbols that belong to another account now; they are sold at their last price.
    """
    for symbol in sorted(account.positions.keys() & set(leaving)):
        _reduce(account, symbol, 1.0, Leg.CLOSE, Why.CURRENCY, rate)
    for symbol, position in account.positions.items():
        if symbol in moves:
            position.value *= moves[symbol].before
    new = sorted(symbol for symbol in joining if symbol not in account.positions)
    if new and account.equity > 0:
        kept = len(account.positions) / (len(account.positions) + len(new))
        for symbol in sorted(account.positions):
            _reduce(account, symbol, 1 - kept, Leg.CUT, Why.LIMIT, rate)
        share = account.cash / (1 + rate) / len(new)
        for symbol in new:
            _open(account, symbol, Order(1, math.nan, 0, 0.0), share, rate)
    for symbol, position in account.positions.items():
        if symbol in moves:
            position.value *= moves[symbol].after
