"""Yahoo's history of one symbol, by yfinance: a request, and its answer as rows.

Input: symbol, interval, times. Output: finished bars in the columns of a chunk. ``close`` is what Yahoo calls close
(adjusted for splits, not for dividends) and ``adj_close`` its adjusted close; a dividend or split is on the bar of its
day. ``auto_adjust`` is pinned, because its default changed between releases and silently changes what ``close`` means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import yfinance as yf
from yfinance.exceptions import YFPricesMissingError, YFRateLimitError, YFTzMissingError

from financelake_assets.config import AssetClass
from financelake_assets.intervals import interval_length
from financelake_assets.providers.base import ProviderError, typed
from financelake_assets.providers.courtesy import PassingError
from financelake_assets.providers.formats.symbols import guess_class

INTERVALS = {
    **{name: name for name in ("1m", "2m", "5m", "15m", "30m", "1h", "1d")},
    "1w": "1wk",
}
"""Ours → Yahoo's."""

CLASSES: Mapping[str, AssetClass] = {
    **dict.fromkeys(("EQUITY", "ETF", "MUTUALFUND", "INDEX"), "stock"),
    "CRYPTOCURRENCY": "crypto",
    "FUTURE": "commodity",
}

_FIELDS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
    "Dividends": "dividend",
    "Stock Splits": "split",
}
# how far back Yahoo keeps bars, less a day so that the request is not too late when it arrives
_REACH = {"1m": timedelta(days=29), "1h": timedelta(days=729)}
_REACH_OTHERS = timedelta(days=59)
_WINDOW_1M = timedelta(days=7)

# errors must be raised to be told apart; by default yfinance logs them and returns an empty frame
yf.config.debug.hide_exceptions = False


class UnknownSymbolError(ProviderError):
    """Yahoo has no such symbol, or nothing of it at these times."""


@dataclass(frozen=True)
class History:
    """Bars of one symbol as they are quoted, and what Yahoo says of it; ``name`` is its symbol as Yahoo has it now.

    ``currency`` may be a minor one, such as GBp; ``None`` where Yahoo says none.
    """

    rows: pl.DataFrame
    asset_class: AssetClass
    currency: str | None
    zone: str
    name: str


def fetch(
    symbol: str,
    interval: str,
    start: datetime | None,
    end: datetime | None,
    given: AssetClass | None,
    timeout: float,
    now: datetime,
) -> History:
    """Ask Yahoo once for the finished bars of a symbol in a window that one request may cover.

    Raises:
        PassingError: asking again may help.
        UnknownSymbolError: it will not.
    """
    # yfinance keeps answers in memory, pages of HTML too; a second attempt must not be given the first one's
    yf.data.YfData.cache_get.cache_clear()
    when = {"period": "max"} if start is None else {"start": start, "end": end or now}
    try:
        ticker = yf.Ticker(symbol)
        frame = ticker.history(
            **when, interval=INTERVALS[interval], auto_adjust=False, actions=True, repair=False, timeout=timeout
        )
        about = ticker.get_history_metadata()
        kind, currency = str(about.get("instrumentType")), about.get("currency") or None
        name = str(about.get("symbol") or symbol)
    except Exception as error:
        raise understood(symbol, error) from error
    asset_class = CLASSES.get(kind) or given or guess_class(symbol)
    rows = bars(frame, symbol, asset_class, interval, now)
    return History(rows, asset_class, currency and str(currency), str(pd.DatetimeIndex(frame.index).tz), name)


def windows(
    interval: str, start: datetime | None, end: datetime | None, now: datetime
) -> list[tuple[datetime | None, datetime | None]]:
    """What to ask for, one request each: Yahoo keeps bars below a day for a while only, and gives 8 days of minutes."""
    length = interval_length(interval)
    if length is None or length >= timedelta(days=1):
        return [(start or datetime(1900, 1, 1, tzinfo=UTC), end) if end else (start, None)]
    earliest = now - _REACH.get(interval, _REACH_OTHERS)
    first, last = max(start or earliest, earliest), end or now
    if interval != "1m":
        return [(first, last)]
    found: list[tuple[datetime | None, datetime | None]] = []
    while first < last:
        found.append((first, min(first + _WINDOW_1M, last)))
        first += _WINDOW_1M
    return found


def bars(frame: pd.DataFrame, symbol: str, asset_class: AssetClass, interval: str, now: datetime) -> pl.DataFrame:
    """A frame of yfinance as rows, without the bar that is not over.

    Raises:
        ProviderError: the frame has other columns than this version of yfinance gives.
    """
    if isinstance(frame.columns, pd.MultiIndex):
        # one symbol was asked for; the level that names it says nothing
        names = next(level for level in frame.columns.levels if "Close" in level)
        frame = frame.set_axis(frame.columns.get_level_values(frame.columns.names.index(names.name)), axis=1)
    absent = sorted(set(_FIELDS) - set(frame.columns))
    if absent:
        raise ProviderError(f"{symbol}: yfinance {yf.__version__} gives no {', '.join(absent)}; this needs 1.7.0")
    length = interval_length(interval)
    assert length is not None  # noqa: S101  # a request for ticks was refused
    starts = pd.DatetimeIndex(frame.index)
    if length >= timedelta(days=1):
        # days are dates: midnight where the market is, written as midnight in UTC like everybody's daily bars
        over = starts + length <= pd.Timestamp(now).tz_convert(starts.tz)
        starts = starts.tz_localize(None).tz_localize("UTC")
    else:
        over = starts + length <= pd.Timestamp(now)
        starts = starts.tz_convert("UTC")
    named = frame[list(_FIELDS)].rename(columns=_FIELDS).assign(event_time=starts)[over]
    named = named.astype(dict.fromkeys(_FIELDS.values(), "float64"))
    rows = pl.from_pandas(named.reset_index(drop=True)).with_columns(
        pl.lit(symbol).alias("symbol"),
        pl.lit(asset_class).alias("asset_class"),
        pl.lit(interval).alias("interval"),
        # yfinance writes "none" as zero
        pl.col("dividend").replace(0.0, None),
        pl.col("split").replace(0.0, None),
    )
    return typed(rows).sort("event_time")


def understood(symbol: str, error: Exception) -> ProviderError:
    """What yfinance raised, as one of ours: may asking again help?"""
    if isinstance(error, YFRateLimitError):
        return PassingError("Yahoo says too many requests (429)")
    if isinstance(error, YFPricesMissingError):
        return UnknownSymbolError(f"{symbol}: {error.rationale}")
    not_found = getattr(getattr(error, "response", None), "status_code", None) == 404
    if not_found or isinstance(error, YFTzMissingError):
        return UnknownSymbolError(
            f"{symbol}: Yahoo does not know this symbol, or no longer; look it up on finance.yahoo.com"
        )
    if isinstance(error, ValueError) and "JSON" in f"{type(error).__name__} {error}":
        return PassingError(f"{symbol}: Yahoo answered with something that is no data, such as a page of HTML")
    kind = type(error).__name__
    if "Timeout" in kind or "timed out" in str(error):
        return PassingError(f"{symbol}: Yahoo did not answer in time")
    return PassingError(f"{symbol}: Yahoo's answer could not be used: {kind}: {str(error)[:200]}")
