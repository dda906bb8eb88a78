"""Yahoo Finance: history by yfinance, live quotes by its WebSocket. For personal use only, by Yahoo's terms.

Input: symbols, and where wanted interval and times. Output: finished bars, one part a symbol; then ticks, and after a
lost connection the minutes that were missed, from history. Prices in a minor unit are converted here, all of them.
Nobody is contacted before a user names this provider.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import polars as pl
import structlog

from financelake_assets.calendars import TradingCalendar, calendar_of, trading_calendar
from financelake_assets.config import AssetClass
from financelake_assets.intervals import TICK
from financelake_assets.providers.base import COLUMNS, Capabilities, Chunk, Part, ProviderError
from financelake_assets.providers.courtesy import Courtesy, UnavailableError
from financelake_assets.providers.formats.symbols import guess_class
from financelake_assets.providers.request import IngestRequest
from financelake_assets.providers.units import UNSAID, KnownUnit, PriceUnit, converted, decide, noted
from financelake_assets.providers.web_socket import Patience
from financelake_assets.providers.yahoo_history import INTERVALS, History, UnknownSymbolError, fetch, windows
from financelake_assets.providers.yahoo_quotes import QuoteUnits
from financelake_assets.providers.yahoo_stream import URL, Interrupted, QuoteStream

COURTESY = Courtesy("Yahoo")
"""Shared by everything that asks Yahoo."""

_CHUNK_ROWS = 2_000
_EXCHANGE = "."
_MINUTE = timedelta(minutes=1)
_AGAIN_SECONDS = 60.0
_NOTHING = Chunk(pl.DataFrame(schema=dict(COLUMNS)))

log = structlog.get_logger()


@dataclass
class _Owed:
    """Minutes of a symbol that the stream may have missed, to be asked for when ``due``."""

    symbol: str
    since: datetime
    due: float


class YahooProvider:
    """Yahoo's data of the symbols that a request names."""

    name = "yfinance"
    capabilities = Capabilities(history=True, live=True, network=True)

    def __init__(
        self,
        request: IngestRequest,
        courtesy: Courtesy = COURTESY,
        *,
        stream_url: str = URL,
        patience: Patience | None = None,
        timeout: float = 20.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Set it up; nothing is sent.

        Args:
            request: names the symbols.
            courtesy: how requests for history are paced.
            stream_url: the server of live quotes.
            patience: how long the stream waits for what.
            timeout: seconds that one request may take.
            clock: the time, which says which bars are finished.

        Raises:
            ProviderError: the request names no symbols, or an interval that Yahoo does not have.
        """
        self._symbols = request.symbols or ((request.symbol,) if request.symbol else ())
        if not self._symbols:
            raise ProviderError("say which symbols with --symbols, for example AAPL,BTC-USD,GC=F")
        self._interval = request.interval or "1d"
        if self._interval not in INTERVALS and not (request.live and self._interval == TICK):
            raise ProviderError(f"Yahoo has no bars of {self._interval}; it has {', '.join(INTERVALS)}")
        self._request = request
        self._courtesy = courtesy
        self._url = stream_url
        self._patience = patience
        self._timeout = timeout
        self._clock = clock
        self._known: dict[str, KnownUnit] = {}
        self.units: dict[str, PriceUnit] = {}

    def know(self, known: Mapping[str, KnownUnit]) -> None:
        """Take note of what the lake knows of the symbols."""
        self._known = dict(known)

    def history(self) -> Iterator[Part]:
        """One part a symbol. A symbol that cannot be had does not keep the others from being published."""
        if self._interval == TICK:
            return  # Yahoo has no past ticks
        wrong: list[str] = []
        for symbol in dict.fromkeys(self._symbols):
            try:
                yield self._part(symbol, self._history(symbol, self._interval, self._request.start, self._request.end))
            except UnavailableError:
                raise
            except ProviderError as error:
                wrong.append(str(error))
        if wrong:
            raise ProviderError(f"{len(wrong)} of {len(self._symbols)} symbols were not loaded: {'; '.join(wrong)}")

    def live(self, start: int = 0) -> Iterator[Chunk]:  # noqa: ARG002  # what happens now cannot be skipped
        """Ticks as they come, and bars of a minute for what was missed. Empty chunks show that it is alive."""
        owed: list[_Owed] = []
        units = QuoteUnits(self._noted_units(), self._ask_unit)
        stream = QuoteStream(self._symbols, self._trading, self._request.asset_class, self._url, self._patience)
        for heard in stream.read():
            if isinstance(heard, Chunk):
                yield units.convert(heard)
            else:
                self._owe(owed, heard)
            if units.is_due():
                yield units.ask_one()
            # one at a time: quotes go on coming in between
            if owed and owed[0].due <= time.monotonic():
                yield self._make_good(owed)

    def _noted_units(self) -> dict[str, PriceUnit | None]:
        """The unit of each symbol's prices by the lake's own note; ``None`` where Yahoo has to be asked.

        Only shares of an exchange with a suffix (VOD.L) can have prices in a minor unit. Others are left out, so that
        their quotes never wait for a chart.
        """
        known = {symbol: self._known.get(symbol) for symbol in self._symbols if _EXCHANGE in symbol}
        return {
            symbol: self._unit(symbol, None) if one and one.quoted not in (None, "", UNSAID) else None
            for symbol, one in known.items()
        }

    def _ask_unit(self, symbol: str) -> PriceUnit:
        """A quote does not say its unit: the chart of its symbol does."""
        try:
            self._history(symbol, "1d", None, None)
        except UnknownSymbolError:
            return self._unit(symbol, None)
        return self.units.get(symbol) or self._unit(symbol, None)

    def _unit(self, symbol: str, said: str | None) -> PriceUnit:
        """The unit of a symbol's prices from now on; raises UnitError where it would be another than before."""
        known = self._known.get(symbol)
        unit = decide(symbol, said, known, self.name)
        if known is None or not known.quoted:
            told = log.warning if unit.is_odd else log.info
            told("the unit of a symbol's prices", symbol=symbol, unit=unit.words)
        self.units[symbol] = unit
        provider, before = (known.provider, known.quoted) if known else (self.name, "")
        self._known[symbol] = KnownUnit(provider, noted(unit, before), unit.kept)
        return unit

    def _owe(self, owed: list[_Owed], lost: Interrupted) -> None:
        """Minutes are asked for when the one in which the connection came back is over."""
        back = self._clock().replace(second=0, microsecond=0) + _MINUTE
        due = time.monotonic() + (back - self._clock()).total_seconds()
        since = lost.since.replace(second=0, microsecond=0)
        waiting = {one.symbol for one in owed}
        owed += [_Owed(symbol, since, due) for symbol in self._symbols if symbol not in waiting]

    def _make_good(self, owed: list[_Owed]) -> Chunk:
        one = owed.pop(0)
        try:
            rows = self._history(one.symbol, "1m", one.since, None).rows.filter(pl.col("event_time") >= one.since)
        except UnknownSymbolError:
            return _NOTHING  # no bar in that time: nothing was missed
        except ProviderError as error:
            log.warning("missed minutes are asked for again later", symbol=one.symbol, problem=str(error))
            owed.append(_Owed(one.symbol, one.since, time.monotonic() + _AGAIN_SECONDS))
            return _NOTHING
        log.info("missed minutes are made good", symbol=one.symbol, since=one.since.isoformat(), bars=rows.height)
        return Chunk(rows)

    def _trading(self, now: datetime) -> bool:
        classes = {self._request.asset_class or guess_class(symbol) for symbol in self._symbols}
        return any(self._calendar(asset_class).is_trading(now) for asset_class in classes)

    def _calendar(self, asset_class: AssetClass) -> TradingCalendar:
        named = self._request.calendar
        return trading_calendar(named) if named else calendar_of(asset_class)

    def _history(self, symbol: str, interval: str, start: datetime | None, end: datetime | None) -> History:
        now = self._clock()
        answers = [
            self._courtesy.call(
                partial(fetch, symbol, interval, first, last, self._request.asset_class, self._timeout, now)
            )
            for first, last in windows(interval, start, end, now)
        ]
        if not answers:
            raise ProviderError(f"{symbol}: Yahoo no longer has bars of {interval} from before {end:%Y-%m-%d}")
        # an answer without a bar and without a currency says nothing of the unit
        rows = [
            converted(answer.rows, self._unit(symbol, answer.currency))
            if answer.currency or len(answer.rows)
            else answer.rows
            for answer in answers
        ]
        return replace(answers[-1], rows=pl.concat(rows).unique("event_time", keep="last").sort("event_time"))

    def _part(self, symbol: str, history: History) -> Part:
        """The identity is the content: if Yahoo has changed or added anything, silver gets to see all of it again."""
        # the adjusted close is a product of floats whose last digits differ from answer to answer
        steady = history.rows.with_columns(pl.col("adj_close").round_sig_figs(5))
        digest = hashlib.sha256(steady.write_csv().encode()).hexdigest()[:16]
        name = f"yfinance-{symbol}-{self._interval}-{digest}"
        chunks = map(Chunk, history.rows.iter_slices(_CHUNK_ROWS))
        return Part(name, chunks, history.rows.height, tuple(self._notes(symbol, history)))

    def _notes(self, symbol: str, history: History) -> Iterator[str]:
        times = history.rows["event_time"].to_list()
        if not times:
            yield f"{symbol}: no finished bar of {self._interval} in that time"
            return
        yield (
            f"{symbol}: {len(times)} bars of {self._interval}, {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}, "
            f"a {history.asset_class}, in {self.units[symbol].words}"
        )
        if history.name != symbol:
            yield f"{symbol}: Yahoo calls it {history.name} now, and may stop to answer to the old name"
        if self._request.start and times[0] - self._request.start > timedelta(days=7):
            yield f"{symbol}: Yahoo has nothing of it before {times[0]:%Y-%m-%d}"
        wanted = self._request.asset_class
        if wanted and wanted != history.asset_class:
            yield f"{symbol}: left out, it is a {history.asset_class} and {wanted} was asked for"
        calendar = self._calendar(history.asset_class)
        if calendar.zone == history.zone:
            gaps = calendar.gaps(self._interval, times)
            if gaps:
                yield (
                    f"{symbol}: {sum(gap.missing for gap in gaps)} bars are missing by the calendar {calendar.name}, "
                    f"the first after {gaps[0].after:%Y-%m-%d %H:%M}"
                )


def from_request(request: IngestRequest) -> YahooProvider:
    """Yahoo's data of the symbols that a request names."""
    return YahooProvider(request)
