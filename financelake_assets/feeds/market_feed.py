"""One provider's feed: a process of the lake that loads, refreshes and follows the symbols of the universe file.

Input: settings and the provider's name. Output: bars and ticks on bronze, and
``<data_dir>/run/feed-PROVIDER.json``. Run it with ``python -m financelake_assets.feeds.market_feed PROVIDER``. It
follows changes of the universe file while it runs, survives the broker's and the provider's absence by waiting, and
its own death by what Kafka and silver know.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import asdict
from datetime import UTC, datetime

import structlog

from financelake_assets.bronze.market_feed_state import MarketFeedState, SymbolState, now_text, process_name, state_file
from financelake_assets.bronze.universe import AssetClassError
from financelake_assets.bronze.universe_file import Entry, UniverseFileError, read_universe_file, remember
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.feeds.bars import BarKeeper
from financelake_assets.feeds.trades import Follower
from financelake_assets.own_process import run_alone, say

_SAY_SECONDS = 1.0

log = structlog.get_logger()


class MarketFeed:
    """One run of a feed. ``stop`` may be called from a signal handler or another thread."""

    def __init__(self, settings: Settings, provider: str) -> None:
        self._settings, self._provider = settings, provider
        self._stopping = threading.Event()
        self._file: tuple[int, int] | None = None
        self._problem: str | None = None
        self._refused: dict[str, SymbolState] = {}
        self._follower: Follower | None = None
        self._bars = BarKeeper(settings, provider)

    def stop(self) -> None:
        """Ask the feed to end."""
        self._stopping.set()

    def run(self) -> None:
        """Follow until told to stop."""
        self._bars.start()
        while not self._stopping.is_set():
            self._read_file()
            self._say()
            self._stopping.wait(_SAY_SECONDS)
        if self._follower:
            self._follower.stop()
        self._bars.stop()
        self._say()

    def _read_file(self) -> None:
        """Take up what the universe file says, when it has changed. While it is wrong, what it said before holds."""
        path = self._settings.universe_path
        try:
            facts = path.stat()
            if self._file == (facts.st_mtime_ns, facts.st_size):
                return
            self._file = (facts.st_mtime_ns, facts.st_size)
            entries = [entry for entry in read_universe_file(path) if entry.provider == self._provider]
        except (OSError, UniverseFileError) as error:
            if self._problem != str(error):
                log.warning("the universe file is wrong; what it said before holds", problem=str(error))
            self._problem = str(error)
            return
        self._problem = None
        good = self._known_to_the_lake(entries)
        # the minute that has begun is the first that is made of trades
        live_from = datetime.now(UTC).replace(second=0, microsecond=0)
        self._bars.follow(good, live_from)
        self._follow([entry.symbol for entry in good if entry.live], live_from)
        log.info("the feed follows", symbols=[entry.symbol for entry in good])

    def _known_to_the_lake(self, entries: list[Entry]) -> list[Entry]:
        """Make the symbols known; one that the lake knows as something else is refused alone."""
        good, self._refused = [], {}
        try:
            remember(self._settings, entries)
        except (FinanceLakeError, OSError):
            log.warning("a symbol of the universe file cannot be made known; each is tried by itself")
        else:
            return entries
        for entry in entries:
            try:
                remember(self._settings, [entry])
                good.append(entry)
            except AssetClassError as error:
                self._refused[entry.symbol] = SymbolState(entry.interval, entry.live, "refused", problem=str(error))
            except (FinanceLakeError, OSError) as error:
                self._refused[entry.symbol] = SymbolState(entry.interval, entry.live, "failed", problem=str(error))
                self._file = None  # read again: it may be over
        return good

    def _follow(self, symbols: list[str], live_from: datetime) -> None:
        if self._follower is not None and self._follower.symbols == tuple(symbols):
            return
        if self._follower is not None:
            self._follower.stop()
            self._follower = None
        if symbols:
            self._follower = Follower(self._settings, self._provider, symbols, live_from)
            self._follower.start()

    def _say(self) -> None:
        facts = self._follower.facts() if self._follower else {}
        symbols = {**self._bars.states(), **self._refused}
        refused = facts.pop("refused", {})
        last_trade = facts.pop("last_trade", {})
        shown = {}
        for symbol, state in symbols.items():
            told = asdict(state) | {"last_trade": last_trade.get(symbol)}
            if symbol in refused:
                told |= {"state": "refused", "problem": refused[symbol]}
            shown[symbol] = told
        problems = (
            self._problem,
            self._follower.problem if self._follower else None,
            facts.pop("problem", None),
            self._bars.problem,
            "; ".join(reason for symbol, reason in refused.items() if symbol not in symbols) or None,
        )
        problem = next((one for one in problems if one), None)
        remedy = facts.pop("remedy", None)
        report = MarketFeedState(self._provider, now_text(), os.getpid(), problem, remedy, facts, shown)
        say(state_file(self._settings, self._provider), report)


def main(provider: str) -> int:
    """Run a provider's feed; 3 when it runs already."""
    return run_alone(process_name(provider), lambda settings: MarketFeed(settings, provider))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
