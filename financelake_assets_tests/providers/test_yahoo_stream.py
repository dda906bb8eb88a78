"""Live quotes against a WebSocket on loopback: drops, cuts, silence, nonsense, and the minutes made good afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import yfinance as yf
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.providers.base import Chunk
from financelake_assets.providers.courtesy import Courtesy
from financelake_assets.providers.request import IngestRequest
from financelake_assets.providers.units import KnownUnit
from financelake_assets.providers.yahoo import YahooProvider
from financelake_assets.providers.yahoo_stream import Interrupted, Patience, QuoteStream, decode
from financelake_assets_tests.providers.test_yahoo import yahoo as yahoo  # the same server of history
from financelake_assets_tests.providers.yahoo_server import ChartServer, Listing, QuoteServer, quote, serve_quotes

AT = datetime(2024, 1, 12, 15, 0, 0, 123_000, tzinfo=UTC)
QUICK = Patience(silence=0.5, resubscribe=0.2, look=0.05, first_wait=0.05, longest_wait=0.1)


@pytest.fixture
def quotes() -> Iterator[QuoteServer]:
    with serve_quotes() as served:
        yield served


def stream(quotes: QuoteServer, trading: bool = True, patience: Patience = QUICK) -> QuoteStream:
    return QuoteStream(["BTC-USD", "AAPL"], lambda _: trading, url=quotes.url, patience=patience)


def until(
    heard: Iterator[Chunk | Interrupted], enough: Callable[[list[Chunk], list[Interrupted]], bool]
) -> tuple[pl.DataFrame, list[Interrupted], list[Chunk]]:
    """Read until there is enough; the rows, the interruptions and the chunks."""
    chunks: list[Chunk] = []
    lost: list[Interrupted] = []
    deadline = time.monotonic() + 60
    for one in heard:
        chunks.append(one) if isinstance(one, Chunk) else lost.append(one)
        if enough(chunks, lost):
            break
        assert time.monotonic() < deadline
    return pl.concat([chunk.rows for chunk in chunks]), lost, chunks


def test_a_quote_is_a_tick_with_the_price_as_it_was_meant() -> None:
    text = quote("AAPL", 187.15, AT, last_size=5, day_volume=1_000)
    (row,) = decode([text], None).rows.rows(named=True)
    assert {name: value for name, value in row.items() if value is not None} == {
        "symbol": "AAPL",
        "asset_class": "stock",
        "interval": "tick",
        "event_time": AT,
        "close": 187.15,
        "volume": 5.0,
        "trade_id": "1705071600123:187.15:1000",
    }


def test_what_a_quote_is_of_is_said_by_its_type_then_by_the_request_then_by_its_symbol() -> None:
    texts = [quote("BTC-USD", 1, AT, 41), quote("GC=F", 1, AT, 18), quote("X", 1, AT, 0), quote("Y-USD", 1, AT, 0)]
    assert decode(texts, None).rows["asset_class"].to_list() == ["crypto", "commodity", "stock", "crypto"]
    assert decode(texts[2:3], "commodity").rows["asset_class"].to_list() == ["commodity"]


def test_a_sign_of_life_is_no_quote_and_nonsense_is_kept_as_it_came() -> None:
    nonsense = ["<html>", "[]", '{"message": 5}', '{"message": "%%%"}', '{"message": "/////w=="}']
    chunk = decode([quote("-", 0, AT, 7), *nonsense], None)
    assert chunk.rows.height == 0
    assert [row["provider_message"] for row in chunk.odd] == nonsense


@given(st.text(max_size=200))
def test_no_text_stops_the_stream(text: str) -> None:
    chunk = decode([text, quote("AAPL", 1, AT)], None)
    assert chunk.rows.height == 1


def test_symbols_are_subscribed_to_and_again_from_time_to_time(quotes: QuoteServer) -> None:
    quotes.script.append([quote("AAPL", 1, AT), quote("AAPL", 2, AT), "silent"])
    rows, lost, _ = until(stream(quotes, trading=False).read(), lambda *_: len(quotes.subscriptions) >= 3)
    assert rows["close"].to_list() == [1.0, 2.0]
    assert quotes.subscriptions[0] == quotes.subscriptions[-1] == ["AAPL", "BTC-USD"]
    assert (quotes.connections, lost) == (1, [])


@pytest.mark.parametrize("end", ["drop", "cut", "silent"])
def test_a_connection_that_ends_or_goes_silent_is_made_anew_and_the_loss_is_told(quotes: QuoteServer, end: str) -> None:
    before = datetime.now(UTC)
    many = [quote("AAPL", price, AT) for price in range(1, 20)]
    quotes.script.extend([[*many, end], [quote("AAPL", 20, AT), "silent"]])
    # on a slow machine a short patience would end a connection that only seems silent
    patience = QUICK if end == "silent" else replace(QUICK, silence=60)
    heard = stream(quotes, patience=patience).read()
    rows, lost, _ = until(heard, lambda chunks, _: sum(map(len, chunks)) >= 20)
    assert rows["close"].to_list() == [float(price) for price in range(1, 21)], "what came before the end is kept"
    assert quotes.connections == 1 + len(lost)
    assert len(lost) == 1 or end == "silent"
    assert all(before <= one.since <= datetime.now(UTC) for one in lost)


def test_silence_while_every_market_is_closed_is_nothing_to_worry_about(quotes: QuoteServer) -> None:
    quotes.script.append([quote("AAPL", 1, AT), "silent"])
    until(stream(quotes, trading=False).read(), lambda chunks, _: len(chunks) > 3 * QUICK.silence / QUICK.look)
    assert quotes.connections == 1


def test_who_reads_can_stop_although_nothing_comes_and_nobody_listens() -> None:
    with serve_quotes() as gone:
        url = gone.url
    heard = QuoteStream(["AAPL"], lambda _: True, url=url, patience=QUICK).read()
    _, _, chunks = until(heard, lambda chunks, _: len(chunks) > 10)
    assert all(len(chunk) == 0 for chunk in chunks)


def test_minutes_that_were_missed_are_made_good_from_history(
    quotes: QuoteServer, yahoo: ChartServer, tmp_path: Path
) -> None:
    """The stream is cut twice while history is unavailable, then available: every missed minute comes, once."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    minutes = [now + timedelta(minutes=minute) for minute in range(-5, 5)]
    yahoo.listings["BTC-USD"] = Listing(
        kind="CRYPTOCURRENCY",
        zone="UTC",
        offset=0,
        bars={int(minute.timestamp()): (1.0, 1.0, 1.0, 1.0, None, 3.0) for minute in minutes},
    )
    quotes.script.extend([[quote("BTC-USD", 1, AT, 41), "cut"], [quote("BTC-USD", 2, AT, 41), "silent"]])
    # a clock three minutes ahead: what is missing lies in minutes that are over
    provider = YahooProvider(
        IngestRequest(provider="yfinance", symbols=("BTC-USD",), live=True),
        Courtesy("Yahoo", first_wait=0.01),
        stream_url=quotes.url,
        patience=Patience(silence=60, look=0.05, first_wait=0.05),
        clock=lambda: now + timedelta(minutes=2, seconds=59, milliseconds=900),
    )
    yahoo.faults.append("<html>")
    rows, _, _ = until(provider.live(), lambda chunks, _: any("1m" in chunk.rows["interval"] for chunk in chunks))
    made_good = rows.filter(pl.col("interval") == "1m")["event_time"].to_list()
    assert made_good in ([now, now + timedelta(minutes=1)], [now + timedelta(minutes=1)])
    assert rows.filter(pl.col("interval") == "tick")["close"].to_list() == [1.0, 2.0]
    assert yf.__version__ == "1.7.0", "read its live.py again: does it reconnect by itself now?"


