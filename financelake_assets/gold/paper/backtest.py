"""The back-test: what a version forecast out of sample, traded by the signals' and the account's own code.

Input: a version's rows of gold.walk_forward, and the bars of silver. Output: the curve, the trades and the statistics
of each account, as in live trading, and what was covered. Nothing is fitted here: the forecasts are those that the
training judged, each of a forest that had learnt only labels known before its fold or refit. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from financelake_assets.calendars import TradingCalendar
from financelake_assets.config import Settings
from financelake_assets.gold.paper import performance
from financelake_assets.gold.paper.accounts import ACCOUNT, AccountKey, by_account, with_currency
from financelake_assets.gold.paper.engine import Book, Run, bars_a_year, complete_until, run
from financelake_assets.gold.paper.orders import BAR_COLUMNS, bars_with_orders
from financelake_assets.gold.paper.schema import EQUITY, TRADES
from financelake_assets.gold.scoring import BAR_KEY, signals_of
from financelake_assets.gold.signals import surprise
from financelake_assets.gold.verdicts import HoldReason
from financelake_assets.intervals import bar_length
from financelake_assets.model import cost_checks
from financelake_assets.model.cadence import Refits
from financelake_assets.model.costs import with_costs
from financelake_assets.model.features import features_of
from financelake_assets.model.outputs import COST
from financelake_assets.storage.delta import TableSpec

_STEPS_AT_ONCE = 2_000
_FORECAST = ("predicted_return", "probability_up", "volatility", "dissimilarity", "horizon")


@dataclass(frozen=True)
class Backtest:
    """The result for a version.

    ``equity`` and ``trades`` have the columns of gold.equity and gold.trades, ``statistics`` those of gold.portfolio.
    ``covered`` is what ``covered`` tells of each account, ``folds`` what ``folds`` tells of each forest.
    """

    model_version: str
    equity: pl.DataFrame
    trades: pl.DataFrame
    statistics: pl.DataFrame
    covered: list[dict[str, Any]]
    folds: list[dict[str, Any]]


def backtest(
    model_version: str,
    walk: pl.DataFrame,
    bars: pl.DataFrame,
    settings: Settings,
    calendars: Mapping[str, TradingCalendar],
    currencies: Mapping[str, str],
    trials: int,
    daily_variance: float,
    log: Callable[[str], None],
) -> Backtest:
    """Trade a version's out-of-sample forecasts in one account for each asset class and currency.

    Args:
        model_version: whose forecasts.
        walk: its rows of gold.walk_forward, at least one.
        bars: rows of silver.bars of the same interval and symbols, from the beginning.
        settings: the rules for signals and positions, as in live trading.
        calendars: by symbol, for symbols that have their own.
        currencies: by symbol, for symbols whose currency is told.
        trials: how many strategies were tried, see ``performance.statistics_of``.
        daily_variance: see there.
        log: called with each line of progress.
    """
    runs: dict[AccountKey, Run] = {}
    told = []
    for key, own in by_account(with_currency(walk, currencies)):
        traded = bars.filter(pl.col("symbol").is_in(own["symbol"].unique().to_list()))
        given = signals(own, traded, settings, calendars)
        runs[key] = trade(given, traded, settings, key, log)
        told.append(covered(key, own, given, traded, runs[key]))
    equity, trades = _rows(EQUITY, {key: one.equity for key, one in runs.items()}), _numbered(runs)
    statistics = performance.statistics_of(equity, trades, trials, daily_variance)
    return Backtest(model_version, equity, trades, statistics, told, folds(walk))


def signals(
    walk: pl.DataFrame, bars: pl.DataFrame, settings: Settings, calendars: Mapping[str, TradingCalendar]
) -> pl.DataFrame:
    """The signals of every bar of each symbol from its first forecast to its last.

    A bar between them that could not be scored has a HOLD, as in live trading. So has one whose refit is too old. A
    fold's own forest never is: it stands for those that a live lake would have made, see ``expired``.

    Args:
        walk: rows of gold.walk_forward of one account.
        bars: rows of silver.bars of its symbols.
        settings: the rules for signals, and the costs.
        calendars: see ``backtest``.

    Raises:
        PluginError: a rule or a cost cannot be used.
    """
    featured = with_costs(features_of(bars), cost_checks.in_use(settings)).with_columns(surprise=surprise())
    seen = featured.select(*BAR_KEY, "asset_class", "close", "surprise", COST)
    forecast = walk.select(*BAR_KEY, *_FORECAST, expired(walk, settings.model.max_age_days))
    given = signals_of(seen, forecast, settings, calendars, model_expired=pl.col("expired").fill_null(False))
    spans = walk.group_by("symbol", "interval").agg(
        _first=pl.col("event_time").min(), _last=pl.col("event_time").max(), _horizon=pl.col("horizon").first()
    )
    inside = (
        given.drop("close")
        .join(spans, on=["symbol", "interval"])
        .filter(pl.col("event_time").is_between("_first", "_last"))
    )
    return inside.with_columns(horizon=pl.coalesce("horizon", "_horizon")).drop(
        "_first", "_last", "_horizon", "expired"
    )


def expired(walk: pl.DataFrame, max_age_days: float) -> pl.Series:
    """Whether each forecast is of a refit that a live lake would not have used any more, because it was too old.

    A refit was made when the last bar before its first one had come: that is a horizon behind the newest label that it
    had learnt (labels are purged for so long). Its age is that at the end of the bar, when a live lake decides.

    Args:
        walk: rows of gold.walk_forward of one interval and horizon, at least one.
        max_age_days: the greatest age.
    """
    horizon: int = walk["horizon"][0]
    newest = pl.col("event_time") - horizon * bar_length(walk["interval"][0])
    too_old = newest - pl.col("learnt_until") > timedelta(days=max_age_days)
    return walk.select(expired=pl.col("refit").is_not_null() & too_old).to_series()


def trade(
    given: pl.DataFrame,
    bars: pl.DataFrame,
    settings: Settings,
    account: AccountKey,
    log: Callable[[str], None],
) -> Run:
    """Run the signals of one account through the paper portfolio, from cash on.

    Args:
        given: the result of ``signals``.
        bars: rows of silver.bars of its symbols.
        settings: the rules for positions.
        account: its key.
        log: called with a line of progress every few thousand steps.
    """
    times = given["event_time"].unique().sort().to_list()
    until = complete_until(dict(given.group_by("symbol").agg(pl.col("event_time").max()).iter_rows()), times)
    steps = [time for time in times if until is not None and time <= until]
    priced = bars.filter(pl.col("event_time") >= given["event_time"].min()).select(BAR_COLUMNS)
    ordered = bars_with_orders(given, priced, {})
    book, made = Book.begin(settings.portfolio.capital), Run([], [])
    a_year = bars_a_year(account.asset_class, account.interval)
    for first in range(0, len(steps), _STEPS_AT_ONCE):
        # several short runs give the same as one long run
        last = steps[min(first + _STEPS_AT_ONCE, len(steps)) - 1]
        part = run(book, ordered, settings.portfolio, a_year, until=last)
        made.equity.extend(part.equity)
        made.trades.extend(part.trades)
        log(f"{account.name}: {len(made.equity)} of {len(steps)} steps, until {last:%Y-%m-%d}")
    return made


def covered(
    account: AccountKey, walk: pl.DataFrame, given: pl.DataFrame, bars: pl.DataFrame, made: Run
) -> dict[str, Any]:
    """What an account's back-test covers, and what it does not.

    Returns:
        ``first`` and ``last`` step; ``steps``; ``symbols``; ``forecasts``, the bars that were forecast; ``unscored``,
        the bars between a symbol's first and last forecast that have none (HOLD); ``left_out``, the bars of silver
        before and after, which no forest judged out of sample; ``held_out``, the share of the forecasts on which
        nothing was chosen; ``expired``, the forecasts of a forest that was too old; ``learnt_at_first``, the latest
        label that the first forest had learnt.
    """
    times: list[datetime] = [row["event_time"] for row in made.equity]
    return {
        **account._asdict(),
        "first": times[0] if times else None,
        "last": times[-1] if times else None,
        "steps": len(times),
        "symbols": sorted(walk["symbol"].unique().to_list()),
        "forecasts": len(walk),
        "unscored": len(given) - len(walk),
        "left_out": len(bars) - len(given),
        "expired": given["reason"].eq(HoldReason.MODEL_EXPIRED.value).sum(),
        "held_out": float(walk["held_out"].fill_null(False).mean()),  # type: ignore[arg-type]
        "learnt_at_first": walk["learnt_until"].min(),
    }


def folds(walk: pl.DataFrame) -> list[dict[str, Any]]:
    """The walk-forward's forests: fold, refit, first and last bar, rows, and until when each had learnt."""
    by_forest = walk.group_by("fold", "refit").agg(
        start=pl.col("event_time").min(),
        end=pl.col("event_time").max(),
        learnt_until=pl.col("learnt_until").max(),
        rows=pl.len(),
    )
    return by_forest.sort("fold", "start").to_dicts()


