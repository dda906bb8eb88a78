"""The bars of one provider's symbols, brought up to date once, where the provider's feed does not run.

Input: settings and the universe file. Output: what is due by each market's calendar on bronze, by the code of the feed
and of ``ingest``. It takes the place of the feed's process and holds its lock, so that nothing is loaded by both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from filelock import FileLock, Timeout

from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.ingest import GIVE_UP_SECONDS, IngestResult, ingest, refresh
from financelake_assets.bronze.load import Load
from financelake_assets.bronze.market_feed_state import process_name, read_state
from financelake_assets.bronze.producer import DeliveryError
from financelake_assets.bronze.topics import ensure_topics
from financelake_assets.bronze.universe_file import Entry, read_universe_file, remember
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.feeds import schedule
from financelake_assets.feeds.bars import bar_is_due, is_made_of_trades, present_bars, request_of
from financelake_assets.feeds.schedule import Present
from financelake_assets.intervals import TICK

_SPOKE = timedelta(minutes=1)
"""A feed says each second how it does. One that spoke so lately runs, be it on another machine."""


class FeedRunsError(FinanceLakeError, RuntimeError):
    """The provider's feed runs, and looks after its symbols."""


@dataclass
class CaughtUp:
    """Of each symbol that was asked for, the bars published; of each that could not be had, why."""

    published: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, symbol: str, result: IngestResult) -> None:
        """Take note of what came of a symbol."""
        self.published[symbol] = self.published.get(symbol, 0) + result.published
        self.units |= result.units
        self.notes += result.notes


def is_left_to_feed(entry: Entry) -> bool:
    """Whether only a feed can follow it: what is made of live trades has no hole only where one process knows both."""
    return entry.interval == TICK or is_made_of_trades(entry)


def feed_runs(settings: Settings, provider: str, now: datetime) -> bool:
    """Whether the feed of a provider runs: it holds its lock, or has spoken lately."""
    state = read_state(settings, provider)
    if state is not None and now - datetime.fromisoformat(state.updated_at) < _SPOKE:
        return True
    try:
        with _place_of_feed(settings, provider):
            return False
    except Timeout:
        return True


def due(settings: Settings, provider: str, now: datetime) -> list[tuple[Entry, Present | None]]:
    """The symbols of a provider of which the lake has no bar yet, or lacks one by the calendar; with what is there.

    Raises:
        UniverseFileError: the universe file cannot be used.
    """
    entries = [
        entry
        for entry in read_universe_file(settings.universe_path)
        if entry.provider == provider and not is_left_to_feed(entry)
    ]
    present = present_bars(settings, [entry.symbol for entry in entries])
    found = [(entry, present.get((entry.symbol, entry.interval))) for entry in entries]
    return [(entry, there) for entry, there in found if there is None or bar_is_due(entry, there.newest, now)]


def catch_up(settings: Settings, provider: str, now: datetime | None = None) -> CaughtUp:
    """Load what is due of a provider's symbols. One that cannot be had leaves the others unharmed.

    Raises:
        FeedRunsError: the provider's feed runs.
        UniverseFileError: the universe file cannot be used.
        BrokerUnavailableError, DeliveryError: the broker does not answer; what was published stays.
    """
    moment, found = now or datetime.now(UTC), CaughtUp()
    if feed_runs(settings, provider, moment):
        raise _refusal(provider)
    try:
        with _place_of_feed(settings, provider):
            wanted = due(settings, provider, moment)
            if wanted:
                _load(settings, provider, wanted, moment, found)
    except Timeout as error:
        raise _refusal(provider) from error
    return found


def _load(
    settings: Settings, provider: str, wanted: list[tuple[Entry, Present | None]], now: datetime, found: CaughtUp
) -> None:
    ensure_topics(settings)
    name = f"{provider}-catch-up-{time.time_ns()}"
    with Load(settings, name, provider, give_up_seconds=GIVE_UP_SECONDS) as load:
        for entry, present in wanted:
            try:
                found.count(entry.symbol, _ask(settings, entry, present, load, now))
            except (BrokerUnavailableError, DeliveryError):
                raise
            except FinanceLakeError as error:
                found.problems[entry.symbol] = str(error)


def _ask(settings: Settings, entry: Entry, present: Present | None, load: Load, now: datetime) -> IngestResult:
    remember(settings, [entry])
    if present is None:
        start = entry.start or schedule.usual_start(entry.interval, now)
        return ingest(request_of(entry, start, None), settings)
    return refresh(request_of(entry, present.newest, None), settings, load, present.newest)


def _place_of_feed(settings: Settings, provider: str) -> FileLock:
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    return FileLock(settings.run_dir / f"{process_name(provider)}.lock", timeout=0)


def _refusal(provider: str) -> FeedRunsError:
    return FeedRunsError(f"{process_name(provider)} runs, and refreshes its symbols itself")
