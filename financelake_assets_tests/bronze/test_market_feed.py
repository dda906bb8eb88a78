"""The feed of a provider as `up` runs it, against an exchange on loopback: killed, changed, and told of bad symbols."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from financelake_assets.bronze.market_feed_state import MarketFeedState, read_state
from financelake_assets.bronze.reading import header
from financelake_assets.config import Settings
from financelake_assets_tests.bronze.feed_process import feed_process, log_of
from financelake_assets_tests.bronze.observed import messages
from financelake_assets_tests.providers.exchange_server import ExchangeServer, random_walk, serve_exchanges

pytestmark = pytest.mark.integration

UNIVERSE = """\
defaults: {provider: kraken, interval: 1h}
symbols:
  - {symbol: BTC/USD, live: true}
  - {symbol: FOO/USD, live: true}
"""


@pytest.fixture
def exchange() -> Iterator[ExchangeServer]:
    with serve_exchanges("BTC/USD", "ETH/USD") as served:
        hour = int(time.time()) // 3_600 * 3_600
        served.candles[("BTC", "USD"), 3_600] = random_walk(1, hour - 300 * 3_600, 301, 3_600)
        yield served


def feed(settings: Settings, exchange: ExchangeServer) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The feed's process; killed at the end if it still runs."""
    variables = {
        "FEED__KRAKEN_REST": exchange.rest,
        "FEED__KRAKEN_STREAM": exchange.kraken_stream,
        "FEED__REQUESTS_PER_MINUTE": "60000",
    }
    return feed_process(settings, "financelake_assets.feeds.market_feed", "kraken", **variables)


def until(settings: Settings, reached: Callable[[MarketFeedState], bool], seconds: float = 180) -> MarketFeedState:
    """Wait until the feed's state is as asked."""
    deadline = time.monotonic() + seconds
    while (state := read_state(settings, "kraken")) is None or not reached(state):
        log = log_of(settings)
        assert time.monotonic() < deadline, f"{state}\n{log.read_text()[-3000:]}"
        time.sleep(0.05)
    return state


def write(settings: Settings, text: str) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.universe_path.write_text(text)


def follows(exchange: ExchangeServer, *pairs: tuple[str, str]) -> None:
    deadline = time.monotonic() + 180
    while not any(client.pairs >= set(pairs) for client in exchange.clients):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def numbers(settings: Settings) -> Counter[tuple[str, str]]:
    """How often each trade is on bronze, by symbol and number."""
    of_trades = [one for one in messages(settings) if header(one, "load") == "kraken-trades"]
    return Counter((str(header(one, "sequence")), (one.key() or b"").decode()) for one in of_trades)


def made(exchange: ExchangeServer) -> Counter[tuple[str, str]]:
    return Counter((str(one.id), "/".join(name)) for name, trades in exchange.pairs.items() for one in trades)


def test_killed_again_and_again_each_trade_comes_once(bronze_lake: Settings, exchange: ExchangeServer) -> None:
    write(bronze_lake, UNIVERSE.replace("FOO", "ETH"))
    for round_ in range(2):
        with feed(bronze_lake, exchange) as process:
            follows(exchange, ("BTC", "USD"), ("ETH", "USD"))
            for _ in range(25):
                exchange.trade("BTC/USD", 17)
                exchange.trade("ETH/USD", 3)
                time.sleep(0.02 * round_)
            process.kill()
            process.wait()
        exchange.trade("BTC/USD", 400)
    with feed(bronze_lake, exchange) as process:
        follows(exchange, ("BTC", "USD"), ("ETH", "USD"))
        exchange.trade("BTC/USD")
        exchange.trade("ETH/USD")
        deadline = time.monotonic() + 180
        while numbers(bronze_lake).keys() < made(exchange).keys():
            assert time.monotonic() < deadline, log_of(bronze_lake).read_text()[-3000:]
        until(bronze_lake, lambda state: state.live.get("open") == 0)
        process.terminate()
        assert process.wait(60) == 0
    assert numbers(bronze_lake) == made(exchange)


def test_history_live_and_a_changed_file_and_a_bad_symbol_harms_no_other(
    bronze_lake: Settings, exchange: ExchangeServer
) -> None:
    write(bronze_lake, UNIVERSE)
    with feed(bronze_lake, exchange):
        follows(exchange, ("BTC", "USD"))
        exchange.trade("BTC/USD", 5)
        state = until(
            bronze_lake,
            lambda state: (
                state.live.get("trades") == 5
                and state.symbols["BTC/USD"]["bars"] == 300
                and state.symbols["FOO/USD"]["problem"] is not None
            ),
        )
        assert state.symbols["BTC/USD"]["state"] == "current"
        assert state.symbols["BTC/USD"]["problem"] is None
        assert state.symbols["BTC/USD"]["last_trade"] is not None
        assert state.symbols["FOO/USD"]["state"] == "refused"
        assert (state.live["connected"], state.live["gaps"]) == (True, 0)
        write(bronze_lake, "symbols: {")
        until(bronze_lake, lambda state: "is not YAML" in (state.problem or ""))
        exchange.trade("BTC/USD", 5)
        until(bronze_lake, lambda state: state.live.get("trades") == 10)
        write(bronze_lake, UNIVERSE.replace("FOO", "ETH"))
        follows(exchange, ("BTC", "USD"), ("ETH", "USD"))
        exchange.trade("ETH/USD", 5)
        exchange.trade("BTC/USD", 5)
        until(bronze_lake, lambda state: state.symbols.get("ETH/USD", {}).get("last_trade") is not None)
        deadline = time.monotonic() + 180
        while numbers(bronze_lake) != made(exchange):
            assert time.monotonic() < deadline, numbers(bronze_lake) - made(exchange)
    bars = [one for one in messages(bronze_lake) if b'"1h"' in (one.value() or b"")]
    assert len(bars) == 300
