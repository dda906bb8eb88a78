"""What the exchanges say, as pure functions: frames, answers, spellings, and nonsense in any of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.courtesy import PassingError
from financelake_assets.providers.exchanges.binance import Binance
from financelake_assets.providers.exchanges.coinbase import Coinbase
from financelake_assets.providers.exchanges.exchange import Exchange, Heard, UnknownPairError, micros, micros_of
from financelake_assets.providers.exchanges.kraken import Kraken, rest_name
from financelake_assets.providers.exchanges.provider import bars_of, rows_of
from financelake_assets.providers.exchanges.rest import NotHereError, raise_for_status
from financelake_assets.providers.exchanges.trade_ids import UNKNOWN, Hole, Trade
from financelake_assets.providers.pairs import canonical
from financelake_assets.providers.request import IngestRequest
from financelake_assets_tests.providers.exchange_server import binance_trade, coinbase_match, kraken_trades

AT = 1_700_000_000_123_456
TRADE = Trade("BTC/USD", 7, AT, 37_000.1, 0.25)
EXCHANGES: tuple[Exchange, ...] = (Kraken(), Coinbase(), Binance())


def heard(exchange: Exchange, *texts: str) -> Heard:
    found = Heard()
    for text in texts:
        exchange.hear(text, found)
    return found


@pytest.mark.parametrize("written", ["BTC/USD", "xbt/usd", "BTC-USD", "XBTUSD", "btc_usd", "XBT-USD", " BTC/USD "])
def test_a_pair_has_one_name_however_it_is_written(written: str) -> None:
    assert IngestRequest(provider="kraken", symbols=(written,)).symbols == ("BTC/USD",)
    assert IngestRequest(provider="coinbase", symbols=(written,)).symbols == ("BTC-USD",)
    assert IngestRequest(provider="binance", symbols=(written,)).symbols == ("BTCUSD",)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("BTCUSDT", "BTC/USDT"), ("XDGEUR", "DOGE/EUR"), ("ETHXBT", "ETH/BTC"), ("USDTUSD", "USDT/USD"), ("GOLD", "GOLD")],
)
def test_two_currencies_are_told_apart(written: str, meant: str) -> None:
    assert canonical("kraken", written) == meant
    assert canonical("yfinance", written) == written


def test_what_kraken_says_is_understood() -> None:
    found = heard(
        Kraken(),
        kraken_trades("snapshot", ("BTC", "USD"), [TRADE, TRADE._replace(id=8)]),
        '{"channel":"heartbeat"}',
        '{"channel":"status","type":"update","data":[{"system":"online"}]}',
        '{"method":"subscribe","success":true,"result":{"channel":"trade","symbol":"BTC/USD"}}',
        '{"method":"subscribe","success":false,"error":"Currency pair not supported FOO/USD","symbol":"FOO/USD"}',
        "<html>",
        '{"channel":"trade","data":[{"symbol":"BTC/USD"}]}',
        '{"channel":"weather"}',
    )
    assert [(one.id, one.time, one.price, one.size) for one in found.trades] == [
        (7, AT, 37_000.1, 0.25),
        (8, AT, 37_000.1, 0.25),
    ]
    assert found.refused == {"FOO/USD": "Currency pair not supported FOO/USD"}
    assert len(found.odd) == 3


def test_what_coinbase_says_is_understood() -> None:
    found = heard(
        Coinbase(),
        '{"type":"subscriptions","channels":[]}',
        coinbase_match("last_match", ("BTC", "USD"), TRADE),
        coinbase_match("match", ("BTC", "USD"), TRADE._replace(id=8)),
        '{"type":"heartbeat","last_trade_id":9,"product_id":"BTC-USD","sequence":1,"time":"2023-01-01T00:00:00Z"}',
        '{"type":"heartbeat","last_trade_id":0,"product_id":"ETH-USD","sequence":1,"time":"2023-01-01T00:00:00Z"}',
        '{"type":"error","message":"Failed to subscribe","reason":"FOO-USD is not a valid product"}',
        '{"type":"match","trade_id":9',
        '{"type":"weather"}',
    )
    assert [(one.symbol, one.id, one.time) for one in found.trades] == [("BTC-USD", 7, AT), ("BTC-USD", 8, AT)]
    assert found.newest == {"BTC-USD": 9}
    assert found.refused == {"FOO-USD": "FOO-USD is not a valid product"}
    assert len(found.odd) == 2


def test_what_binance_says_is_understood() -> None:
    found = heard(
        Binance(),
        '{"result":null,"id":1}',
        binance_trade(("BTC", "USDT"), TRADE),
        '{"e":"24hrMiniTicker","E":1,"s":"BTCUSDT","c":"1"}',
        '{"code":2,"msg":"Invalid request: too many parameters","id":1}',
        '{"e":"aggTrade","s":"BTCUSDT","a":9,"p":"0","q":"1","T":1}',
        '{"e":"weather"}',
    )
    # it tells milliseconds
    assert found.trades == [TRADE._replace(symbol="BTCUSDT", time=AT // 1_000 * 1_000)]
    assert found.refused == {"": "Invalid request: too many parameters"}
    assert len(found.odd) == 2


def test_binance_is_asked_by_number_or_where_none_is_known_by_time() -> None:
    asked: list[Mapping[str, str]] = []

    def get(_: str, query: Mapping[str, str]) -> Any:
        asked.append(query)
        return [json.loads(binance_trade(("BTC", "USDT"), TRADE))]

    assert not Binance().page("BTCUSDT", Hole(5, 9, 70), get).reached
    assert Binance().page("BTCUSDT", Hole(UNKNOWN, 7, 70_999), get).reached
    assert asked == [
        {"symbol": "BTCUSDT", "limit": "1000", "fromId": "6"},
        {"symbol": "BTCUSDT", "limit": "1000", "startTime": "70"},
    ]


def test_no_candle_is_lost_where_two_pages_of_binance_meet_and_empty_ones_are_left_out() -> None:
    first = datetime(2024, 1, 1, tzinfo=UTC)
    start = int(first.timestamp()) * 1_000

    def get(_: str, query: Mapping[str, str]) -> Any:
        begin, end = int(query["startTime"]), int(query["endTime"])
        times = [start + 60_000 * number for number in range(2_500)]
        wanted = [at for at in times if begin <= at <= end][:1_000]
        return [
            [at, "1", "3", "1", "2", "5", at + 59_999, "0", int(at != start + 60_000), "0", "0", "0"] for at in wanted
        ]

    now = first + timedelta(minutes=2_400.5)
    for since in (first, None):
        rows = bars_of("BTCUSDT", "1m", Binance().candles("BTCUSDT", "1m", since, now, get), now)
        minutes = [number for number in range(2_400) if number != 1]
        assert rows["event_time"].to_list() == [first + timedelta(minutes=number) for number in minutes]


@given(
    st.one_of(
        st.text(),
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda x: (
                st.lists(x)
                | st.dictionaries(st.sampled_from(["channel", "data", "type", "method", "symbol", "trade_id"]), x)
            ),
        ).map(json.dumps),
    )
)
def test_nonsense_is_odd_and_nothing_worse(text: str) -> None:
    for exchange in EXCHANGES:
        found = heard(exchange, text)
        assert not found.trades


@given(
    number=st.integers(1, 2**53),
    time=st.integers(0, 4_000_000_000_000_000),
    price=st.floats(1e-8, 1e8).map(lambda value: round(value, 8)).filter(bool),
    size=st.floats(1e-8, 1e8).map(lambda value: round(value, 8)).filter(bool),
)
def test_a_trade_is_the_same_from_the_stream_and_from_rest(number: int, time: int, price: float, size: float) -> None:
    kraken, coinbase = Kraken(), Coinbase()
    one = Trade("BTC/USD", number, time, price, size)
    told = heard(kraken, kraken_trades("update", ("BTC", "USD"), [one])).trades
    seconds = f"{time // 1_000_000}.{time % 1_000_000:06d}9"
    answer = {"error": [], "result": {"XXBTZUSD": [[repr(price), repr(size), seconds, "b", "l", "", number]]}}
    assert told == [one] == kraken.page("BTC/USD", Hole(number - 1, number + 1, time), lambda *_: answer).trades
    other = one._replace(symbol="BTC-USD")
    match = coinbase_match("match", ("BTC", "USD"), one)
    assert heard(coinbase, match).trades == [other]
    assert coinbase.page("BTC-USD", Hole(number - 1, number + 1, time), lambda *_: [json.loads(match)]).trades == [
        other
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"error": ["EQuery:Unknown asset pair"]}, UnknownPairError),
        ({"error": ["EGeneral:Too many requests"]}, PassingError),
        ({"error": ["EService:Unavailable"]}, PassingError),
        ({"error": ["EGeneral:Permission denied"]}, ProviderError),
        ({"error": [], "result": {}}, PassingError),
        ({"error": [], "result": {"XXBTZUSD": [["1"]]}}, PassingError),
        ([], PassingError),
    ],
)
def test_an_error_of_kraken_says_whether_asking_again_may_help(answer: Any, error: type[ProviderError]) -> None:
    with pytest.raises(error) as raised:
        Kraken().page("BTC/USD", Hole(1, 5, 0), lambda *_: answer)
    assert isinstance(raised.value, PassingError) is (error is PassingError)


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (429, PassingError, "fewer requests"),
        (418, PassingError, "fewer requests"),
        (451, NotHereError, "does not serve the country"),
        (503, PassingError, "fault of its own"),
        (404, UnknownPairError, "knows nothing"),
        (403, ProviderError, "refuses"),
    ],
)
def test_a_status_says_what_it_means(status: int, error: type[ProviderError], told: str) -> None:
    with pytest.raises(error, match=told) as raised:
        raise_for_status("Kraken", status, "<html>no</html>", "7")
    if status in (418, 429):
        assert isinstance(raised.value, PassingError)
        assert raised.value.retry_after == 7
    assert (status == 451) is bool(raised.value.remedy)


def test_kraken_is_asked_from_just_before_a_holes_beginning() -> None:
    asked: list[Mapping[str, str]] = []

    def get(_: str, query: Mapping[str, str]) -> Any:
        asked.append(query)
        return {"error": [], "result": {"XXBTZUSD": [["1", "1", "0.5", "b", "l", "", 4]], "last": "1"}}

    assert not Kraken().page("BTC/USD", Hole(1, 5, 70), get).reached
    assert asked == [{"pair": "XBTUSD", "since": "69999", "count": "1000"}]
    assert Kraken().page("BTC/USD", Hole(1, 4, 70), get).reached
    assert rest_name("DOGE/BTC") == "XDGXBT"


def test_coinbase_is_asked_from_a_holes_end_back() -> None:
    rows = [
        {"trade_id": number, "price": "1", "size": "1", "time": f"1970-01-01T00:00:0{number}Z"} for number in (4, 3)
    ]
    page = Coinbase().page("BTC-USD", Hole(1, 5, 0), lambda *_: rows)
    assert ([one.id for one in page.trades], page.reached) == ([3, 4], False)
    assert Coinbase().page("BTC-USD", Hole(2, 5, 0), lambda *_: rows).reached
    assert not Coinbase().page("BTC-USD", Hole(UNKNOWN, 5, 3_000_000), lambda *_: rows).reached
    assert Coinbase().page("BTC-USD", Hole(UNKNOWN, 5, 3_500_000), lambda *_: rows).reached
    assert Coinbase().page("BTC-USD", Hole(UNKNOWN, 5, 0), lambda *_: []).reached


@pytest.mark.parametrize("step", [60, 3_600, 86_400])
def test_no_candle_is_lost_where_two_pages_of_coinbase_meet(step: int) -> None:
    interval = {60: "1m", 3_600: "1h", 86_400: "1d"}[step]
    first = datetime(2024, 1, 1, tzinfo=UTC)

    def get(_: str, query: Mapping[str, str]) -> Any:
        begin, end = (datetime.fromisoformat(query[name]).timestamp() for name in ("start", "end"))
        starts = range(int(first.timestamp()), int(first.timestamp()) + 1_000 * step, step)
        found = [[at, 1.0, 2.0, 1.5, 1.6, 3.0] for at in starts if begin <= at <= end]
        assert len(found) <= 300
        return found[::-1]

    now = first + timedelta(seconds=step * 1_000.5)
    rows = bars_of("BTC-USD", interval, Coinbase().candles("BTC-USD", interval, first, now, get), now)
    assert rows["event_time"].to_list() == [first + timedelta(seconds=step * number) for number in range(1_000)]
    assert rows.row(0, named=True)["open"] == 1.5
    assert rows.row(0, named=True)["low"] == 1.0


def test_a_candle_that_is_not_over_is_left_out_and_one_without_trades_is_not_made_up() -> None:
    start = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
    rows = [[start + 60 * at, "1", "2", "1", "2", "1.5", "9", 3] for at in (0, 1, 3, 4)]
    answer = {"error": [], "result": {"XXBTZUSD": rows, "last": start}}
    now = datetime.fromtimestamp(start + 60 * 4 + 59, UTC)
    found = bars_of("BTC/USD", "1m", Kraken().candles("BTC/USD", "1m", None, now, lambda *_: answer), now)
    assert [(at - datetime(2024, 1, 1, tzinfo=UTC)).seconds // 60 for at in found["event_time"]] == [0, 1, 3]


def test_trades_become_rows_with_their_numbers() -> None:
    (row,) = rows_of([TRADE]).rows(named=True)
    assert {name: value for name, value in row.items() if value is not None} == {
        "symbol": "BTC/USD",
        "asset_class": "crypto",
        "interval": "tick",
        "event_time": datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=UTC),
        "close": 37_000.1,
        "volume": 0.25,
        "trade_id": "7",
    }


def test_times_are_cut_off_and_not_rounded() -> None:
    assert micros("1688669597.8277369") == 1_688_669_597_827_736
    assert micros_of("2023-09-25T07:49:37.708706999Z") == 1_695_628_177_708_706
    with pytest.raises(ValueError, match="names no zone"):
        micros_of("2023-09-25T07:49:37")
