"""Each trade once, whatever order, repetition and loss: the bookkeeping of trades' numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.providers.exchanges.trade_ids import UNKNOWN, Hole, Trade, TradeIds


def trade(number: int, time: int | None = None) -> Trade:
    return Trade("BTC/USD", number, number * 10 if time is None else time, 100.0, 1.0)


def numbers(taken: list[Trade]) -> list[int]:
    return [one.id for one in taken]


def test_trades_in_order_are_all_new_and_leave_no_hole() -> None:
    ids = TradeIds()
    assert numbers(ids.take(map(trade, (7, 8, 9)))) == [7, 8, 9]
    assert (ids.newest, ids.holes) == (9, [])
    assert ids.take(map(trade, (8, 9))) == []


def test_a_jump_leaves_a_hole_that_later_trades_fill() -> None:
    ids = TradeIds()
    ids.take(map(trade, (7, 12)))
    assert ids.holes == [Hole(7, 12, 70)]
    assert numbers(ids.take(map(trade, (9,)))) == [9]
    assert ids.holes == [Hole(7, 9, 70), Hole(9, 12, 90)]
    assert numbers(ids.take(map(trade, (8, 9, 10, 11)))) == [8, 10, 11]
    assert ids.holes == []


def test_what_is_first_followed_goes_back_to_the_time_from_which_it_is_wanted() -> None:
    ids = TradeIds(opening=80)
    assert ids.take([trade(5, 79)]) == []
    assert numbers(ids.take([trade(20)])) == [20]
    assert ids.holes == [Hole(UNKNOWN, 20, 80)]
    assert numbers(ids.take(map(trade, (6, 7, 18, 19)))) == [18, 19]
    assert ids.holes == [Hole(UNKNOWN, 18, 80)]
    ids.settle(Hole(UNKNOWN, 20, 80))
    assert ids.holes == []
    assert ids.take([trade(17)]) == []


def test_a_trade_that_the_exchange_speaks_of_and_that_did_not_come_is_missing() -> None:
    ids = TradeIds()
    ids.expect(5)
    assert ids.holes == []
    ids.take([trade(7)])
    ids.expect(7)
    ids.expect(9)
    assert (ids.newest, ids.holes) == (9, [Hole(7, 10, 70)])
    assert numbers(ids.take(map(trade, (9, 10)))) == [9, 10]


@given(
    st.lists(st.lists(st.integers(100, 160), max_size=15), max_size=12),
    st.one_of(st.none(), st.integers(1_000, 1_700)),
    st.integers(0, 12),
)
def test_each_trade_comes_once_and_holes_are_what_did_not(
    batches: list[list[int]], opening: int | None, cut: int
) -> None:
    ids, seen = TradeIds(opening), list[int]()
    for place, batch in enumerate(batches):
        if place == cut:
            ids = TradeIds.from_dict(ids.as_dict())
        seen += numbers(ids.take(map(trade, batch)))
    assert len(seen) == len(set(seen))
    if ids.newest is None:
        return
    # what is still missing is asked for, all of it and nothing else; then nothing is
    lowest = min(seen)
    everything = range(-(-opening // 10) if opening is not None else lowest, ids.newest + 1)
    missing = set(everything) - set(seen)
    in_holes = {
        number for hole in ids.holes for number in everything if hole.after < number < hole.before and number >= 0
    }
    assert missing == in_holes if opening is not None else missing >= in_holes
    filled = ids.take(map(trade, sorted(missing)))
    assert sorted({*seen, *numbers(filled)}) == (
        list(everything) if opening is not None else sorted({*seen, *in_holes})
    )
