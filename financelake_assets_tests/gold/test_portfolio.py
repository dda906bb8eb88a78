"""The paper portfolio: executed as a person with paper and pencil would, in one run or in many."""

import math
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.config import PortfolioSettings
from financelake_assets.gold.paper.account import Leg, Why
from financelake_assets.gold.paper.engine import Bar, Book, Run, bars_a_year, complete_until, run
from financelake_assets_tests.gold.frames import day

FREE = PortfolioSettings(slippage_bps=0, target_volatility=100, max_position=0.5, kill_switch_drawdown=1)
"""Half of the account in each position, no costs but the signals', no kill switch."""


def bar(
    number: int,
    close: float,
    signal: str = "HOLD",
    symbol: str = "AAPL",
    *,
    opened: float | None = None,
    adjusted: float | None = None,
    volatility: float | None = 0.02,
    horizon: int = 1,
    cost_bps: float = 0.0,
) -> Bar:
    at = close if opened is None else opened
    return Bar(symbol, day(number), at, close, adjusted, signal, volatility, horizon, cost_bps)


def play(bars: list[Bar], rules: PortfolioSettings = FREE, book: Book | None = None) -> Run:
    ordered = sorted(bars, key=lambda one: (one.event_time, one.symbol))
    return run(book or Book.begin(rules.capital), ordered, rules, 252)


def equities(done: Run) -> list[float]:
    return [row["equity"] for row in done.equity]


def test_a_signal_is_executed_at_the_next_open_and_ends_with_its_horizon():
    done = play(
        [
            bar(0, 100.0, "BUY"),
            bar(1, 110.0, opened=105.0),  # bought at 105
            bar(2, 90.0, opened=115.5),  # sold at 115.5, so the fall is not ours
            bar(3, 80.0),
        ]
    )
    assert equities(done) == pytest.approx([100_000, 100_000 + 50_000 * 5 / 105, 105_000, 105_000])
    assert [(trade["leg"], trade["why"], trade["event_time"]) for trade in done.trades] == [
        (Leg.OPEN, Why.SIGNAL, day(1)),
        (Leg.CLOSE, Why.EXPIRED, day(2)),
    ]
    assert done.trades[1]["profit"] == pytest.approx(5_000)
    assert done.trades[1]["value"] == pytest.approx(-55_000)
    assert [row["exposure"] > 0 for row in done.equity] == [False, True, False, False]


def test_where_there_is_no_open_the_close_is_the_price():
    done = play([bar(0, 100.0, "BUY"), bar(1, 150.0), bar(2, 165.0)])
    assert equities(done) == pytest.approx([100_000, 100_000, 105_000])


def test_selling_short_gains_when_the_price_falls():
    prices = [bar(0, 100.0, "SELL"), bar(1, 100.0), bar(2, 90.0)]
    assert equities(play(prices))[-1] == pytest.approx(105_000)
    without = play(prices, FREE.model_copy(update={"short": False}))
    assert equities(without)[-1] == 100_000
    assert without.trades == []


def test_a_renewed_signal_keeps_the_position_and_an_opposite_one_turns_it():
    done = play([bar(n, 100.0, signal) for n, signal in enumerate(["BUY", "BUY", "BUY", "SELL", "HOLD", "HOLD"])])
    assert [(trade["event_time"], trade["leg"], math.copysign(1, trade["value"])) for trade in done.trades] == [
        (day(1), Leg.OPEN, 1),
        (day(4), Leg.CLOSE, -1),
        (day(4), Leg.OPEN, -1),
        (day(5), Leg.CLOSE, 1),
    ]


def test_a_position_is_held_for_its_horizon_and_the_least_number_of_bars():
    signals = ["BUY", "SELL", "HOLD", "HOLD", "HOLD", "HOLD"]
    long = play([bar(n, 100.0, s, horizon=3) for n, s in enumerate(["BUY", *["HOLD"] * 5])])
    assert [trade["event_time"] for trade in long.trades] == [day(1), day(4)]
    held = play([bar(n, 100.0, s) for n, s in enumerate(signals)], FREE.model_copy(update={"min_holding_bars": 3}))
    assert [(trade["event_time"], trade["why"]) for trade in held.trades] == [
        (day(1), Why.SIGNAL),
        (day(4), Why.EXPIRED),
    ]