def notes(made: Backtest, trains_after_days: float) -> list[str]:
    """What the result is not, in words.

    Args:
        made: the back-test.
        trains_after_days: age of the newest model at which the lake trains the next.
    """
    left_out = sum(one["left_out"] for one in made.covered)
    held_out = sum(one["held_out"] * one["forecasts"] for one in made.covered)
    share = held_out / max(1, sum(one["forecasts"] for one in made.covered))
    return [
        f"Refits: {_refitted(made, trains_after_days)}",
        f"Left out: {left_out} bars before the second fold or after the last outcome, which no forest forecast out of "
        "sample and calibrated.",
        f"Held out: nothing was chosen on {share:.0%} of the forecasts; settings were chosen on bars like the others.",
        *_ruined(made.equity),
        *_too_old(made.covered),
    ]


def _refitted(made: Backtest, trains_after_days: float) -> str:
    """How often the forests were fitted again, beside how often a live lake does it."""
    told = []
    newest = [fold for fold in made.folds if fold["refit"] is not None]
    if newest:
        since, until = min(fold["start"] for fold in newest), max(fold["end"] for fold in newest)
        told.append(f"{Refits(len(newest), since, until).sentence}.")
    own = [fold for fold in made.folds if fold["refit"] is None]
    if own:
        days = [(fold["end"] - fold["start"]).days for fold in own]
        told.append(
            f"{len(own)}{' before them' if newest else ''}, one a fold of {min(days)} to {max(days)} days. "
            f"A live lake trains again after {trains_after_days:g} days at the latest, so the forests of these folds "
            "are older than those that it would have used."
        )
    return " ".join(told)


