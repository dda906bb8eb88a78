"""Loads the history of symbols as far back as asked, and keeps it up to date by each market's calendar.

Input: entries of the universe file, and the bars that silver has. Output: bars on bronze, by the code of ``ingest``,
and the state of each symbol. A symbol that cannot be had is asked for again later and leaves the others unharmed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import structlog

from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.ingest import IngestRequest, IngestResult, ingest, refresh
from financelake_assets.bronze.load import Load
from financelake_assets.bronze.market_feed_state import SymbolState
from financelake_assets.bronze.producer import DeliveryError, Stopped
from financelake_assets.bronze.topics import ensure_topics
from financelake_assets.bronze.universe_file import Entry
from financelake_assets.calendars import BY_CLASS, trading_calendar
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.feeds import schedule
from financelake_assets.feeds.schedule import Present
from financelake_assets.intervals import SERIES, TICK
from financelake_assets.silver.merging import is_built
from financelake_assets.silver.schema import BARS

_OF_TRADES = "1m"
_LOOK_SECONDS = 1.0

log = structlog.get_logger()


@dataclass
class _Series:
    """A symbol's bars. ``wanted``: spans of history that are to be asked for, before anything is refreshed."""

    entry: Entry
    state: SymbolState
    wanted: list[schedule.Span]
    newest: datetime | None
    again_at: datetime
    times: int = 0