def test_quotes_in_pence_come_in_pounds_and_a_noted_unit_is_not_asked_for(
    quotes: QuoteServer, yahoo: ChartServer
) -> None:
    yahoo.listings["VOD.L"] = Listing(
        currency="GBp", zone="Europe/London", offset=0, bars={1_704_700_800: (1.0, 2.0, 0.5, 1.5, 1.5, 7.0)}
    )
    known: list[KnownUnit | None] = [None, KnownUnit("yfinance", "GBp", "GBP"), KnownUnit("yfinance", "GBp", "GBX")]
    for one, price in zip(known, (73.125, 73.125, 7312.5), strict=True):
        quotes.script.append([quote("VOD.L", 7312.5, AT), "silent"])
        yahoo.asked.clear()
        provider = YahooProvider(
            IngestRequest(provider="yfinance", symbols=("VOD.L",), live=True, interval="tick"),
            Courtesy("Yahoo", first_wait=0.01),
            stream_url=quotes.url,
            patience=replace(QUICK, silence=60),
        )
        provider.know({"VOD.L": one} if one else {})
        rows, _, _ = until(provider.live(), lambda chunks, _: any(map(len, chunks)))
        assert rows["close"].to_list() == [price]
        assert bool(yahoo.asked) == (one is None)
        assert provider.units["VOD.L"].quoted == "GBp"
