"""Luck: paths that hold what the signals hold, in directions by lot."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from financelake_assets.config import PortfolioSettings
from financelake_assets.gold.paper import luck
from financelake_assets.gold.paper.engine import Bar, Book, run
from financelake_assets_tests.gold.test_portfolio import FREE, bar, markets, play


def test_paths_that_all_take_the_signals_side_earn_what_the_signals_earn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luck, "directions", lambda *position: np.ones(position[-1]))
    for seed in range(5):
        book, bars = Book.begin(100_000), noise(40, seed, cost_bps=5.0)
        done = run(book, bars, PortfolioSettings(kill_switch_drawdown=1), 252)
        np.testing.assert_allclose(book.luck.equity, done.equity[-1]["equity"], rtol=1e-9)
        assert done.equity[-1]["luck_p"] == 1.0


def test_a_direction_is_kept_for_as_long_as_a_position_is_held() -> None:
    prices = [bar(0, 100.0, "BUY", horizon=3), *(bar(day, 100.0 * 1.1**day, horizon=3) for day in range(1, 6))]
    book = Book.begin(100_000)
    play(prices, book=book)
    # of one position there are two outcomes alone: what it gained, and what it would have lost
    assert len(np.unique(book.luck.equity.round(6))) == 2
    turned = Book.begin(100_000)
    play([bar(day, 100.0 * 1.1**day, "BUY" if day % 2 else "SELL") for day in range(4)], book=turned)
    # of two positions: both gained, one of them did, or none
    assert len(np.unique(turned.luck.equity.round(6))) == 3


def test_costs_are_paid_in_every_path() -> None:
    book = Book.begin(100_000)
    play([bar(day, 100.0, "BUY" if day == 0 else "HOLD", cost_bps=10.0) for day in range(4)], book=book)
    np.testing.assert_allclose(book.luck.equity, 100_000 - 2 * 50_000 * 0.001, rtol=1e-6)


@given(markets(), st.sets(st.integers(0, 24), max_size=3))
def test_many_runs_give_the_paths_of_one_run(bars: list[Bar], cuts: set[int]) -> None:
    whole, parts = Book.begin(100_000), Book.begin(100_000)
    run(whole, bars, FREE, 252)
    times = sorted({one.event_time for one in bars})
    for until in [*(times[cut] for cut in sorted(cuts) if cut < len(times)), *times[-1:]]:
        run(parts, bars, FREE, 252, until=until)
        parts = Book.parse(parts.dump())
    np.testing.assert_array_equal(parts.luck.equity, whole.luck.equity)


def test_a_book_of_an_earlier_release_begins_its_paths_where_it_stands() -> None:
    book = Book.begin(100_000)
    play([bar(0, 100.0, "BUY"), bar(1, 100.0), bar(2, 110.0)], book=book)
    stored = json.loads(book.dump())
    del stored["luck"]
    old = Book.parse(json.dumps(stored))
    assert set(old.luck.equity) == {old.signals.equity}


def test_the_signals_count_as_one_of_the_paths() -> None:
    paths = luck.Luck(np.arange(1.0, 1001.0))
    assert paths.p(2_000.0) == 1 / 1001
    assert paths.p(1_000.0) == 2 / 1001
    assert paths.p(0.0) == 1.0
    assert paths.band == pytest.approx(tuple(np.quantile(np.arange(1, 1001), [0.05, 0.95])))


def test_lots_are_fair_and_do_not_depend_on_each_other() -> None:
    drawn = np.array([luck.directions(7, "AAPL", str(day)) for day in range(200)])
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    assert abs(drawn.mean()) < 3 / np.sqrt(drawn.size)
    assert stats.kstest(drawn.mean(axis=1) * np.sqrt(1000), "norm").pvalue > 0.01


# -- size and power on simulated markets ---------------------------------------------------------------------


def noise(days: int, seed: int, foresight: float = 0.0, cost_bps: float = 0.0) -> list[Bar]:
    """A symbol whose signals know a part of the next day's move; none of it unless there is foresight."""
    random = np.random.default_rng(seed)
    moves = random.standard_normal(days + 2) * 0.01
    opens = 100 * np.exp(np.cumsum(moves))
    told = foresight * moves[2:] + (1 - foresight) * random.standard_normal(days) * 0.01
    return [
        bar(day, float(opens[day]), "BUY" if told[day] > 0 else "SELL", opened=float(opens[day]), cost_bps=cost_bps)
        for day in range(days)
    ]


def p_values(markets: int, foresight: float) -> list[float]:
    found = []
    for seed in range(markets):
        book = Book.begin(100_000)
        rows = run(book, noise(60, seed, foresight), FREE, 252, seed=seed).equity
        found.append(float(rows[-1]["luck_p"]))
    return found


def test_signals_that_know_nothing_are_taken_for_good_as_rarely_as_stated() -> None:
    found = p_values(200, foresight=0.0)
    assert np.mean([p <= 0.05 for p in found]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert stats.kstest(found, "uniform").pvalue > 0.001


def test_signals_that_know_something_are_told_from_luck() -> None:
    assert np.mean([p <= 0.05 for p in p_values(40, foresight=0.6)]) > 0.8
