"""The exchanges' protocols on loopback: each trade comes once, whatever the connection does."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from financelake_assets.providers.base import Chunk, OddRow, ProviderError
from financelake_assets.providers.courtesy import Courtesy
from financelake_assets.providers.exchanges import filling
from financelake_assets.providers.exchanges.binance import Binance
from financelake_assets.providers.exchanges.coinbase import Coinbase
from financelake_assets.providers.exchanges.exchange import Exchange
from financelake_assets.providers.exchanges.kraken import Kraken
from financelake_assets.providers.exchanges.provider import ExchangeProvider
from financelake_assets.providers.exchanges.rest import NotHereError, Rest
from financelake_assets.providers.exchanges.trade_ids import TradeIds
from financelake_assets.providers.request import IngestRequest
from financelake_assets.providers.web_socket import Patience
from financelake_assets_tests.providers.exchange_server import HTML, ExchangeServer, random_walk, serve_exchanges

QUICK = Patience(silence=0.6, look=0.02, first_wait=0.02, longest_wait=0.05)
NAMES = {"kraken": "BTC/USD", "coinbase": "BTC-USD", "binance": "BTCUSD"}
EXCHANGES: dict[str, Callable[[], Exchange]] = {"kraken": Kraken, "coinbase": Coinbase, "binance": Binance}


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExchangeServer]:
    monkeypatch.setattr(filling, "SETTLING_SECONDS", 0.05)
    monkeypatch.setattr(filling, "_ASKED_AGAIN", (0.05, 0.05))
    monkeypatch.setattr(filling, "_PROBLEM_SECONDS", 0.1)
    with serve_exchanges("BTC/USD", "ETH/USD") as served:
        yield served


@pytest.fixture(params=list(NAMES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def provider(
    served: ExchangeServer, name: str, folder: Path, *symbols: str, interval: str = "tick", live: bool = True
) -> ExchangeProvider:
    exchange = EXCHANGES[name]()
    quick = Courtesy(name, per_minute=100_000, first_wait=0.01, longest_wait=0.02, folder=folder / "courtesy")
    request = IngestRequest(provider=name, symbols=symbols or ("BTC/USD",), interval=interval, live=live)
    url = getattr(served, f"{name}_stream")
    return ExchangeProvider(request, exchange, Rest(exchange.title, served.rest, quick), url, patience=QUICK)


class Follower:
    """Reads a provider's trades until something is true."""

    def __init__(self, following: ExchangeProvider) -> None:
        self.provider = following
        self.odd: list[OddRow] = []
        self._ids: dict[str, list[str]] = {}
        self._live = following.live()

    def until(self, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not enough():
            self._take(next(self._live))
            assert time.monotonic() < deadline, self.provider.report

    def until_all(self, served: ExchangeServer, pair: tuple[str, str] = ("BTC", "USD")) -> None:
        """Until every trade has come and no hole is left."""
        wanted = [str(one.id) for one in served.pairs[pair]]
        self.until(lambda: len(self.ids("".join(pair))) >= len(wanted) and not self.provider.report.open)
        assert sorted(self.ids("".join(pair))) == sorted(wanted)

    def ids(self, pair: str = "BTCUSD") -> list[str]:
        return self._ids.get(pair, [])

    def _take(self, chunk: Chunk) -> None:
        self.odd += chunk.odd
        for symbol, number in chunk.rows.select("symbol", "trade_id").iter_rows():
            self._ids.setdefault(symbol.replace("/", "").replace("-", ""), []).append(number)

    def close(self) -> None:
        self._live.close()


def connected(follower: Follower, served: ExchangeServer) -> None:
    follower.until(lambda: follower.provider.report.connected and any(client.pairs for client in served.clients))


def test_the_first_minute_is_whole(exchanges: ExchangeServer, name: str, tmp_path: Path) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0).timestamp()
    exchanges.trade("BTC/USD", 10, at=minute - 5)
    wanted = [exchanges.trade("BTC/USD", 1, at=minute + number / 1e6)[0] for number in range(1_200)]
    follower = Follower(provider(exchanges, name, tmp_path))
    connected(follower, exchanges)
    wanted += exchanges.trade("BTC/USD", 3)
    follower.until(lambda: len(follower.ids()) >= len(wanted) and not follower.provider.report.open)
    assert sorted(follower.ids()) == sorted(str(one.id) for one in wanted)
    follower.close()