def test_costs_and_slippage_are_paid_both_ways():
    rules = FREE.model_copy(update={"slippage_bps": 3.0})
    done = play([bar(0, 100.0, "BUY", cost_bps=7.0), *[bar(n, 100.0, cost_bps=7.0) for n in (1, 2)]], rules)
    assert [trade["cost"] for trade in done.trades] == pytest.approx([50.0, 50.0])
    assert done.trades[1]["profit"] == pytest.approx(-100.0)
    assert equities(done)[-1] == pytest.approx(100_000 - 100)
    assert done.equity[1]["turnover"] == pytest.approx(0.5)


def test_size_follows_volatility_up_to_the_limits():
    rules = PortfolioSettings(target_volatility=0.1, max_position=0.4, max_exposure=1.0, slippage_bps=0)
    wild, calm = 0.4 / math.sqrt(252), 0.01 / math.sqrt(252)
    one = play([bar(0, 1.0, "BUY", volatility=wild), bar(1, 1.0)], rules)
    assert one.equity[1]["exposure"] == pytest.approx(0.25)
    many = [bar(n, 1.0, "BUY", symbol, volatility=calm) for symbol in "ABCD" for n in (0, 1)]
    full = play(many, rules)
    assert full.equity[1]["exposure"] == pytest.approx(1.0)
    assert [trade["value"] for trade in full.trades] == pytest.approx([25_000] * 4)
    assert play([bar(0, 1.0, "BUY", volatility=None), bar(1, 1.0)], rules).trades == []


def test_a_position_that_outgrows_its_limit_is_cut_back():
    done = play([bar(n, 100.0 * 1.5**n, "BUY") for n in range(4)])
    cut = [trade for trade in done.trades if trade["leg"] is Leg.CUT]
    assert cut
    assert cut[0]["why"] is Why.LIMIT
    assert all(row["exposure"] <= 0.5 * 1.1 + 1e-9 for row in done.equity)


def test_the_kill_switch_closes_everything_and_waits():
    rules = FREE.model_copy(update={"kill_switch_drawdown": 0.1, "kill_switch_bars": 3})
    prices = [100.0, 100.0, 75.0, 75.0, 75.0, 75.0, 75.0, 75.0]
    done = play([bar(n, price, "BUY") for n, price in enumerate(prices)], rules)
    assert [row["halted"] for row in done.equity] == [False, False, True, True, True, False, False, False]
    assert [(trade["event_time"], trade["why"]) for trade in done.trades] == [
        (day(1), Why.SIGNAL),
        (day(3), Why.KILL_SWITCH),
        (day(6), Why.SIGNAL),
    ]
    # the drawdown is from the highest equity, whatever the switch does
    assert done.equity[5]["drawdown"] == pytest.approx(0.125)


def test_the_kill_switch_does_not_allow_the_same_loss_again_and_again():
    """A market that falls by a tenth each day: the account bets half of itself each time that it may."""
    rules = FREE.model_copy(update={"kill_switch_drawdown": 0.2, "kill_switch_bars": 2})
    done = play([bar(n, 1_000 * 0.9**n, "BUY") for n in range(400)], rules)
    assert done.equity[-1]["equity"] > 100_000 * (1 - 2 * 0.2) * 0.9
    # at a new highest equity the whole loss is allowed again
    up = play([bar(n, 1_000 * (0.9**n if n < 6 else 0.9**12 * 1.1**n), "BUY") for n in range(200)], rules)
    again = [row["equity"] for row in up.equity]
    assert again[-1] > 1_000_000
    assert not up.equity[-1]["halted"]


def test_a_symbol_without_bars_is_closed_when_the_kill_switch_has_waited_long_enough():
    rules = FREE.model_copy(update={"kill_switch_drawdown": 0.1, "kill_switch_bars": 3})
    gone = [bar(n, 100.0, "BUY", "GONE", cost_bps=10.0) for n in range(3)]
    fallen = [bar(n, price, "BUY") for n, price in enumerate([100.0, 100.0, 75.0, 75.0, 75.0, 75.0, 75.0, 75.0])]
    done = play([*gone, *fallen], rules)
    closed = [(trade["symbol"], trade["event_time"]) for trade in done.trades if trade["why"] is Why.KILL_SWITCH]
    assert closed == [("AAPL", day(3)), ("GONE", day(5))]
    last = next(trade for trade in done.trades if trade["symbol"] == "GONE" and trade["leg"] is Leg.CLOSE)
    assert last["cost"] == pytest.approx(abs(last["value"]) * 0.001)


