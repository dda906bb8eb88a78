"""Publishing while broker and providers misbehave: nothing is lost, nothing is doubled, and each error is clear."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import polars as pl
import pytest

from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.ingest import ingest
from financelake_assets.bronze.load import Load
from financelake_assets.bronze.producer import BronzeProducer, DeliveryError, Stopped
from financelake_assets.bronze.topics import delete_topics, ensure_topics
from financelake_assets.config import Settings
from financelake_assets.providers.base import COLUMNS, Chunk, ProviderError, skip_rows
from financelake_assets.providers.courtesy import Courtesy
from financelake_assets.providers.request import IngestRequest
from financelake_assets.providers.yahoo import YahooProvider
from financelake_assets.providers.yahoo_stream import Patience
from financelake_assets_tests import shared_servers
from financelake_assets_tests.bronze.observed import each_once, messages
from financelake_assets_tests.providers.test_yahoo import days
from financelake_assets_tests.providers.test_yahoo import yahoo as yahoo  # a fixture
from financelake_assets_tests.providers.yahoo_server import (
    HTML,
    ChartServer,
    Listing,
    quote,
    serve_quotes,
)

pytestmark = pytest.mark.integration

NAME = "faults"


def chunks(count: int, first: datetime = datetime(2020, 1, 1, tzinfo=UTC)) -> Iterator[Chunk]:
    """Bars of three classes, a hundred at a time."""
    symbols = [("AAPL", "stock"), ("BTC-USD", "crypto"), ("WTI", "commodity")]
    rows = pl.DataFrame(
        [
            {
                "symbol": symbols[row % 3][0],
                "asset_class": symbols[row % 3][1],
                "interval": "1m",
                "event_time": first + timedelta(minutes=row),
                "close": float(row + 1),
            }
            for row in range(count)
        ],
        schema=dict(COLUMNS),
    )
    yield from map(Chunk, rows.iter_slices(100))


def _publish(load: Load, source: Iterable[Chunk]) -> None:
    for chunk in source:
        load.publish(chunk)
    load.record()


# -- the broker -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake whose broker may be killed."""
    return shared_servers.laptop(tmp_path_factory.mktemp("faults"))


def test_a_broker_killed_in_the_middle_costs_no_row_and_doubles_none(own: Settings) -> None:
    """SIGKILL while messages are on their way; the same load, never restarted, goes on when the broker is back."""
    total, at_kill, at_end = 30_000, threading.Event(), list[tuple[int, str | None]]()

    def publish() -> None:
        with Load(own, NAME, "test") as load:
            for number, chunk in enumerate(chunks(total)):
                load.publish(chunk)
                if number == 100:
                    at_kill.set()
                if number >= 100:
                    time.sleep(0.002)  # so that it is still publishing when the broker dies
            load.record()
            at_end.append((load.deliveries.failed, load.problem))

    worker = threading.Thread(target=publish)
    with shared_servers.broker(own) as broker:
        ensure_topics(own)
        worker.start()
        assert at_kill.wait(60)
        os.killpg(broker, signal.SIGKILL)
    with shared_servers.broker(own):
        worker.join(120)
        assert not worker.is_alive()
        assert at_end == [(0, None)], "the broker takes messages again"
        assert each_once(own, NAME, total)


def test_a_broker_that_does_not_come_back_is_an_error_in_bounded_time_and_the_load_goes_on_later(
    own: Settings,
) -> None:
    name, total = "given-up", 2_000
    with shared_servers.broker(own):
        delete_topics(own)
        ensure_topics(own)
        load = Load(own, name, "test", give_up_seconds=2)
        source = chunks(total)
        for _ in range(5):
            load.publish(next(source))
        load.record()
    with pytest.raises(DeliveryError, match="messages were not delivered"), load:
        _publish(load, source)
    assert load.deliveries.acknowledged >= 501, "what arrived before, with its first record"
    assert load.deliveries.failed > 0
    with pytest.raises(BrokerUnavailableError, match="does not answer"):
        Load(own, name, "test")
    with shared_servers.broker(own):
        with Load(own, name, "test") as again:
            for chunk in skip_rows(chunks(total), again.published):
                again.publish(chunk)
            again.record()
        assert each_once(own, name, total)


def test_the_queue_is_bounded_while_the_broker_is_away(own: Settings) -> None:
    """A caller faster than an absent broker waits; it does not fill the memory."""
    stop_at = time.monotonic() + 2
    producer = BronzeProducer(own, give_up_seconds=600, stopping=lambda: time.monotonic() > stop_at)
    sent = 0

    def send_for_ever() -> None:
        nonlocal sent
        while True:
            producer.send("bronze.stock", "AAPL", "x" * 1_000, [])
            sent += 1

    with pytest.raises(Stopped):
        send_for_ever()
    assert 0 < sent <= 100_000
    assert producer.close(0.1) > 0