class BarKeeper:
    """A thread that looks after the bars of one provider's symbols."""

    def __init__(self, settings: Settings, provider: str) -> None:
        self.problem: str | None = None
        self._settings, self._provider = settings, provider
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._series: dict[tuple[str, str], _Series] = {}
        self._thread = threading.Thread(target=self._run, name="bars", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it when what it asks for has come, and wait for that for a while."""
        self._stopping.set()
        self._thread.join(8)

    def follow(self, entries: Sequence[Entry], live_from: datetime) -> None:
        """Look after these from now on, and after no others.

        Args:
            entries: of the universe file.
            live_from: from when on live trades are followed, of which the lake makes bars of a minute, of new symbols.
        """
        present = present_bars(self._settings, [entry.symbol for entry in entries])
        with self._lock:
            before, self._series = self._series, {}
            for entry in entries:
                key = (entry.symbol, entry.interval)
                known = before.get(key)
                if known is None or known.entry != entry:
                    known = _new(entry, present.get(key), live_from)
                self._series[key] = known

    def states(self) -> dict[str, SymbolState]:
        """How each symbol does."""
        with self._lock:
            return {symbol: series.state for (symbol, _), series in self._series.items()}

    def _run(self) -> None:
        with ExitStack() as stack:
            load: Load | None = None
            while not self._stopping.is_set():
                try:
                    if load is None:
                        ensure_topics(self._settings)
                        name = f"{self._provider}-bars-{time.time_ns()}"
                        load = stack.enter_context(
                            Load(self._settings, name, self._provider, stopping=self._stopping.is_set)
                        )
                    self.problem = None
                    self._turn(load)
                except Stopped:
                    break
                except (BrokerUnavailableError, DeliveryError) as error:
                    self.problem = str(error)
                    log.warning("the feed waits for the broker", problem=str(error))
                self._stopping.wait(_LOOK_SECONDS)

    def _turn(self, load: Load) -> None:
        with self._lock:
            all_of_them = list(self._series.values())
        for series in all_of_them:
            if self._stopping.is_set():
                return
            now = datetime.now(UTC)
            if series.again_at > now or not self._is_wanted(series, now):
                continue
            try:
                self._ask(series, load)
            except (BrokerUnavailableError, DeliveryError, Stopped):
                raise
            except FinanceLakeError as error:
                self._failed(series, str(error))
            except Exception as error:  # a fault of ours, or of a provider's: it must be seen, and harm no other symbol
                log.exception("a symbol could not be had", symbol=series.entry.symbol)
                self._failed(series, f"{type(error).__name__}: {error}")

    def _is_wanted(self, series: _Series, now: datetime) -> bool:
        entry = series.entry
        if series.wanted:
            return True
        if series.newest is None or entry.interval == TICK or is_made_of_trades(entry):
            return False
        return bar_is_due(entry, series.newest, now)

    def _ask(self, series: _Series, load: Load) -> None:
        entry, state = series.entry, series.state
        if series.wanted:
            start, end = series.wanted[0]
            result = ingest(request_of(entry, start, end), self._settings, stopping=self._stopping.is_set)
            if self._stopping.is_set():
                return
            series.wanted.pop(0)
        else:
            assert series.newest is not None  # noqa: S101  # else nothing is due
            state.state = "due"
            result = refresh(request_of(entry, series.newest, None), self._settings, load, series.newest)
        self._note(series, result)

    def _note(self, series: _Series, result: IngestResult) -> None:
        entry, state, now = series.entry, series.state, datetime.now(UTC)
        came = result.newest is not None and (series.newest is None or result.newest > series.newest)
        if result.newest is not None and came:
            series.newest = result.newest
        state.bars += result.published
        state.unit = result.units.get(entry.symbol, state.unit)
        state.newest = series.newest.isoformat() if series.newest else None
        state.state, state.problem = "loading" if series.wanted else "current", None
        if came or series.wanted:
            series.times, series.again_at = 0, now
            if result.published:
                log.info("bars", symbol=entry.symbol, interval=entry.interval, published=result.published)
        else:
            series.again_at = now + schedule.wait_for_more(entry.interval, series.times)
            series.times += 1
        if series.newest is None and not series.wanted:
            # nothing yet, as of a new listing: it is asked for again, whole
            series.wanted = [(entry.start or schedule.usual_start(entry.interval, now), None)]
            series.again_at = now + schedule.wait_after_failure(series.times)
            reason = result.notes[-1] if result.notes else f"{entry.provider} has no bar of {entry.interval} of it"
            state.state, state.problem = "failed", reason

    def _failed(self, series: _Series, problem: str) -> None:
        wait = schedule.wait_after_failure(series.times)
        series.again_at, series.times = datetime.now(UTC) + wait, series.times + 1
        series.state.state, series.state.problem = "failed", problem
        log.warning(
            "a symbol is asked for again later", symbol=series.entry.symbol, problem=problem, again_in=str(wait)
        )


def _new(entry: Entry, present: Present | None, live_from: datetime) -> _Series:
    now, state = datetime.now(UTC), SymbolState(entry.interval, entry.live)
    if entry.interval == TICK:
        state.state = "current"
        return _Series(entry, state, [], None, now)
    of_trades = is_made_of_trades(entry)
    start = entry.start or schedule.usual_start(entry.interval, now)
    wanted = schedule.spans(start, entry.interval, present, live_from if of_trades else None)
    newest = present.newest if present else None
    state.newest = newest.isoformat() if newest else None
    return _Series(entry, state, wanted, newest, now)


def is_made_of_trades(entry: Entry) -> bool:
    """Whether the lake makes a symbol's bars itself, of the trades that its feed follows."""
    return entry.live and entry.interval == _OF_TRADES


def bar_is_due(entry: Entry, newest: datetime, now: datetime) -> bool:
    """Whether a bar of a symbol is over by its market's calendar and not there."""
    calendar = trading_calendar(entry.calendar or BY_CLASS[entry.asset_class])
    return schedule.is_due(calendar, entry.interval, newest, now)


def request_of(entry: Entry, start: datetime | None, end: datetime | None) -> IngestRequest:
    """What to ask for to have a symbol's bars of a span of time."""
    if start is not None and end is not None and end <= start:
        end = start + timedelta(microseconds=1)
    return IngestRequest(
        provider=entry.provider,
        symbols=(entry.symbol,),
        interval=entry.interval,
        asset_class=entry.asset_class,
        calendar=entry.calendar or None,
        start=start,
        end=end,
    )


def present_bars(settings: Settings, symbols: Sequence[str]) -> dict[tuple[str, str], Present]:
    """The oldest and the newest bar in silver of each series of some symbols that has any.

    Bars that the lake built do not count: of their series a provider has still to be asked.
    """
    at = pl.col("event_time")
    mine = BARS.scan(settings).filter(pl.col("symbol").is_in(list(symbols)) & ~is_built())
    found = mine.group_by(SERIES).agg(at.min().alias("oldest"), at.max().alias("newest")).collect()
    return {(symbol, interval): Present(oldest, newest) for symbol, interval, oldest, newest in found.iter_rows()}