def _too_old(told: list[dict[str, Any]]) -> list[str]:
    """How many forecasts were of a forest that was too old, as in a lake whose market paused."""
    late = sum(one["expired"] for one in told)
    return [f"Too old: the forests of {late} forecasts, whose bars were HOLD (model_expired)."] if late else []


def _ruined(equity: pl.DataFrame) -> list[str]:
    """Which buy-and-hold had nothing left: its yearly figures end there, and its total return does not."""
    return [
        f"Buy and hold of {account.name} was worth nothing, or less, on {rows['event_time'][0]:%Y-%m-%d}, at a price "
        "below zero: its yearly figures end there."
        for account, rows in by_account(equity.filter(pl.col("buy_and_hold") <= 0))
    ]


def _numbered(runs: Mapping[AccountKey, Run]) -> pl.DataFrame:
    trades = _rows(TRADES, {key: one.trades for key, one in runs.items()})
    number = pl.int_range(pl.len(), dtype=pl.Int32).over(*ACCOUNT, "event_time")
    return trades.with_columns(number=number)


def _rows(table: TableSpec, parts: Mapping[AccountKey, list[dict[str, Any]]]) -> pl.DataFrame:
    empty = table.empty
    named = [{**dict.fromkeys(empty.columns), **row, **key._asdict()} for key, rows in parts.items() for row in rows]
    return pl.DataFrame(named, schema=empty.schema)
