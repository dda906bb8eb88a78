"""A feed against a mock exchange that is cut at random: every trade once in silver, how fast it is back, what it adds.

The mock speaks Kraken's protocol on loopback and makes --rate trades a second over --symbols pairs. The feed is the
lake's own process; broker and Spark server are real. The exchange is cut --cuts times for a random time of up to
--longest seconds, while trades go on; then the feed must ask for what it missed.

``reconnect``: seconds from the end of a cut to the first trade on bronze that was made after it. ``silence``: seconds
until a connection that says nothing is noticed (the feed's limit is 30). ``delay``: milliseconds from the sending of a
trade by the exchange to its Kafka timestamp, of trades that were neither missed nor told within a second of a cut.
``fastest``: trades a second that one process publishes when the exchange tells a backlog at once. Then the silver query
reads everything, and ``lost`` and ``doubled`` count trades by their numbers on bronze and in silver. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from financelake_assets.bronze.market_feed_state import MarketFeedState, read_state
from financelake_assets.bronze.reading import header, read
from financelake_assets.bronze.topics import ensure_topics, watermarks
from financelake_assets.config import Settings
from financelake_assets.silver import query
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.ledger import read_ledger
from financelake_assets.silver.schema import TICKS
from financelake_assets.spark_sessions import job_session
from financelake_assets_tests.providers.exchange_server import ExchangeServer, serve_exchanges
from financelake_assets_tests.shared_servers import broker, end_group, laptop, spark_server

COINS = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LTC", "LINK", "ATOM", "AVAX")
STEP_SECONDS = 0.01
NEAR_A_CUT = 1.0


@dataclass
class Cut:
    """When an outage began and ended, in seconds since 1970."""

    began: float
    ended: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=2_000, help="trades a second")
    parser.add_argument("--symbols", type=int, default=5, choices=range(1, len(COINS) + 1))
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds that a cut lasts at most")
    parser.add_argument("--between", type=float, default=4.0, help="seconds between two cuts at most")
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds without a cut at the beginning")
    parser.add_argument("--backlog", type=int, default=50_000, help="trades that are told at once; 0 leaves it out")
    parser.add_argument("--silence", action="store_true", help="also wait until silence is noticed, half a minute")
    parser.add_argument("--seed", type=int, default=23)
    arguments = parser.parse_args()
    names = [f"{coin}/USD" for coin in COINS[: arguments.symbols]]
    with tempfile.TemporaryDirectory(prefix="financelake-feed-") as folder, serve_exchanges(*names) as exchange:
        settings = laptop(Path(folder), feed=_addresses(exchange))
        _write_universe(settings, names)
        with broker(settings):
            ensure_topics(settings)
            found = run(settings, exchange, names, arguments)
            print(f"bronze: {json.dumps(found)}", file=sys.stderr)
            with spark_server(settings):
                found["silver"] = in_silver(settings, exchange)
    print(json.dumps(found, indent=2))


def run(
    settings: Settings, exchange: ExchangeServer, names: list[str], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Let the feed follow the exchange through all of its faults; what is on bronze then."""
    draw, cuts = random.Random(arguments.seed), list[Cut]()  # noqa: S311  # faults, not a secret
    process = _start_feed(settings)
    found: dict[str, Any] = {"cores": os.cpu_count(), "rate": arguments.rate, "symbols": len(names)}
    try:
        _await(lambda: any(len(client.pairs) == len(names) for client in exchange.clients), "the feed does not follow")
        over = threading.Event()
        trading = threading.Thread(target=_trade, args=(exchange, names, arguments.rate, over), daemon=True)
        trading.start()
        time.sleep(arguments.quiet)
        for _ in range(arguments.cuts):
            time.sleep(draw.uniform(0.2, max(0.2, arguments.between)))
            cuts.append(_cut(exchange, draw.uniform(0.0, arguments.longest)))
            _await(lambda: bool(exchange.clients), "the feed does not come back")
        if arguments.silence:
            found["silence"] = _silence(settings, exchange)
        time.sleep(2)
        over.set()
        trading.join()
        made = sum(len(trades) for trades in exchange.pairs.values())
        _await_all(settings, made)
        if arguments.backlog:
            found["fastest"] = _backlog(settings, exchange, names[0], arguments.backlog)
        state = read_state(settings, "kraken")
    finally:
        end_group(process)
    rows = on_bronze(settings)
    found |= {"trades": sum(len(trades) for trades in exchange.pairs.values()), "cuts": arguments.cuts}
    found["reconnect"] = reconnects(rows, cuts)
    found["delay"] = delays(rows, cuts, arguments)
    found["bronze"] = compared(exchange, Counter(zip(rows["symbol"], rows["id"], strict=True)))
    found["feed"] = {} if state is None else {name: state.live.get(name) for name in _TOLD}
    found |= {"seed": arguments.seed, "load_average": os.getloadavg()[0]}
    return found


