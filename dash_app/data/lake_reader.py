"""The page's view of the lake: the newest versions of its tables, read by one background thread.

Input: settings. Output: a ``Snapshot`` that never changes, so that everything on a page is from one moment and all
visitors share one copy. No request waits for a disk or for Spark.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

import polars as pl

from dash_app.data.cached_tables import CachedTable, TableView
from dash_app.data.feed_view import FeedView, read_feed
from dash_app.data.inventory import Inventory, Stocktaker
from dash_app.data.lag import BrokerWatcher
from dash_app.preferences import chosen
from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.calendars import BY_CLASS, UnknownCalendarError, trading_calendar
from financelake_assets.config import ModelSettings, Settings
from financelake_assets.gold.paper.accounts import ACCOUNT
from financelake_assets.gold.paper.schema import BACKTEST_PORTFOLIO, EQUITY, PORTFOLIO, POSITIONS, TRADES
from financelake_assets.gold.schema import CALIBRATION, PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.intervals import SERIES
from financelake_assets.model import search_state, standstill
from financelake_assets.model.markets import FURTHER
from financelake_assets.model.schema import BASELINE_METRICS, MODEL_METRICS, MODELS
from financelake_assets.seldom import Seldom
from financelake_assets.silver import lateness
from financelake_assets.silver.schema import BARS, FINDINGS, QUARANTINE
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.log_events import LogEvents

T = TypeVar("T")

_log = logging.getLogger(__name__)

KEPT_BARS = 1_000
"""Bars of a series in memory; ``history.py`` reads older ones when a visitor asks for them."""
KEPT_SYMBOLS = 100_000
KEPT_QUARANTINE = 5_000
_LOOK_SECONDS = 0.25  # the system tells of a commit at once; other things and other file systems are looked at
_LOOK_STORE_SECONDS = 1.0
_SETTLED_SECONDS = 0.05
_MOST_LOOKS = 5
_OVERDUE_FOR = timedelta(seconds=1)
_KEPT_SNAPSHOTS = 4
"""How many recent snapshots are kept: a page requests its parts one by one. Snapshots share most of their rows."""
KEPT_STEPS = KEPT_TRADES = 2_000
FURTHER_PREDICTIONS = f"{PREDICTIONS.full_name} of further horizons"
"""The rows of a table that the page keeps beside those of its name."""
_KEPT_FURTHER = 50
_NO_TABLE = TableView()
_NO_FINDINGS, _NO_SYMBOLS, _NO_BASELINES, _NO_BACKTEST, _NO_PREDICTIONS = (
    TableView(empty=spec.empty) for spec in (FINDINGS, UNIVERSE, BASELINE_METRICS, BACKTEST_PORTFOLIO, PREDICTIONS)
)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The lake at one moment."""

    tables: Mapping[str, TableView] = field(default_factory=dict)
    feed: FeedView = field(default_factory=FeedView)
    inventory: Inventory = field(default_factory=Inventory)
    loaded: bool = False
    seen_after: float | None = None
    settings: ModelSettings = field(default_factory=ModelSettings)
    """Which markets have a model, and what a training needs."""
    overdue: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many bars are overdue, by symbol and interval; not for a replay, nor where only history was loaded."""
    halted: Mapping[str, str] = field(default_factory=dict)
    """Why a plug-in halts a market, by the market's name."""
    searches: Mapping[str, str] = field(default_factory=dict)
    """How far the search of a market's settings is, by the market's name."""
    as_of: datetime | None = None
    """The moment of a replay; ``None`` is now."""
    lacking: Seldom[dict[str, str]] = field(default_factory=Seldom)
    """By interval, how far a market without a model is from one; all snapshots of a reader share it."""
    _made: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Compute something from this snapshot for the first visitor who needs it, and share it with the others.

        Each format of times and numbers has its own result.
        """
        key = (key, chosen())
        if key not in self._made:
            self._made[key] = make()  # two threads may compute it at once: harmless, and cheaper than a lock
        made: T = self._made[key]
        return made

    @property
    def bars(self) -> TableView:
        """silver/bars by symbol and interval."""
        return self.tables.get(BARS.full_name, _NO_TABLE)

    @property
    def universe(self) -> pl.DataFrame:
        """reference/universe: asset class, calendar and currency of each symbol."""
        return self.tables.get(UNIVERSE.full_name, _NO_SYMBOLS).all

    @property
    def predictions(self) -> TableView:
        """gold/predictions by symbol and interval, one for each bar: those of which the signals are made."""
        return self.tables.get(PREDICTIONS.full_name, _NO_TABLE)

    @property
    def further(self) -> TableView:
        """The newest of gold/predictions of further horizons, by symbol and interval, one for each bar and horizon."""
        return self.tables.get(FURTHER_PREDICTIONS, _NO_PREDICTIONS)

    @property
    def signals(self) -> TableView:
        """gold/signals by symbol and interval, one for each bar."""
        return self.tables.get(SIGNALS.full_name, _NO_TABLE)

    @property
    def scorecard(self) -> TableView:
        """gold/scorecard by symbol and interval, without further horizons."""
        return self.tables.get(SCORECARD.full_name, _NO_TABLE)

    @property
    def findings(self) -> TableView:
        """silver/findings by symbol and interval."""
        return self.tables.get(FINDINGS.full_name, _NO_FINDINGS)

    @property
    def quarantine(self) -> TableView:
        """The newest rows of silver/quarantine, without the raw bytes."""
        return self.tables.get(QUARANTINE.full_name, _NO_TABLE)

    @property
    def models(self) -> pl.DataFrame:
        """gold/models, oldest first."""
        return self.tables.get(MODELS.full_name, _NO_TABLE).all

    @property
    def metrics(self) -> pl.DataFrame:
        """gold/model_metrics."""
        return self.tables.get(MODEL_METRICS.full_name, _NO_TABLE).all

    @property
    def baselines(self) -> pl.DataFrame:
        """gold/baseline_metrics."""
        return self.tables.get(BASELINE_METRICS.full_name, _NO_BASELINES).all

    @property
    def equity(self) -> TableView:
        """gold/equity by account, without the books."""
        return self.tables.get(EQUITY.full_name, _NO_TABLE)

    @property
    def trades(self) -> TableView:
        """gold/trades by account."""
        return self.tables.get(TRADES.full_name, _NO_TABLE)

    @property
    def positions(self) -> pl.DataFrame:
        """gold/positions."""
        return self.tables.get(POSITIONS.full_name, _NO_TABLE).all

    @property
    def portfolio(self) -> pl.DataFrame:
        """gold/portfolio: statistics by account and curve."""
        return self.tables.get(PORTFOLIO.full_name, _NO_TABLE).all

    @property
    def backtest(self) -> pl.DataFrame:
        """gold/backtest_portfolio: statistics by version, account and curve."""
        return self.tables.get(BACKTEST_PORTFOLIO.full_name, _NO_BACKTEST).all

    @property
    def calibration(self) -> pl.DataFrame:
        """gold/calibration."""
        return self.tables.get(CALIBRATION.full_name, _NO_TABLE).all

    @cached_property
    def stamp(self) -> str:
        """Changes exactly when something on a page may change."""
        seen = [(name, view.version, view.state, view.problem) for name, view in sorted(self.tables.items())]
        state = (self.feed, self.loaded, self.inventory, self.as_of)
        told = (seen, state, sorted(self.overdue.items()), sorted(self.halted.items()), sorted(self.searches.items()))
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    @cached_property
    def newest(self) -> datetime | None:
        """When the newest bar reached silver."""
        times = [frame["processed_at"].max() for frame in self.bars.groups.values()]
        known = [value for value in times if isinstance(value, datetime)]
        return max(known, default=None)

    @property
    def problems(self) -> list[str]:
        """What is wrong with the tables, in plain words."""
        return [view.problem for _, view in sorted(self.tables.items()) if view.problem]

    @cached_property
    def _intervals(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for symbol, interval in sorted(self.bars.groups, key=_by_length):
            found.setdefault(symbol, []).append(interval)
        return found

    def symbols(self) -> list[str]:
        """The symbols that have bars, sorted."""
        return list(self._intervals)

    def intervals(self, symbol: str) -> list[str]:
        """The intervals in which a symbol has bars, shortest first."""
        return self._intervals.get(symbol, [])


def _by_length(series: tuple[str, ...]) -> tuple[str, int, int, str]:
    symbol, interval = series
    return symbol, "mhdw".find(interval[-1]), len(interval), interval


@dataclass(frozen=True, eq=False)
class _Late:
    """The newest bars of two tables' views, and how many bars are overdue until a moment."""

    bars: TableView
    universe: TableView
    newest: pl.DataFrame
    overdue: Mapping[tuple[str, str], int]
    until: datetime