def test_a_symbol_that_is_no_longer_traded_is_closed_at_its_last_price():
    rules = FREE.model_copy(update={"absent_steps": 4})
    gone = [bar(0, 50.0, "BUY", "GONE"), bar(1, 50.0, "BUY", "GONE"), bar(2, 60.0, "BUY", "GONE")]
    done = play([*gone, *[bar(n, 9.0) for n in range(12)]], rules)
    assert [(trade["why"], trade["event_time"]) for trade in done.trades] == [
        (Why.SIGNAL, day(1)),
        (Why.ABSENT, day(6)),
    ]
    assert done.trades[-1]["profit"] == pytest.approx(10_000)
    assert done.equity[-1]["positions"] == 0
    # one that is back in time is only late
    back = play([*gone, *[bar(n, 52.0, symbol="GONE") for n in (5, 6)], *[bar(n, 9.0) for n in range(7)]], rules)
    assert [trade["why"] for trade in back.trades] == [Why.SIGNAL, Why.EXPIRED]


def test_what_is_cut_back_pays_the_costs_of_its_market_too():
    rules = FREE.model_copy(update={"slippage_bps": 1.0})
    prices = [100.0, 100.0, 150.0, 200.0]
    done = play([bar(n, price, "BUY", cost_bps=9.0) for n, price in enumerate(prices)], rules)
    cuts = [trade for trade in done.trades if trade["leg"] is Leg.CUT]
    assert cuts
    assert all(cut["cost"] == pytest.approx(abs(cut["value"]) * 10 / 10_000) for cut in cuts)


def test_a_split_is_neither_gain_nor_loss():
    done = play([bar(0, 100.0, "BUY", adjusted=50.0), bar(1, 100.0, adjusted=50.0), bar(2, 50.0, adjusted=50.0)])
    assert equities(done) == pytest.approx([100_000] * 3)


def test_a_split_that_nothing_is_adjusted_for_is_neither_gain_nor_loss():
    done = play([bar(0, 100.0, "BUY"), bar(1, 100.0), bar(2, 14.0, opened=14.0)._replace(split=7.0)])
    assert equities(done) == pytest.approx([100_000, 100_000, 100_000 - 50_000 * 0.02])


def test_a_negative_price_is_a_loss_of_more_than_all_and_ends_the_account():
    prices = [18.0, 18.0, -36.0, 9.0, 9.0]
    done = play([bar(n, price, "BUY") for n, price in enumerate(prices)])
    assert equities(done)[2] == pytest.approx(100_000 - 150_000)
    assert [(trade["leg"], trade["event_time"]) for trade in done.trades] == [(Leg.OPEN, day(1)), (Leg.CLOSE, day(2))]
    assert equities(done)[-1] == equities(done)[2]


def test_a_long_position_at_a_negative_price_is_still_long_and_nothing_is_bought_at_it():
    rules = FREE.model_copy(update={"max_position": 0.2})
    prices = [18.0, 18.0, -18.0, 18.0, 18.0]
    done = play([bar(n, price, "BUY") for n, price in enumerate(prices)], rules)
    # cut back from 20,000 to its limit at -18, a fifth of 60,000: what is left gains 24,000 at 18
    assert equities(done) == pytest.approx([100_000, 100_000, 60_000, 84_000, 84_000])
    assert [trade["leg"] for trade in done.trades][:2] == [Leg.OPEN, Leg.CUT]
    assert play([bar(0, 5.0, "BUY"), bar(1, -5.0), bar(2, -6.0)]).trades == []


def test_a_symbol_without_a_bar_keeps_its_price():
    done = play([bar(0, 100.0, "BUY"), bar(1, 100.0), bar(4, 120.0), *[bar(n, 9.0, symbol="IBM") for n in range(5)]])
    assert equities(done) == pytest.approx([100_000] * 4 + [110_000])


# -- comparisons -----------------------------------------------------------------------------------------


def test_buy_and_hold_gives_each_symbol_an_equal_share_when_it_joins():
    bars = [bar(n, 100.0 if n < 2 else 120.0) for n in range(4)]
    bars += [bar(n, 50.0 if n < 3 else 75.0, symbol="FB") for n in (1, 2, 3)]
    hold = [row["buy_and_hold"] for row in play(bars).equity]
    # all in AAPL from the second bar; at the third half of it goes to FB
    assert hold == pytest.approx([100_000, 100_000, 120_000, 60_000 + 90_000])


def test_the_control_trades_when_the_signals_do():
    bars = [bar(n, 100.0 + n % 7, "BUY" if n % 2 else "HOLD") for n in range(60)]
    done, again = play(bars), play(bars)
    other = run(Book.begin(100_000.0), bars, FREE, 252, seed=1)
    assert [row["random"] for row in done.equity] == [row["random"] for row in again.equity]
    assert [row["random"] for row in done.equity] != [row["random"] for row in other.equity]
    assert equities(done) == equities(other)
    quiet = play([bar(n, 100.0 + n) for n in range(9)])
    assert {row["random"] for row in quiet.equity} == {100_000.0}