def test_cuts_lose_and_double_nothing(exchanges: ExchangeServer, name: str, tmp_path: Path) -> None:
    draw = random.Random(23)  # noqa: S311  # faults, not a secret
    follower = Follower(provider(exchanges, name, tmp_path, "BTC/USD", "ETH/USD"))
    for round_ in range(8):
        connected(follower, exchanges)
        for _ in range(draw.randrange(1, 20)):
            exchanges.trade("BTC/USD", draw.randrange(1, 9))
            exchanges.trade("ETH/USD", draw.randrange(1, 9))
        before = exchanges.handshakes
        exchanges.cut()
        exchanges.trade("BTC/USD", draw.choice((0, 1, 70, 1_500)))
        follower.until(lambda known=before: exchanges.handshakes > known)
        exchanges.trade("ETH/USD", round_)
    connected(follower, exchanges)
    exchanges.trade("BTC/USD")
    exchanges.trade("ETH/USD")
    follower.until_all(exchanges)
    follower.until_all(exchanges, ("ETH", "USD"))
    assert follower.provider.report.reconnects >= 8
    follower.close()


def test_trades_that_are_lost_repeated_and_out_of_order_come_once(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    draw = random.Random(24)  # noqa: S311  # faults, not a secret
    follower = Follower(provider(exchanges, name, tmp_path))
    connected(follower, exchanges)
    for _ in range(30):
        trades = exchanges.trade("BTC/USD", draw.randrange(1, 30), tell=False)
        told = [one for one in trades for _ in range(draw.choice((0, 1, 1, 1, 2)))]
        draw.shuffle(told)
        exchanges.tell("BTC/USD", told)
    exchanges.trade("BTC/USD")
    follower.until_all(exchanges)
    assert follower.provider.report.gaps > 0
    assert follower.provider.report.repeated > 0
    assert follower.provider.report.absent == 0
    follower.close()


def test_a_missed_trade_is_noticed_though_no_other_follows(exchanges: ExchangeServer, tmp_path: Path) -> None:
    follower = Follower(provider(exchanges, "coinbase", tmp_path))
    connected(follower, exchanges)
    exchanges.trade("BTC/USD")
    follower.until(lambda: bool(follower.ids()))
    exchanges.trade("BTC/USD", tell=False)
    follower.until_all(exchanges)
    follower.close()


def test_silence_is_noticed(exchanges: ExchangeServer, name: str, tmp_path: Path) -> None:
    follower = Follower(provider(exchanges, name, tmp_path))
    connected(follower, exchanges)
    exchanges.trade("BTC/USD")
    follower.until(lambda: bool(follower.ids()))
    exchanges.silent = True
    exchanges.trade("BTC/USD", 60)
    follower.until(lambda: follower.provider.report.silences > 0)
    exchanges.silent = False
    connected(follower, exchanges)
    exchanges.trade("BTC/USD")
    follower.until_all(exchanges)
    follower.close()


def test_signs_of_life_keep_a_quiet_market_connected(exchanges: ExchangeServer, name: str, tmp_path: Path) -> None:
    exchanges.beat = 0.05
    follower = Follower(provider(exchanges, name, tmp_path))
    connected(follower, exchanges)
    over = time.monotonic() + 3 * QUICK.silence
    follower.until(lambda: time.monotonic() > over)
    assert (follower.provider.report.silences, exchanges.handshakes) == (0, 1)
    follower.close()


def test_an_exchange_that_lets_nobody_in_is_told_and_tried_again(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    exchanges.retry_after = "0"
    exchanges.handshake_faults.extend([503, HTML, 429])
    exchanges.away = True
    follower = Follower(provider(exchanges, name, tmp_path))
    follower.until(lambda: exchanges.handshakes > 6)
    assert follower.provider.report.problem
    exchanges.away = False
    connected(follower, exchanges)
    assert follower.provider.report.problem is None
    exchanges.trade("BTC/USD", 3)
    follower.until_all(exchanges)
    follower.close()


def test_a_country_that_is_not_served_is_told_with_its_remedy(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    exchanges.handshake_faults.extend([451] * 5)
    follower = Follower(provider(exchanges, name, tmp_path))
    follower.until(lambda: follower.provider.report.problem is not None)
    assert "HTTP 451" in str(follower.provider.report.problem)
    assert "another exchange" in str(follower.provider.report.remedy)
    over = time.monotonic() + 0.3
    follower.until(lambda: time.monotonic() > over)
    assert exchanges.handshakes == 1
    follower.close()
    exchanges.rest_faults.append(451)
    with pytest.raises(NotHereError):
        list(provider(exchanges, name, tmp_path, interval="1h").history())


def test_faults_of_rest_delay_what_is_missed_and_lose_nothing(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    exchanges.retry_after = "0"
    follower = Follower(provider(exchanges, name, tmp_path))
    connected(follower, exchanges)
    exchanges.trade("BTC/USD")
    follower.until(lambda: bool(follower.ids()))
    exchanges.rest_faults.extend([429, 503, HTML, '{"error":', 500, "[1]", '{"result":{"a":[[1]]}}', 403, 429])
    exchanges.trade("BTC/USD", 200, tell=False)
    exchanges.trade("BTC/USD")
    follower.until_all(exchanges)
    assert not exchanges.rest_faults
    follower.close()


def test_half_messages_and_pages_are_passed_on_as_they_came(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    follower = Follower(provider(exchanges, name, tmp_path))
    connected(follower, exchanges)
    for text in ('{"channel":"trade","type":"update","data":[{"symbol":', HTML, b"\xff\x00", "[]"):
        exchanges.say(text)
    exchanges.trade("BTC/USD")
    follower.until(lambda: follower.provider.report.odd == 4)
    follower.until_all(exchanges)
    assert {row["provider_message"] for row in follower.odd} >= {HTML, "[]"}
    follower.close()


def test_a_symbol_that_the_exchange_does_not_know_leaves_the_others_unharmed(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    follower = Follower(provider(exchanges, name, tmp_path, "FOO/USD", "BTC/USD", "BAR/EUR"))
    told = {"FOO", "BAR"} if name != "binance" else set()  # which says nothing of a symbol that it does not know
    follower.until(lambda: len(follower.provider.report.refused) == len(told))
    connected(follower, exchanges)
    exchanges.trade("BTC/USD", 5)
    follower.until_all(exchanges)
    assert {symbol[:3] for symbol in follower.provider.report.refused} == told
    follower.close()


def test_numbers_for_which_the_exchange_has_no_trade_are_given_up_and_counted(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    follower = Follower(provider(exchanges, name, tmp_path))
    connected(follower, exchanges)
    exchanges.trade("BTC/USD", 3)
    follower.until(lambda: len(follower.ids()) == 3)
    exchanges.trade("BTC/USD", 2, tell=False)
    del exchanges.pairs["BTC", "USD"][-2:-1]
    exchanges.trade("BTC/USD")
    follower.until_all(exchanges)
    assert follower.provider.report.absent == 1
    follower.close()


def test_a_rest_interface_that_is_behind_is_asked_again(
    exchanges: ExchangeServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "_ASKED_AGAIN", (0.05,) * 1_000)
    follower = Follower(provider(exchanges, name, tmp_path))
    connected(follower, exchanges)
    exchanges.trade("BTC/USD", 3)
    follower.until(lambda: len(follower.ids()) == 3)
    follower.until(lambda: not follower.provider.report.open)
    exchanges.behind = 3
    before = len(exchanges.asked)
    exchanges.trade("BTC/USD", 5, tell=False)
    exchanges.trade("BTC/USD")
    follower.until(lambda: len(exchanges.asked) > before + 3)
    exchanges.behind = 0
    follower.until_all(exchanges)
    assert follower.provider.report.absent == 0
    follower.close()


def test_what_was_missed_while_nobody_followed_is_asked_for(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    first = Follower(provider(exchanges, name, tmp_path))
    connected(first, exchanges)
    exchanges.trade("BTC/USD", 3)
    first.until(lambda: len(first.ids()) == 3)
    first.close()
    exchanges.trade("BTC/USD", 2_500)
    again = provider(exchanges, name, tmp_path)
    again.resume({name_: TradeIds.from_dict(ids.as_dict()) for name_, ids in first.provider.ids.items()})
    second = Follower(again)
    connected(second, exchanges)
    exchanges.trade("BTC/USD")
    second.until(lambda: len(second.ids()) >= 2_501)
    assert sorted(first.ids() + second.ids()) == sorted(str(one.id) for one in exchanges.pairs["BTC", "USD"])
    second.close()


def test_history_is_every_finished_candle(exchanges: ExchangeServer, name: str, tmp_path: Path) -> None:
    hour = int(datetime.now(UTC).timestamp()) // 3_600 * 3_600
    exchanges.candles[("BTC", "USD"), 3_600] = random_walk(1, hour - 700 * 3_600, 701, 3_600)
    (part,) = provider(exchanges, name, tmp_path, interval="1h", live=False).history()
    rows = pl.concat([chunk.rows for chunk in part.chunks])
    assert (rows.height, part.total) == (700, 700)
    assert rows["symbol"].unique().to_list() == [NAMES[name]]
    assert any("700 bars of 1h" in note for note in part.notes)
    again = next(iter(provider(exchanges, name, tmp_path, interval="1h", live=False).history()))
    assert again.identity == part.identity


def test_an_unknown_symbol_does_not_keep_the_others_from_being_loaded(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    exchanges.candles[("BTC", "USD"), 3_600] = random_walk(1, 1_700_000_000 // 3_600 * 3_600, 3, 3_600)
    parts = provider(exchanges, name, tmp_path, "FOO/USD", "BTC/USD", interval="1h", live=False).history()
    assert next(parts).identity.startswith(f"{name}-BTC")
    with pytest.raises(ProviderError, match=r"1 of 2 symbols were not loaded: .*FOO"):
        next(parts)


def test_an_interval_that_an_exchange_does_not_have_is_refused_before_anything_is_sent(
    exchanges: ExchangeServer, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ProviderError, match="no bars of 2m; it has 1m, 5m"):
        provider(exchanges, name, tmp_path, interval="2m")
    assert exchanges.asked == []
