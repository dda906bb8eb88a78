"""The back-test's storage: gold.walk_forward and silver.bars → the three tables of the back-test.

Input: a version. Output: its back-test, and its rows in gold.backtest_equity, gold.backtest_trades and
gold.backtest_portfolio. Each run replaces the version's rows, one table after the other; portfolio is the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
from deltalake import write_deltalake

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import calendars, currencies
from financelake_assets.config import ModelSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.gold.paper.backtest import Backtest, backtest
from financelake_assets.gold.paper.orders import BAR_COLUMNS
from financelake_assets.gold.paper.schema import BACKTEST_EQUITY, BACKTEST_PORTFOLIO, BACKTEST_TRADES
from financelake_assets.model import registry, trials
from financelake_assets.model.champions import leading, newest_of
from financelake_assets.model.markets import Market
from financelake_assets.model.record import ModelRecord
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec, retried

_READ = tuple(dict.fromkeys((*BAR_COLUMNS, "asset_class", "high", "low", "volume", "imputed")))
"""The columns of silver.bars that the features and the executions need."""


class NoForecastsError(FinanceLakeError, LookupError):
    """There is nothing to back-test: no version, or no out-of-sample forecasts of it."""


def version_of(settings: Settings, name: str | None) -> ModelRecord:
    """A version by its name; without one, the champion of the settings' interval, or the one promoted last.

    Raises:
        NoForecastsError: there is no champion yet.
        UnknownVersionError: the version was never registered.
    """
    if name is not None:
        return registry.get(settings, name)
    champion = leading(registry.versions(settings), settings.model)
    if champion is None:
        raise _no_model()
    return champion


def newest(settings: Settings, market: Market) -> ModelRecord:
    """The version of a market that was trained last, whether it was promoted or not.

    Raises:
        NoForecastsError: no model of the market is trained yet.
    """
    known = newest_of(registry.versions(settings))
    if market not in known:
        raise _no_model()
    return known[market]


def make(settings: Settings, record: ModelRecord, log: Callable[[str], None], symbol: str | None = None) -> Backtest:
    """Back-test a version on the newest silver, by the rules of the settings.

    The strategy is noted in the trials ledger, because its result is looked at.

    Args:
        settings: the lake, and the rules for signals and positions.
        record: the version.
        log: called with each line of progress.
        symbol: trade this symbol alone, in an account of its own.

    Raises:
        NoForecastsError: no out-of-sample forecasts of the version, or of the symbol, are kept.
    """
    walk = registry.walk_of(settings, record.model_version)
    if walk.is_empty():
        raise NoForecastsError(
            f"no out-of-sample forecasts of {record.model_version} are kept: an earlier release trained it, or many "
            "versions are newer.",
            remedy="Name a newer version (`financelake model list`), or train one (`financelake train`).",
        )
    if symbol is not None:
        known = sorted(walk["symbol"].unique().to_list())
        walk = walk.filter(pl.col("symbol") == symbol)
        if walk.is_empty():
            raise NoForecastsError(
                f"{record.model_version} forecast no bar of {symbol!r} out of sample.",
                remedy=f"It knows {', '.join(known[:20])}{' …' if len(known) > 20 else ''}.",
            )
    near = (pl.col("interval") == record.interval) & pl.col("symbol").is_in(walk["symbol"].unique().to_list())
    bars = BARS.scan(settings).filter(near).select(_READ).collect()
    log(f"{len(walk)} forecasts of {record.model_version}, {len(bars)} bars")
    trained = ModelSettings.model_validate(record.parameters)
    trials.note(settings, trials.strategy_trial(trained, settings, made_with=record.made_with))
    tried = trials.tried(settings)
    universe = UNIVERSE.scan(settings).collect()
    told = calendars(universe), currencies(universe)
    return backtest(record.model_version, walk, bars, settings, *told, tried.count, tried.variance, log)


def keep(settings: Settings, made: Backtest) -> None:
    """Replace the version's rows in the three tables.

    Raises:
        CommitFailedError: another writer committed first at each attempt.
    """
    now = datetime.now(UTC)
    for table, rows in (
        (BACKTEST_EQUITY, made.equity),
        (BACKTEST_TRADES, made.trades),
        (BACKTEST_PORTFOLIO, made.statistics),
    ):
        stamped = rows.with_columns(
            model_version=pl.lit(made.model_version), computed_at=pl.lit(now, pl.Datetime("us", "UTC"))
        )
        _replace(settings, table, made.model_version, stamped)


def _no_model() -> NoForecastsError:
    return NoForecastsError("no model is trained yet.", remedy="Train one with `financelake train`.")


def _replace(settings: Settings, table: TableSpec, version: str, rows: pl.DataFrame) -> None:
    source = rows.select(table.schema.names).to_arrow().cast(table.schema)

    def write() -> None:
        opened = table.ensure(settings)
        if len(source):
            write_deltalake(opened, source, mode="overwrite", predicate=f"model_version = '{version}'")
        else:  # without rows there is nothing to overwrite with
            opened.delete(f"model_version = '{version}'")

    retried(write)
