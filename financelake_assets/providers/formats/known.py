"""Formats that are known by name: one short declaration each.

A format is recognised by the names of its columns, or, where it has no header, by the number and the shape of its
columns. It says what columns cannot: a zone, a scale, an asset class. To add one, add a ``Format`` to ``FORMATS``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from financelake_assets.config import AssetClass
from financelake_assets.providers.formats.names import bare

_N = r"-?\d+(\.\d+)?([eE][-+]?\d+)?"
_S = r"1?\d{9}"
_MS = r"\d{12,13}|\d{16}"


@dataclass(frozen=True)
class Format:
    """What is known of the files of one source.

    ``header``: names that a header of it has, without case and punctuation. ``columns`` and ``shapes``: names for a
    file without a header, and a regular expression for each. ``fields``: field → column, where the name is not enough.
    ``only``: as many columns as that, and no more. ``scale`` is applied to prices that are whole numbers.
    """

    name: str
    title: str
    header: frozenset[str] = frozenset()
    columns: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    only: int | None = None
    angle: bool = False
    asset_class: AssetClass | None = None
    interval: str | None = None
    timezone: str | None = None
    time_format: str | None = None
    decimal: str | None = None
    scale: float = 1.0
    file: str = ""


def _header(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _klines(name: str, title: str, columns: str, shapes: Sequence[str]) -> Format:
    return Format(name, title, columns=tuple(columns.split()), shapes=tuple(shapes), asset_class="crypto", decimal=".")


_KLINES = (
    "open_time open high low close volume close_time quote_volume count taker_buy_volume taker_buy_quote_volume ignore"
)

FORMATS: tuple[Format, ...] = (
    Format(
        "binance-klines",
        "Binance public data: klines",
        header=_header("opentime open high low close volume closetime ignore"),
        columns=tuple(_KLINES.split()),
        shapes=(_MS, _N, _N, _N, _N, _N, _MS, _N, r"\d+", _N, _N, r".*"),
        asset_class="crypto",
        decimal=".",
    ),
    _klines(
        "binance-trades",
        "Binance public data: trades",
        "trade_id price qty quote_qty time is_buyer_maker is_best_match",
        (r"\d+", _N, _N, _N, _MS, r"(?i)true|false", r"(?i)true|false"),
    ),
    _klines(
        "binance-aggtrades",
        "Binance public data: aggTrades",
        "agg_trade_id price quantity first_trade_id last_trade_id transact_time is_buyer_maker is_best_match",
        (r"\d+", _N, _N, r"\d+", r"\d+", _MS, r"(?i)true|false", r"(?i)true|false"),
    ),
    Format(
        "binance-aggtrades",
        "Binance public data: aggTrades of futures",
        header=_header("aggtradeid price quantity transacttime"),
        asset_class="crypto",
        interval="tick",
        decimal=".",
    ),
    Format(
        "binance-trades",
        "Binance public data: trades of futures",
        header=_header("id price qty quoteqty time isbuyermaker"),
        asset_class="crypto",
        interval="tick",
        decimal=".",
    ),
    Format(
        "kraken",
        "Kraken's OHLCVT archive",
        columns=("time", "open", "high", "low", "close", "volume", "trades"),
        shapes=(_S, _N, _N, _N, _N, _N, r"\d+"),
        asset_class="crypto",
        decimal=".",
    ),
    Format(
        "kraken-trades",
        "Kraken's archive of trades",
        columns=("time", "price", "volume"),
        shapes=(_S + r"(\.\d+)?", _N, _N),
        asset_class="crypto",
        interval="tick",
        decimal=".",
    ),
    Format(
        "ohlcv",
        "ccxt and freqtrade: arrays of time, open, high, low, close, volume",
        columns=("timestamp", "open", "high", "low", "close", "volume"),
        shapes=(_MS, _N, _N, _N, _N, _N),
        asset_class="crypto",
        decimal=".",
    ),
    Format(
        "metatrader5",
        "MetaTrader 5: bars exported from the symbols' window",
        header=_header("date open high low close tickvol vol spread"),
        angle=True,
        fields={"volume": "tickvol"},
        decimal=".",
    ),
    Format(
        "metatrader4",
        "MetaTrader 4's history centre",
        columns=("date", "time", "open", "high", "low", "close", "volume"),
        shapes=(r"\d{4}\.\d{2}\.\d{2}", r"\d{2}:\d{2}", _N, _N, _N, _N, r"\d+"),
        decimal=".",
    ),
    Format(
        "stooq",
        "Stooq's bulk text files",
        header=_header("ticker per date time open high low close vol openint"),
        angle=True,
        decimal=".",
    ),
    Format(
        "finam",
        "Finam's exports",
        header=_header("ticker per date time close vol"),
        angle=True,
        decimal=".",
    ),
    Format(
        "histdata",
        "HistData's ASCII bars of a minute, in EST without summer time",
        columns=("datetime", "open", "high", "low", "close", "volume"),
        shapes=(r"\d{8} \d{6}", _N, _N, _N, _N, r"\d+"),
        timezone="Etc/GMT+5",
        time_format="%Y%m%d %H%M%S",
        interval="1m",
        decimal=".",
    ),
    Format(
        "cryptodatadownload",
        "CryptoDataDownload",
        header=_header("date symbol open high low close volumeusd"),
        asset_class="crypto",
        decimal=".",
    ),
    Format(
        "cryptodatadownload",
        "CryptoDataDownload, pairs in USDT",
        header=_header("unix date symbol open high low close volumeusdt"),
        asset_class="crypto",
        decimal=".",
    ),
    Format(
        "databento",
        "Databento's OHLCV schemas; prices are whole numbers of 1e-9",
        header=_header("tsevent rtype publisherid instrumentid open high low close volume"),
        fields={"event_time": "ts_event"},
        scale=1e-9,
        decimal=".",
    ),
    Format(
        "polygon",
        "Polygon's flat files of aggregates",
        header=_header("ticker volume open close high low windowstart transactions"),
        decimal=".",
    ),
    Format(
        "lean",
        "QuantConnect Lean: milliseconds of the day in the file's name, prices times 10,000, in New York",
        columns=("time", "open", "high", "low", "close", "volume"),
        shapes=(r"\d{1,8}", r"\d+", r"\d+", r"\d+", r"\d+", r"\d+"),
        file=r"(?P<day>\d{8})_(?P<symbol>[a-z.]+)_(?P<interval>minute)_trade",
        timezone="America/New_York",
        time_format="day_ms",
        scale=1e-4,
        decimal=".",
    ),
    Format(
        "nasdaq",
        "nasdaq.com's historical quotes",
        header=_header("date closelast volume open high low"),
        only=6,
        time_format="%m/%d/%Y",
        decimal=".",
    ),
    Format(
        "investing",
        "investing.com's historical data",
        header=_header("date price open high low vol change"),
    ),
    Format(
        "nse",
        "NSE's quotes of an equity",
        header=_header("date series open high low prevclose ltp close vwap volume value"),
        decimal=".",
    ),
    Format(
        "yfinance",
        "yfinance: Ticker.history().to_csv()",
        header=_header("open high low close volume dividends stocksplits"),
        decimal=".",
    ),
    Format(
        "bitcoincharts",
        "Kaggle's minutes of bitcoin",
        header=_header("timestamp open high low close volumebtc volumecurrency weightedprice"),
        asset_class="crypto",
        decimal=".",
    ),
    Format("fred", "FRED", header=_header("observationdate"), only=2, decimal="."),
)


def named(name: str) -> list[Format]:
    """The declarations of a format; a source with and without a header has several."""
    return [one for one in FORMATS if one.name == name]


def by_header(names: Sequence[str]) -> Format | None:
    """The format that has these columns."""
    keys = {bare(name) for name in names}
    angle = any(name.startswith("<") for name in names)
    for one in FORMATS:
        if one.header and one.header <= keys and one.only in (None, len(names)) and (angle or not one.angle):
            return one
    return None


def by_shape(rows: Sequence[Sequence[str]], file: str) -> Format | None:
    """The format whose columns have the shapes of these rows of a file without a header."""
    for one in FORMATS:
        if one.columns and _fits(one, rows, file):
            return one
    return None


def _fits(one: Format, rows: Sequence[Sequence[str]], file: str) -> bool:
    if one.file and not re.match(one.file, file):
        return False
    shapes = [re.compile(shape) for shape in one.shapes]
    return bool(rows) and all(
        len(row) == len(shapes) and all(shape.fullmatch(cell.strip()) for shape, cell in zip(shapes, row, strict=True))
        for row in rows
    )