def test_a_topic_deleted_in_the_middle_is_an_error_and_asking_again_publishes_all_of_it(bronze_lake: Settings) -> None:
    source = chunks(1_000)
    with Load(bronze_lake, NAME, "test", give_up_seconds=15) as load:
        _publish(load, islice(source, 5))
        delete_topics(bronze_lake)
        with pytest.raises(DeliveryError, match="messages were not delivered"):
            _publish(load, source)
    ensure_topics(bronze_lake)
    with Load(bronze_lake, NAME, "test") as again:
        assert again.published == 0, "what was on a topic that is gone is not on the new one"
        for chunk in chunks(1_000):
            again.publish(chunk)
        again.record()
    assert each_once(bronze_lake, NAME, 1_000)


# -- rows -----------------------------------------------------------------------------------------------


def test_clocks_that_are_wrong_and_numbers_that_are_none_reach_bronze(bronze_lake: Settings) -> None:
    """An event time a century off is no business of the broker's, whose own time is when it was told."""
    (future,) = chunks(3, datetime(2124, 1, 1, tzinfo=UTC))
    (past,) = chunks(3, datetime(1924, 1, 1, tzinfo=UTC))
    odd = past.rows.with_columns(close=pl.Series([math.nan, math.inf, -math.inf]))
    with Load(bronze_lake, NAME, "test") as load:
        for chunk in (future, past, Chunk(odd)):
            load.publish(chunk)
        load.record()
        assert (load.deliveries.acknowledged, load.deliveries.dead) == (10, 0)  # with the first record
    found = messages(bronze_lake)
    values = [json.loads(message.value()) for message in found]
    assert {value["event_time"][:4] for value in values} == {"2124", "1924"}
    assert {"NaN", "Infinity", "-Infinity"} <= {value["close"] for value in values if isinstance(value["close"], str)}
    now = time.time() * 1000
    assert all(abs(message.timestamp()[1] - now) < 600_000 for message in found)


# -- the provider ---------------------------------------------------------------------------------------


def _use(provider: YahooProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the registry give this provider, which differs from the real one in address and patience only."""
    monkeypatch.setattr("financelake_assets.providers.yahoo.from_request", lambda _: provider)


def test_a_provider_that_fails_in_every_way_still_gives_what_it_has(
    bronze_lake: Settings, yahoo: ChartServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """HTML, too many requests and a hang, then an answer; one symbol that does not exist beside two that do."""
    yahoo.listings |= {symbol: Listing(bars=days(8, 9, 10)) for symbol in ("AAPL", "MSFT")}
    yahoo.faults.extend([HTML, "hang"])
    request = IngestRequest(provider="yfinance", symbols=("AAPL", "NOPE", "MSFT"), start="2024-01-01")
    courtesy = Courtesy("Yahoo", first_wait=0.01, attempts=3, folder=tmp_path)
    _use(YahooProvider(request, courtesy, timeout=0.5), monkeypatch)
    for _ in range(2):  # asked again, what is published is not published again
        with pytest.raises(ProviderError, match="1 of 3 symbols were not loaded: NOPE"):
            ingest(request, bronze_lake)
        assert sorted(message.key() for message in messages(bronze_lake)) == [b"AAPL"] * 3 + [b"MSFT"] * 3


def test_live_quotes_are_published_over_a_lost_connection_and_a_stop_ends_it_well(
    bronze_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2024, 1, 12, 15, tzinfo=UTC)
    with serve_quotes() as quotes:
        quotes.script.extend(
            [
                [*(quote("BTC-USD", price, at + timedelta(seconds=price), 41) for price in range(1, 6)), "cut"],
                ["<html>", *(quote("BTC-USD", price, at + timedelta(seconds=price), 41) for price in (5, 6)), "silent"],
            ]
        )
        request = IngestRequest(provider="yfinance", symbols=("BTC-USD",), interval="tick", live=True)
        provider = YahooProvider(
            request, stream_url=quotes.url, patience=Patience(look=0.05, first_wait=0.05), timeout=0.1
        )
        _use(provider, monkeypatch)
        heard: list[int] = []
        result = ingest(
            request, bronze_lake, lambda now: heard.append(now.rows), stopping=lambda: bool(heard) and heard[-1] >= 8
        )
    found = messages(bronze_lake)
    assert [json.loads(message.value())["close"] for message in found] == [1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 6.0]
    assert {json.loads(message.value())["interval"] for message in found} == {"tick"}
    assert result.published == 8
    (dead,) = messages(bronze_lake, ("bronze.dead_letter",))
    assert json.loads(dead.value())["provider_message"] == "<html>"


def test_a_page_of_html_in_place_of_a_file_is_told(bronze_lake: Settings, tmp_path: Path) -> None:
    page = tmp_path / "AAPL.csv"
    page.write_text(HTML)
    with pytest.raises(ProviderError, match="is not CSV: it begins with"):
        ingest(IngestRequest(path=page), bronze_lake)
    assert messages(bronze_lake) == []
