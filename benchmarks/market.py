"""A whole lake that follows real markets: when the first live trade is on the page, and whether bars are whole.

`financelake up --universe FILE` with five symbols of two exchanges, which are played on loopback by a mock that speaks
the protocols of Kraken and Coinbase. Every trade costs what its second says, so a price on the page tells how old it
is. The mock's candles are made of its trades. After --live seconds the whole lake is stopped for --away seconds, while
trading goes on, and started again. Prints JSON:

``healthy_s``: from `up` until every process is healthy. ``first_trade_s``: from then until the page of a Chromium
shows a price of after `up`, of the slowest symbol. ``again_s``: the same after the second `up`. ``trades``: by their
numbers in silver: lost, doubled, made up. ``bars``: of each interval, from the first one of history to the last trade:
those that are missing, there twice, or of other prices or volume than the candles of the trades that the mock made. The
lake makes the bars of live minutes from trades, and the larger ones from bars of a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from playwright.sync_api import Error, Page

from financelake_assets.config import Settings, get_settings
from financelake_assets.providers.exchanges.trade_ids import Trade
from financelake_assets.servers.web_token import opening
from financelake_assets.silver.schema import BARS, TICKS
from financelake_assets_tests.browser import chromium
from financelake_assets_tests.providers.exchange_server import ExchangeServer, Pair, serve_exchanges

SYMBOLS = {"BTC/USD": "kraken", "ETH/USD": "kraken", "SOL/USD": "kraken", "XRP-USD": "coinbase", "ADA-USD": "coinbase"}
PAST_SECONDS = 3 * 3_600
BETWEEN_PAST_TRADES = 10
A_SECOND, BASE = 0.01, 1_000.0
STEP_SECONDS = 0.05
MINUTE = 60
STEPS = {"1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": 60 * MINUTE}


class Market:
    """Trades of some pairs, in the past and on and on, and their candles."""

    def __init__(self, exchange: ExchangeServer, rate: int) -> None:
        self._exchange, self._rate = exchange, rate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._trade, daemon=True)
        self.began = time.time() - PAST_SECONDS
        for name in SYMBOLS:
            for second in range(0, PAST_SECONDS, BETWEEN_PAST_TRADES):
                self._make(name, self.began + second)

    def start(self) -> None:
        """Trade from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Trade no more."""
        self._over.set()
        self._thread.join()

    def price(self, at: float) -> float:
        """What a trade costs at a time in seconds since 1970."""
        return round(BASE + A_SECOND * (at - self.began), 4)

    def time_of(self, price: float) -> float:
        """When a trade cost this; to a second where the page shows cents."""
        return self.began + (price - BASE) / A_SECOND

    def _make(self, name: str, at: float) -> Trade:
        found = _pair(name)
        known = self._exchange.pairs[found]
        number = known[-1].id + 1 if known else self._exchange.first
        trade = Trade(name, number, int(at * 1e6), self.price(at), round(0.01 + number % 13 / 10, 4))
        known.append(trade)
        self._add_to_candle(found, trade)
        return trade

    def _add_to_candle(self, found: Pair, trade: Trade) -> None:
        for step in STEPS.values():
            candles = self._exchange.candles.setdefault((found, step), [])
            start = trade.time // (step * 1_000_000) * step
            if candles and candles[-1][0] == start:
                _, opened, high, low, _, volume = candles[-1]
                high, low = max(high, trade.price), min(low, trade.price)
                candles[-1] = (start, opened, high, low, trade.price, round(volume + trade.size, 8))
            else:
                candles.append((start, *[trade.price] * 4, trade.size))

    def _trade(self) -> None:
        begun, made, names = time.monotonic(), 0, list(SYMBOLS)
        while not self._over.wait(STEP_SECONDS):
            due = int((time.monotonic() - begun) * self._rate)
            for number in range(made, due):
                name = names[number % len(names)]
                self._exchange.tell(name, [self._make(name, time.time())])
            made = due


def main() -> None:
    """Run once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=20, help="trades a second, of all symbols")
    parser.add_argument("--live", type=float, default=90, help="seconds of live trades before the lake is stopped")
    parser.add_argument("--away", type=float, default=45, help="seconds for which it is stopped")
    parser.add_argument("--limit", type=float, default=400, help="seconds after which to give up")
    parser.add_argument("--port-offset", type=int, default=7800)
    arguments = parser.parse_args()
    with serve_exchanges(*SYMBOLS) as exchange:
        market = Market(exchange, arguments.rate)
        with lake(exchange, arguments.port_offset) as (settings, file):
            print(json.dumps(run(settings, file, market, exchange, arguments), indent=2))


