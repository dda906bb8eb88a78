"""A crypto exchange as a provider: history from its candles, live trades from its WebSocket, missed ones from REST.

Input: symbols. Output: finished bars, one part a symbol; then each trade once, in whatever order they come: a trade's
number tells whether it is new, and a hole in the numbers is asked for while live trades go on. Nobody is contacted
before a user names the exchange.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import structlog

from financelake_assets.calendars import ALWAYS, trading_calendar
from financelake_assets.intervals import TICK, bar_length
from financelake_assets.providers.base import COLUMNS, Capabilities, Chunk, Part, ProviderError, typed
from financelake_assets.providers.courtesy import UnavailableError
from financelake_assets.providers.exchanges.exchange import Candle, Exchange, Heard
from financelake_assets.providers.exchanges.filling import Filler
from financelake_assets.providers.exchanges.rest import NotHereError, Rest
from financelake_assets.providers.exchanges.stream import YOUNG, TradeStream
from financelake_assets.providers.exchanges.trade_ids import Trade, TradeIds
from financelake_assets.providers.request import IngestRequest
from financelake_assets.providers.web_socket import Patience

_CHUNK_ROWS = 2_000
_MICROS = 1_000_000
_ODD_LENGTH = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = typed(pl.DataFrame(schema=dict(COLUMNS)))

log = structlog.get_logger()


@dataclass
class LiveReport:
    """How following the trades of some symbols goes; ``refused``: why a symbol is not followed.

    ``gaps`` were found in the numbers of trades, ``missed`` trades in them so far as is known, ``filled`` of these came
    later, and ``absent`` are numbers for which the exchange has no trade. ``open``: holes that are being filled.
    """

    connected: bool = False
    reconnects: int = 0
    silences: int = 0
    problem: str | None = None
    remedy: str | None = None
    trades: int = 0
    repeated: int = 0
    odd: int = 0
    gaps: int = 0
    missed: int = 0
    filled: int = 0
    absent: int = 0
    open: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    last_trade: dict[str, str] = field(default_factory=dict)


class ExchangeProvider:
    """An exchange's data of the symbols that a request names. ``ids`` says which trades are had."""

    capabilities = Capabilities(history=True, live=True, network=True)

    def __init__(
        self,
        request: IngestRequest,
        exchange: Exchange,
        rest: Rest,
        stream_url: str,
        *,
        patience: Patience = YOUNG,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Set it up; nothing is sent.

        Args:
            request: names the symbols.
            exchange: how it is spoken to.
            rest: its REST interface.
            stream_url: its WebSocket.
            patience: how long the stream waits for what.
            clock: the time, which says which bars are finished.

        Raises:
            ProviderError: the request names no symbols, or an interval that the exchange does not have.
        """
        self.name = exchange.name
        self.ids: dict[str, TradeIds] = {}
        self.report = LiveReport()
        self._symbols = tuple(dict.fromkeys(request.symbols or ((request.symbol,) if request.symbol else ())))
        if not self._symbols:
            raise ProviderError("say which symbols with --symbols, for example BTC/USD,ETH/USD")
        self._interval = request.interval or "1d"
        if self._interval not in exchange.steps and not (request.live and self._interval == TICK):
            raise ProviderError(
                f"{exchange.title} has no bars of {self._interval}; it has {', '.join(exchange.steps)}, "
                "and single trades with --live"
            )
        self._request, self._exchange, self._rest = request, exchange, rest
        self._url, self._patience, self._clock = stream_url, patience, clock

    def history(self) -> Iterator[Part]:
        """One part a symbol. A symbol that cannot be had does not keep the others from being published."""
        if self._interval == TICK:
            return
        wrong: list[str] = []
        for symbol in self._symbols:
            try:
                yield self._part(symbol)
            except (UnavailableError, NotHereError):
                raise
            except ProviderError as error:
                wrong.append(str(error))
        if wrong:
            raise ProviderError(f"{len(wrong)} of {len(self._symbols)} symbols were not loaded: {'; '.join(wrong)}")

    def resume(self, ids: Mapping[str, TradeIds]) -> None:
        """Take for had what was had before; ``live`` then also asks for what was missed since."""
        self.ids = {symbol: ids[symbol] for symbol in self._symbols if symbol in ids}

    def live(self, start: int = 0) -> Iterator[Chunk]:  # noqa: ARG002  # what is new is told by the trades' numbers
        """Trades as they come, and those that were missed. Empty chunks show that it is alive.

        A symbol that is followed for the first time begins where the request says, or at the start of this minute, so
        that its first bar is whole.
        """
        begin = self._request.live_from or self._clock().replace(second=0, microsecond=0)
        opening = (begin - _EPOCH) // timedelta(microseconds=1)
        for symbol in self._symbols:
            self.ids.setdefault(symbol, TradeIds(opening))
        yield Chunk(_NOTHING)  # whoever keeps ``ids`` can do so before the first trade
        stream = TradeStream(self._exchange, self._url, self._symbols, self._patience)
        filler = Filler(self._exchange, self._rest)
        try:
            for heard in stream.read():
                yield self._new_of(heard)
                answer = filler.look(self.ids)
                if answer is not None and answer.page is not None:
                    filled = self.ids[answer.symbol].take(answer.page.trades)
                    self.report.filled += len(filled)
                    yield Chunk(rows_of(filled))
                    filler.judge(answer, self.ids[answer.symbol], len(filled))
                self._tell(stream, filler)
        finally:
            filler.close()

    def _new_of(self, heard: Heard) -> Chunk:
        """What of the things heard is new."""
        report, fresh = self.report, []
        for trade in heard.trades:
            ids = self.ids.get(trade.symbol)
            if ids is None:
                continue  # nobody asked for it
            before = ids.newest
            if ids.take((trade,)):
                fresh.append(trade)
                self._note_gap(before, trade.id)
                report.filled += before is not None and trade.id < before
            else:
                report.repeated += 1
        for symbol, newest in heard.newest.items():
            if (ids := self.ids.get(symbol)) is not None:
                self._note_gap(ids.newest, newest + 1)
                ids.expect(newest)
        if heard.refused:
            report.refused |= heard.refused
            log.warning("trades: refused", exchange=self.name, symbols=heard.refused)
        report.trades += len(fresh)
        report.odd += len(heard.odd)
        odd = tuple({"symbol": None, "provider_message": text[:_ODD_LENGTH]} for text in heard.odd)
        return Chunk(rows_of(fresh) if fresh else _NOTHING, odd)

    def _note_gap(self, before: int | None, arrived: int) -> None:
        if before is not None and arrived > before + 1:
            self.report.gaps += 1
            self.report.missed += arrived - before - 1

    def _tell(self, stream: TradeStream, filler: Filler) -> None:
        report, connection = self.report, stream.connection
        report.connected, report.silences = connection.connected, connection.silences
        report.reconnects = max(0, connection.connections - 1)
        report.problem, report.remedy = connection.problem or filler.problem, connection.remedy
        report.absent = filler.absent
        report.open = sum(len(ids.holes) for ids in self.ids.values())
        report.last_trade = {
            symbol: datetime.fromtimestamp(ids.newest_time / _MICROS, UTC).isoformat()
            for symbol, ids in self.ids.items()
            if ids.newest_time
        }

    def _part(self, symbol: str) -> Part:
        """The identity is the content, as everywhere: what changed or was added is published again."""
        start, end = self._request.start, self._request.end or self._clock()
        found = self._exchange.candles(symbol, self._interval, start, end, self._rest.get)
        rows = bars_of(symbol, self._interval, found, self._clock())
        digest = hashlib.sha256(rows.write_csv().encode()).hexdigest()[:16]
        name = f"{self.name}-{symbol.replace('/', '.')}-{self._interval}-{digest}"
        return Part(name, map(Chunk, rows.iter_slices(_CHUNK_ROWS)), rows.height, tuple(self._notes(symbol, rows)))

    def _notes(self, symbol: str, rows: pl.DataFrame) -> Iterator[str]:
        times = rows["event_time"].to_list()
        if not times:
            yield f"{symbol}: no finished bar of {self._interval} in that time"
            return
        first, last = (f"{at:%Y-%m-%d %H:%M}" for at in (times[0], times[-1]))
        yield f"{symbol}: {len(times)} bars of {self._interval}, {first} to {last}"
        start, kept = self._request.start, self._exchange.kept_candles
        if kept and (start is None or times[0] - start > timedelta(days=1)):
            yield f"{symbol}: {self._exchange.title} keeps the newest {kept} bars of an interval, and no older ones"
        gaps = trading_calendar(ALWAYS).gaps(self._interval, times)
        if gaps:
            missing = sum(gap.missing for gap in gaps)
            after = f"{gaps[0].after:%Y-%m-%d %H:%M}"
            yield f"{symbol}: {missing} bars without a trade are left out, the first after {after}"


def rows_of(trades: Sequence[Trade]) -> pl.DataFrame:
    """Trades as the rows of a chunk."""
    columns: dict[str, Any] = {
        "symbol": [trade.symbol for trade in trades],
        "event_time": pl.Series([trade.time for trade in trades], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
        "close": pl.Series([trade.price for trade in trades], dtype=pl.Float64),
        "volume": pl.Series([trade.size for trade in trades], dtype=pl.Float64),
        "trade_id": pl.Series([str(trade.id) for trade in trades], dtype=pl.String),
    }
    rows = pl.DataFrame(columns).with_columns(asset_class=pl.lit("crypto"), interval=pl.lit(TICK))
    return typed(rows)


def bars_of(symbol: str, interval: str, candles: Iterator[Candle], now: datetime) -> pl.DataFrame:
    """Finished candles as the rows of a chunk, each start once, in order."""
    found = {candle.time: candle for candle in candles}
    last = (now - bar_length(interval)).timestamp()
    starts = sorted(start for start in found if start <= last)
    columns: dict[str, Any] = {
        "event_time": pl.Series([start * _MICROS for start in starts], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    }
    for name in ("open", "high", "low", "close", "volume"):
        columns[name] = pl.Series([getattr(found[start], name) for start in starts], dtype=pl.Float64)
    rows = pl.DataFrame(columns).with_columns(
        symbol=pl.lit(symbol), asset_class=pl.lit("crypto"), interval=pl.lit(interval)
    )
    return typed(rows)