_TOLD = ("reconnects", "silences", "gaps", "missed", "filled", "absent", "repeated")


def _addresses(exchange: ExchangeServer) -> dict[str, object]:
    return {
        "kraken_rest": exchange.rest,
        "kraken_stream": exchange.kraken_stream,
        "requests_per_minute": 60_000,
    }


def _write_universe(settings: Settings, names: list[str]) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    listed = "".join(f"  - {{symbol: {name}, provider: kraken, interval: tick, live: true}}\n" for name in names)
    settings.universe_path.write_text(f"symbols:\n{listed}")


def _start_feed(settings: Settings) -> subprocess.Popen[bytes]:
    feed, kafka = settings.feed, settings.kafka
    variables = {
        "FINANCELAKE_DATA_DIR": str(settings.data_dir),
        "FINANCELAKE_KAFKA__BOOTSTRAP": f"127.0.0.1:{kafka.port}",
        "FINANCELAKE_FEED__KRAKEN_REST": feed.kraken_rest,
        "FINANCELAKE_FEED__KRAKEN_STREAM": feed.kraken_stream,
        "FINANCELAKE_FEED__REQUESTS_PER_MINUTE": str(feed.requests_per_minute),
        "POLARS_MAX_THREADS": "1",
    }
    log = settings.data_dir / "feed.log"
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "financelake_assets.feeds.market_feed", "kraken"],
            env={**os.environ, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _trade(exchange: ExchangeServer, names: list[str], rate: int, over: threading.Event) -> None:
    """Trades at a steady rate, whether anybody hears of them or not."""
    begun, made = time.monotonic(), 0
    while not over.wait(STEP_SECONDS):
        due = int((time.monotonic() - begun) * rate)
        each, more = divmod(due - made, len(names))
        for place, name in enumerate(names):
            if count := each + (place < more):
                exchange.trade(name, count)
        made = due


def _cut(exchange: ExchangeServer, seconds: float) -> Cut:
    exchange.away = True
    exchange.cut()
    began = time.time()
    time.sleep(seconds)
    exchange.away = False
    return Cut(began, time.time())


def _silence(settings: Settings, exchange: ExchangeServer) -> dict[str, float]:
    before, begun = _silences(settings), time.monotonic()
    exchange.silent = True
    _await(lambda: _silences(settings) > before, "silence is not noticed", 90)
    noticed = time.monotonic() - begun
    exchange.silent = False
    _await(lambda: bool(exchange.clients), "the feed does not come back")
    return {"noticed_after": round(noticed, 1)}


def _silences(settings: Settings) -> int:
    state: MarketFeedState | None = read_state(settings, "kraken")
    return 0 if state is None else int(state.live.get("silences", 0))


def _backlog(settings: Settings, exchange: ExchangeServer, name: str, count: int) -> int:
    before = _on_topics(settings)
    trades = exchange.trade(name, count, tell=False)
    begun = time.monotonic()
    for place in range(0, count, 20):
        exchange.tell(name, trades[place : place + 20])
    _await_all(settings, before + count)
    return round(count / (time.monotonic() - begun))


def _await(reached: Callable[[], bool], problem: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            sys.exit(problem)
        time.sleep(0.02)


def _await_all(settings: Settings, count: int) -> None:
    """Until as many trades are on bronze as were made; what is missing then is told by ``compared``."""
    deadline = time.monotonic() + 120
    while _on_topics(settings) < count and time.monotonic() < deadline:
        time.sleep(0.1)


def _on_topics(settings: Settings) -> int:
    return sum(high - low for parts in watermarks(settings).values() for low, high in parts.values())


def on_bronze(settings: Settings) -> pl.DataFrame:
    """Each message on the topics: symbol, number, event time and Kafka's time, the two in seconds since 1970."""
    marks = watermarks(settings)
    spans = {(topic, part): span for topic, parts in marks.items() for part, span in parts.items()}
    found = []
    for message in read(settings, spans):
        row = json.loads(message.value() or b"{}")
        found.append((row["symbol"], int(header(message, "sequence") or 0), row["event_time"], message.timestamp()[1]))
    schema = {"symbol": pl.String, "id": pl.Int64, "event_time": pl.String, "kafka": pl.Int64}
    at = pl.col("event_time").str.to_datetime(time_zone="UTC").dt.epoch("us") / 1e6
    return pl.DataFrame(found, schema=schema, orient="row").with_columns(at.alias("at"), pl.col("kafka") / 1e3)


def compared(exchange: ExchangeServer, had: Counter[tuple[str, int]]) -> dict[str, int]:
    """How many of the trades that were made are not there, and how many are there more than once."""
    made = {("/".join(name), one.id) for name, trades in exchange.pairs.items() for one in trades}
    doubled = sum(1 for times in had.values() if times > 1)
    return {"lost": len(made - set(had)), "doubled": doubled, "made_up": len(set(had) - made)}


def reconnects(rows: pl.DataFrame, cuts: list[Cut]) -> dict[str, float]:
    """From the end of each cut to the arrival of the first trade that was made after it."""
    ordered = rows.sort("at")
    made, arrived = ordered["at"].to_numpy(), ordered["kafka"].to_numpy()
    waits = []
    for cut in cuts:
        after = arrived[int(np.searchsorted(made, cut.ended)) :]
        if len(after):
            waits.append(max(0.0, float(after.min()) - cut.ended))
    return {"rounds": len(waits), **_quantiles(waits, (50, 95, 100), 3)}


def delays(rows: pl.DataFrame, cuts: list[Cut], arguments: argparse.Namespace) -> dict[str, float]:
    """From the making of a trade to Kafka's timestamp, far from cuts and before the backlog."""
    quiet = rows.filter(pl.col("kafka") - pl.col("at") >= 0)
    for cut in cuts:
        near = pl.col("at").is_between(cut.began - NEAR_A_CUT, cut.ended + NEAR_A_CUT + arguments.longest)
        quiet = quiet.filter(~near)
    if arguments.backlog:
        # a backlog waits in a queue by its nature; its trades are the last that were made of one symbol
        newest = rows.filter(pl.col("symbol") == f"{COINS[0]}/USD")["id"].max()
        told_at_once = (pl.col("symbol") == f"{COINS[0]}/USD") & (pl.col("id") > int(str(newest)) - arguments.backlog)
        quiet = quiet.filter(~told_at_once)
    waits = ((quiet["kafka"] - quiet["at"]) * 1e3).to_list()
    return {"trades": len(waits), **_quantiles(waits, (50, 99, 100), 1)}


def _quantiles(values: list[float], which: tuple[int, ...], digits: int) -> dict[str, float]:
    if not values:
        return {}
    return {f"p{one}": round(float(np.percentile(values, one)), digits) for one in which}


def in_silver(settings: Settings, exchange: ExchangeServer) -> dict[str, Any]:
    """Let the silver query read all of bronze; what is in silver.ticks then."""
    session, wanted = job_session(settings), _on_topics(settings)
    try:
        running = query.start(session, settings)
        while sum(end for ends in consumed_offsets(settings).values() for end in ends.values()) < wanted:
            if not running.isActive:
                sys.exit(f"the query ended: {running.exception()}")
            time.sleep(0.1)
        running.stop()
    finally:
        session.stop()
    ticks = TICKS.scan(settings).select("symbol", pl.col("trade_id").cast(pl.Int64)).collect()
    ledger = read_ledger(settings)
    numbers = Counter(zip(ticks["symbol"], ticks["trade_id"], strict=True))
    return {**compared(exchange, numbers), "rows": ticks.height, "ledger": ledger.as_dict()}


if __name__ == "__main__":
    main()