# -- properties ------------------------------------------------------------------------------------------


@st.composite
def markets(draw: st.DrawFn) -> list[Bar]:
    days = draw(st.integers(2, 25))
    bars = []
    for symbol in ("A", "B", "C"):
        close = 100.0
        for number in range(days):
            opened = close * draw(st.sampled_from([0.97, 1.0, 1.02]))
            close = opened * draw(st.sampled_from([0.9, 0.98, 1.0, 1.03, 1.12]))
            if draw(st.integers(0, 9)):
                signal = draw(st.sampled_from(["BUY", "SELL", "HOLD"]))
                bars.append(bar(number, close, signal, symbol, opened=opened, volatility=0.01, cost_bps=4.0))
    return sorted(bars, key=lambda one: (one.event_time, one.symbol))


RULES = PortfolioSettings(kill_switch_drawdown=0.08, kill_switch_bars=4, min_holding_bars=2)


@given(markets(), st.sets(st.integers(0, 24), max_size=5))
def test_many_runs_give_what_one_run_gives(bars: list[Bar], cuts: set[int]):
    whole_book, book = Book.begin(RULES.capital), Book.begin(RULES.capital)
    whole = run(whole_book, bars, RULES, 252)
    equity, trades = [], []
    for cut in [*sorted(cuts), 99]:
        part = run(book, bars, RULES, 252, until=day(cut))
        book = Book.parse(book.dump())
        equity += part.equity
        trades += part.trades
    assert equity == whole.equity
    assert trades == whole.trades
    assert book.dump() == whole_book.dump()


@given(markets())
def test_money_is_neither_made_nor_lost_on_the_way(bars: list[Bar]):
    book = Book.begin(RULES.capital)
    done = run(book, bars, RULES, 252)
    account = book.signals
    open_profit = sum(one.value - one.basis - one.cost for one in account.positions.values())
    assert account.equity == pytest.approx(RULES.capital + sum(trade["profit"] for trade in done.trades) + open_profit)
    assert account.equity == pytest.approx(account.cash + sum(one.value for one in account.positions.values()))


@given(markets(), st.integers(1, 24))
def test_what_comes_later_changes_nothing_before(bars: list[Bar], cut: int):
    early = [one for one in bars if one.event_time < day(cut)]
    changed = [one._replace(close=one.close * 3, signal="SELL") for one in bars if one.event_time >= day(cut)]
    one, other = play(early, RULES), play([*early, *changed], RULES)
    assert other.equity[: len(one.equity)] == one.equity


@given(markets())
def test_limits_hold_whenever_something_is_opened(bars: list[Bar]):
    rules = PortfolioSettings(max_position=0.3, max_exposure=0.7, target_volatility=9, slippage_bps=0)
    done = play(bars, rules)
    opened = {trade["event_time"] for trade in done.trades if trade["leg"] is Leg.OPEN}
    for row in done.equity:
        if row["event_time"] in opened:
            # up to the close a position may drift, at most by the largest move of a bar
            assert row["exposure"] <= 0.7 * 1.1 * 1.4
    assert all(abs(trade["value"]) <= 0.3 * 400_000 for trade in done.trades if trade["leg"] is Leg.OPEN)


# -- the clock -------------------------------------------------------------------------------------------


def test_a_step_waits_for_symbols_that_are_a_little_behind():
    times = [day(n) for n in range(10)]
    newest = {"A": day(9), "B": day(7)}
    assert complete_until(newest, times) == day(7)
    assert complete_until({**newest, "DEAD": day(1)}, times) == day(7)
    assert complete_until(newest, times, patience=1) == day(9)
    assert complete_until({}, []) is None


def test_years_have_the_bars_of_their_market():
    assert bars_a_year("stock", "1d") == 252
    assert bars_a_year("crypto", "1d") == 365
    assert bars_a_year("crypto", "4h") == 365 * 6
    assert bars_a_year("stock", "1m") == 252 * 390
    assert bars_a_year("commodity", "1w") == 52


def test_a_book_survives_being_written_down():
    book = Book.begin(100_000.0)
    run(book, [bar(0, 1.0, "BUY", volatility=None), bar(1, 2.0, "SELL"), bar(2, 1.5)], RULES, 252)
    again = Book.parse(book.dump())
    assert again.dump() == book.dump()
    assert isinstance(again.time, datetime)