@contextmanager
def lake(exchange: ExchangeServer, port_offset: int) -> Iterator[tuple[Settings, Path]]:
    """Settings of a lake in an empty folder, and its universe file. It is stopped and deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="financelake-benchmark-"))
    listed = "".join(
        f"  - {{symbol: {symbol}, provider: {provider}, interval: 1m, live: true}}\n"
        for symbol, provider in SYMBOLS.items()
    )
    file = folder / "universe.yaml"
    file.write_text(f"symbols:\n{listed}")
    os.environ |= {
        "FINANCELAKE_DATA_DIR": str(folder / "lake"),
        "FINANCELAKE_PORT_OFFSET": str(port_offset),
        "FINANCELAKE_FEED__KRAKEN_REST": exchange.rest,
        "FINANCELAKE_FEED__KRAKEN_STREAM": exchange.kraken_stream,
        "FINANCELAKE_FEED__COINBASE_REST": exchange.rest,
        "FINANCELAKE_FEED__COINBASE_STREAM": exchange.coinbase_stream,
        "FINANCELAKE_SILVER__BUILT_INTERVALS": json.dumps([interval for interval in STEPS if interval != "1m"]),
        # the limiter is shared by all lakes of a user: loopback shall not wait for a real exchange
        "FINANCELAKE_FEED__REQUESTS_PER_MINUTE": "600",
    }
    try:
        yield get_settings(), file
    finally:
        command("down")
        shutil.rmtree(folder)


def command(*arguments: str) -> None:
    """Run ``financelake``, and end this program if it fails."""
    argv = [sys.executable, "-m", "financelake_assets.cli", *arguments]
    if subprocess.run(argv, stdout=subprocess.DEVNULL, check=False).returncode:
        sys.exit(f"`financelake {' '.join(arguments)}` failed")


def run(
    settings: Settings, file: Path, market: Market, exchange: ExchangeServer, arguments: argparse.Namespace
) -> dict[str, object]:
    """Both starts, and what is in silver after them."""
    begun, before = time.monotonic(), time.time()
    market.start()
    with chromium() as browser:
        page = browser.new_page()
        command("up", "--detach", "--universe", str(file))
        healthy = time.monotonic()
        until(lambda: all_live(page, settings, market, before), arguments.limit, "no live trade on the page")
        first = time.monotonic() - healthy
        time.sleep(arguments.live)
        command("down")
        time.sleep(arguments.away)
        page.goto("about:blank")
        before = time.time()
        command("up", "--detach")
        healthy_again = time.monotonic()
        until(lambda: all_live(page, settings, market, before), arguments.limit, "no live trade on the page again")
        again = time.monotonic() - healthy_again
        time.sleep(arguments.live / 3)
    market.stop()
    until(lambda: has_all(settings, exchange), 120, "the newest trades did not come into silver")
    quiet = time.monotonic() + 10  # bars are committed after their trades
    until(lambda: time.monotonic() > quiet, 20, "")
    return {
        "healthy_s": round(healthy - begun, 1),
        "first_trade_s": round(first, 1),
        "again_s": round(again, 1),
        "trades": compared_trades(settings, exchange),
        "bars": {interval: compared_bars(settings, exchange, interval) for interval in STEPS},
        "cores": os.cpu_count(),
    }


def all_live(page: Page, settings: Settings, market: Market, since: float) -> bool:
    """Whether the watch list shows of every symbol a price of after a time; opens the page if it is not there."""
    try:
        if not page.url.startswith(settings.dashboard_url):
            page.goto(opening(settings.dashboard_url, settings.with_own_secrets()), wait_until="commit")
        text = str(page.evaluate("() => document.querySelector('#watch')?.innerText ?? ''"))
    except Error:  # not listening yet, or the page is still loading
        return False
    # each symbol's price is the next one after its name
    prices = [re.search(rf"{re.escape(name)}\D*([\d,]+\.\d+)", text) for name in SYMBOLS]
    return all(found and market.time_of(float(found[1].replace(",", ""))) > since for found in prices)


def until(holds: Callable[[], bool], seconds: float, problem: str) -> None:
    """Wait for something; end this program with a problem if it does not come."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(problem)
        time.sleep(0.2)


def has_all(settings: Settings, exchange: ExchangeServer) -> bool:
    """Whether silver has the newest trade of every pair."""
    newest = dict(ticks(settings).group_by("symbol").agg(pl.col("id").max()).iter_rows())
    return all(newest.get(name) == exchange.pairs[_pair(name)][-1].id for name in SYMBOLS)


def ticks(settings: Settings) -> pl.DataFrame:
    """Symbol and number of each trade in silver."""
    return TICKS.scan(settings).select("symbol", pl.col("trade_id").cast(pl.Int64).alias("id")).collect()


def compared_trades(settings: Settings, exchange: ExchangeServer) -> dict[str, int]:
    """Trades by their numbers in silver, of those from the first one on that the lake followed."""
    had = Counter(ticks(settings).iter_rows())
    made = set()
    for name in SYMBOLS:
        first = min((number for symbol, number in had if symbol == name), default=0)
        made |= {(name, one.id) for one in exchange.pairs[_pair(name)] if one.id >= first}
    doubled = sum(1 for times in had.values() if times > 1)
    return {"made": len(made), "lost": len(made - set(had)), "doubled": doubled, "made_up": len(set(had) - made)}


def compared_bars(settings: Settings, exchange: ExchangeServer, interval: str) -> dict[str, object]:
    """Bars of an interval in silver beside candles of all trades that the mock made."""
    bars = BARS.scan(settings).filter(pl.col("interval") == interval).collect()
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for bar in bars.iter_rows(named=True):
        key = (str(bar["symbol"]), int(bar["event_time"].timestamp()))
        found.setdefault(key, []).append(tuple(bar[name] for name in ("open", "high", "low", "close", "volume")))
    counts, examples = Counter[str](), list[str]()
    for name in SYMBOLS:
        for start, *values in exchange.candles[(_pair(name), STEPS[interval])]:
            there = found.pop((name, int(start)), [])
            if not there:
                what = "missing"
            elif len(there) > 1:
                what = "twice"
            elif any(abs(one - two) > 1e-9 * abs(two) for one, two in zip(there[0], values, strict=True)):
                what = "other"
            else:
                what = "equal"
            counts[what] += 1
            if what != "equal":
                examples.append(f"{what}: {name} {time.strftime('%H:%M', time.gmtime(start))}: {there}, not {values}")
    kinds = ("equal", "missing", "twice", "other")
    return {**{kind: counts[kind] for kind in kinds}, "invented": len(found), "examples": examples[:3]}


def _pair(name: str) -> Pair:
    base, quote = re.split("[/-]", name)
    return base, quote


if __name__ == "__main__":
    main()
