"""Tuning: the bars of a market → the settings of the forest that predict best inside its training period.

Input: a lake, a market, and how many trials are wanted. Output: the state at the search's end. What is found is no
version yet: the same training as any other makes one of it, and judges it on the holdout, which no trial has seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

from deltalake.exceptions import DeltaError
from pyspark.sql import SparkSession

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model import other_reading, other_series, search, search_space, search_walk
from financelake_assets.model.costs import Costs
from financelake_assets.model.markets import Market
from financelake_assets.model.search import Pinned, Search, Tell
from financelake_assets.model.search_state import SearchState
from financelake_assets.model.search_walk import Made, Period
from financelake_assets.model.training_rows import Bars, read_bars
from financelake_assets.plugins import installed
from financelake_assets.silver.schema import BARS


@dataclass(frozen=True)
class Order:
    """What is asked of a search: so many trials in all, of these bars where it begins, and by which run of Dagster.

    A ``fresh`` one forgets the trials of the search before.
    """

    trials: int
    silver_version: int
    fresh: bool = False
    run: str = ""


def tune(
    session: SparkSession, settings: Settings, market: Market, own: ModelSettings, order: Order, tell: Tell
) -> SearchState:
    """Search until there are as many trials as wanted; what was judged before counts.

    Args:
        session: a session of the Spark server.
        settings: the lake.
        market: of the search.
        own: the lake's settings for it.
        order: what is asked.
        tell: called with how far the search is, after each fold and each trial.

    Raises:
        FinanceLakeError: another process searches, the search was begun with other settings, its bars are gone, or a
            model of the user's own learns the market.
        PluginError: a plug-in fails, or knows what was not known.
        NotEnoughHistoryError: there are too few bars before the holdout.
    """
    search_space.refuse_plugged(own)
    skipped = settings.skipped_plugins
    plugins = other_series.usable(installed.features(skipped), market.interval)
    made = Made(plugins, Costs.of(settings), installed.label(skipped))
    strategy = search.strategy_of(own, settings, made.made_with)
    with search.opened(settings, market, fresh=order.fresh) as study:
        found = search.pinned(study)
        if found is not None:
            search.refuse_other(found, strategy, market)
        version = order.silver_version if found is None else found.silver_version

        @cache
        def read() -> tuple[Bars, Made]:
            return _read(session, settings, version, market, made)

        def starts() -> dict[str, datetime]:
            bars, whole = read()
            return search_walk.holdout_starts(session, bars, own, whole)

        until = starts() if found is None else found.until

        @cache
        def period() -> Period:
            bars, whole = read()
            return search_walk.training_period(session, bars, own, whole, until)

        if found is None:
            begun = datetime.now(UTC).isoformat()
            found = search.pin(study, Pinned(version, until, period().days, strategy, begun))
        state = SearchState(
            market.name, "runs", order.trials, version, found.begun_at, datetime.now(UTC).isoformat(), order.run
        )
        searching = Search(settings, study, own, found.days, made.made_with, state, tell)
        if not searching.has_all:
            period()  # before the first trial is timed
        return searching.run(lambda candidate: search_walk.walk(period(), candidate))


def _read(session: SparkSession, settings: Settings, version: int, market: Market, made: Made) -> tuple[Bars, Made]:
    """The market's bars at a version of silver, and those of the other series that features ask for."""
    try:
        others = other_reading.of_lake(settings, BARS.scan(settings, version), made.plugins, market.interval)
        return read_bars(session, settings, version, market), replace(made, others=others)
    except DeltaError as error:
        raise FinanceLakeError(
            f"silver/bars no longer has its version {version}, which the search of {market.name} was begun with.",
            remedy=f"`financelake tune --market {market.name} --fresh` begins another one.",
        ) from error