class LakeReader:
    """Keeps ``snapshot`` up to date in a background thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._universe = CachedTable(UNIVERSE, settings, keep=KEPT_SYMBOLS)
        self._signals = self._one_a_bar(SIGNALS)
        self._tables = [
            CachedTable(BARS, settings, group_by=SERIES, keep=KEPT_BARS),
            self._universe,
            self._one_a_bar(PREDICTIONS, where=~FURTHER),
            self._signals,
            self._one_a_bar(SCORECARD, where=~FURTHER),
            CachedTable(FINDINGS, settings, group_by=SERIES, keep=KEPT_BARS),
            CachedTable(QUARANTINE, settings, keep=KEPT_QUARANTINE, without=("raw", "key")),
            CachedTable(MODELS, settings),
            CachedTable(MODEL_METRICS, settings, keep=20_000),
            CachedTable(BASELINE_METRICS, settings, keep=20_000),
            CachedTable(EQUITY, settings, group_by=ACCOUNT, keep=KEPT_STEPS, without=("book",)),
            CachedTable(TRADES, settings, group_by=ACCOUNT, keep=KEPT_TRADES),
            *[CachedTable(table, settings) for table in (POSITIONS, PORTFOLIO, BACKTEST_PORTFOLIO, CALIBRATION)],
        ]
        further = CachedTable(PREDICTIONS, settings, group_by=SERIES, keep=_KEPT_FURTHER, where=FURTHER)
        self._further = [further] if settings.model.further_horizons else []  # else the predictions are read once
        self._broker = BrokerWatcher(settings)
        self._stocktaker = Stocktaker(settings, self._broker)
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._recent: OrderedDict[str, Snapshot] = OrderedDict()
        self._lacking: Seldom[dict[str, str]] = Seldom(beside=True)
        self._late: _Late | None = None
        self._prepare: list[Callable[[Snapshot], object]] = []
        self._events = LogEvents([table.spec for table in self._tables], settings)
        self.snapshot = Snapshot()

    def _one_a_bar(self, spec: TableSpec, where: pl.Expr | None = None) -> CachedTable:
        unique = (*SERIES, "event_time")
        return CachedTable(spec, self._settings, group_by=SERIES, keep=KEPT_BARS, unique=unique, where=where)

    def prepare(self, make: Callable[[Snapshot], object]) -> None:
        """Compute this of each snapshot before visitors get it, because all of them need it; see ``Snapshot.once``."""
        self._prepare.append(make)

    def at(self, stamp: str | None) -> Snapshot:
        """The snapshot with this stamp, so that all parts of a page are from one moment; the newest if it is gone."""
        return self._recent.get(stamp or "", self.snapshot)

    def refresh(self, settled_after: float = 0) -> bool:
        """Read what is new; true if the snapshot changed.

        Args:
            settled_after: after a commit, look again so many seconds later. A micro-batch commits to several tables,
                one after the other, and visitors should draw them together. Signals are the last of them.
        """
        signals = self._signals.view.version
        changed = [self._read_tables()]
        while settled_after and changed[-1] and self._signals.view.version == signals and len(changed) < _MOST_LOOKS:
            self._stopped.wait(settled_after)
            changed.append(self._read_tables())
        changed.append(self._stocktaker.refresh())
        feed = read_feed(self._settings)
        overdue = self._overdue()
        halted = standstill.reasons(self._settings)
        searches = search_state.of_lake(self._settings)
        before = self.snapshot
        told = (before.feed, before.overdue, before.halted, before.searches)
        same = (feed, overdue, halted, searches) == told
        if not any(changed) and self.snapshot.loaded and same:
            return False
        seen_after = self.snapshot.seen_after
        if self.snapshot.loaded and self._signals.view.version != self.snapshot.signals.version:
            seen_after = _age(self._signals.view)
        views = {table.spec.full_name: table.view for table in self._tables}
        for table in self._further:
            views[FURTHER_PREDICTIONS] = table.view
        inventory = self._stocktaker.inventory
        model = self._settings.model
        made = Snapshot(
            views, feed, inventory, True, seen_after, model, overdue, halted, searches, lacking=self._lacking
        )
        for make in self._prepare:
            make(made)
        self._recent[made.stamp] = made
        while len(self._recent) > _KEPT_SNAPSHOTS:
            self._recent.popitem(last=False)
        with self._changed:
            self.snapshot = made
            self._changed.notify_all()
        return True

    def _read_tables(self) -> bool:
        # `any` would stop at the first that changed
        return sum(table.refresh() for table in (*self._tables, *self._further)) > 0

    def _overdue(self) -> Mapping[tuple[str, str], int]:
        """Counted again where the tables changed, and each second: it would cost more than all looks at the tables."""
        now, bars, universe = datetime.now(UTC), self._tables[0].view, self._universe.view
        if (late := self._late) is None or late.bars is not bars or late.universe is not universe:
            found = newest_bars(bars)
        elif now < late.until:
            return late.overdue
        else:
            found = late.newest
        overdue = lateness.overdue(found, universe.all, now)
        self._late = _Late(bars, universe, found, overdue, now + _OVERDUE_FOR)
        return overdue

    def wait(self, seen: Snapshot, seconds: float) -> None:
        """Sleep until there is another snapshot than the one seen, or for so long."""
        with self._changed:
            if self.snapshot is seen:
                self._changed.wait(seconds)

    def start(self, every_seconds: float | None = None) -> None:
        """Refresh in the background until ``stop``; less often if each check of a table is a request to a store."""
        usual = _LOOK_SECONDS if self._settings.store.url is None else _LOOK_STORE_SECONDS
        self._broker.start()
        threading.Thread(target=self._run, args=(every_seconds or usual,), name="lake-reader", daemon=True).start()

    def stop(self) -> None:
        """End the background threads after their current refresh."""
        self._broker.stop()
        self._stopped.set()
        self._events.wake()

    def _run(self, every_seconds: float) -> None:
        with self._events:
            while not self._stopped.is_set():
                self._look()
                # a damaged table is read completely at every refresh, so refresh less often
                broken = bool(self.snapshot.problems)
                (self._stopped if broken else self._events).wait(max(2.0, every_seconds) if broken else every_seconds)

    def _look(self) -> None:
        try:
            if self.refresh(_SETTLED_SECONDS) and build_calendars(self.snapshot):
                # as at the start: the garbage collector need not scan pandas, which calendars import
                gc.collect()
                gc.freeze()
        except Exception:  # the page continues with the last snapshot, and shows its age
            _log.exception("the lake could not be read")


def build_calendars(snapshot: Snapshot) -> bool:
    """Build the calendars of the symbols, once a process, before a visitor would wait a second for one.

    Returns:
        Whether there was one to build.
    """
    before = trading_calendar.cache_info().currsize  # unlike misses, it leaves out a name that nobody knows
    named = set(snapshot.universe["calendar"].drop_nulls())
    classes = {frame["asset_class"][-1] for frame in snapshot.bars.groups.values()}
    for name in named | {BY_CLASS[one] for one in classes if one in BY_CLASS}:
        with suppress(UnknownCalendarError):  # the view that needs it says so
            trading_calendar(name)
    return trading_calendar.cache_info().currsize > before


def _age(signals: TableView) -> float | None:
    """Seconds since the newest signal was decided."""
    times = [frame["as_of"].max() for frame in signals.groups.values()]
    newest = max((value for value in times if isinstance(value, datetime)), default=None)
    return None if newest is None else (datetime.now(UTC) - newest).total_seconds()


def newest_bars(bars: TableView) -> pl.DataFrame:
    """The newest bar of each series, from which overdue bars follow."""
    schema = {name: BARS.empty.schema[name] for name in (*SERIES, "event_time", "provider", "ingested_at")}
    # value by value, because a row of each frame would be cut from all of its columns
    rows = [[frame[name][-1] for name in schema] for frame in bars.groups.values()]
    return pl.DataFrame(rows, schema, orient="row")
