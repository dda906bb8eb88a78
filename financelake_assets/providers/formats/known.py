"""Formats that are known by name: one short declaration each.

A format is recognised by the names of its columns, or, where it has no header, by the number and the shape of its
columns. It says what columns cannot: a zone, a scale, an asset class. To add one, add a ``Format`` to ``FORMATS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from financelake_assets.config import AssetClass

_N = r"-?\d+(\.\d+)?([eE][-+]?\d+)?"
_I = r"-?\d+(\.0*)?"
_S = r"1?\d{9}"
_MS = r"\d{12,13}|\d{16}"
_DAY = r"\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4}|(?:19|20)\d{6}"
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?|\d{6}|\d{4}"
_TIME = r"(\d{4}[-/.]\d{2}[-/.]\d{2}|\d{2}[-/.]\d{2}[-/.]\d{4})[ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?"
_SYMBOL = r"[\^@]?[A-Z0-9][A-Z0-9.=&!_\-]*[A-Z][A-Z0-9.=&!_\-]*|[A-Z]|\d{3,6}\.[A-Z]{1,3}"
_PER = r"\d{1,4}|[DWMdwm]"


@dataclass(frozen=True)
class Format:
    """What is known of the files of one source.

    ``header``: names that a header of it has, without case and punctuation. ``columns`` and ``shapes``: names for a
    file without a header, and a regular expression for each. ``fields``: field → column, where the name is not enough;
    ``-`` where the column of that name is something else. ``only``: as many columns as that, and no more. ``scale`` is
    applied to prices that are whole numbers. ``file``, ``path`` and ``above``: regular expressions that the file's name
    begins with, and that its path, or the lines above the names, hold.
    """

    name: str
    title: str
    header: frozenset[str] = frozenset()
    columns: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    only: int | None = None
    path: str = ""
    above: str = ""
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


def _no_header(name: str, title: str, columns: str, begin: Sequence[str]) -> Format:
    """Prices in plain text without names: after ``begin`` open, high, low, close, perhaps a volume."""
    named = tuple(columns.split())
    numbers = [_I if one in ("volume", "openint") else _N for one in named[len(begin) :]]
    return Format(name, title, columns=named, shapes=(*begin, *numbers), decimal=".")


def _exchange(name: str, title: str, columns: str, time: str) -> Format:
    """Arrays as an exchange's API gives them: a time, then numbers."""
    named = tuple(columns.split())
    return Format(
        name, title, columns=named, shapes=(time, *[_N] * (len(named) - 1)), asset_class="crypto", decimal="."
    )


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
        "Finam's exports of ticks",
        header=_header("ticker per date time last vol"),
        angle=True,
        decimal=".",
    ),
    Format(
        "histdata",
        "HistData's ASCII bars of a minute, in EST without summer time",
        file=r"DAT_(?:ASCII|NT)_",
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
        "lean-daily",
        "QuantConnect Lean's days and hours: prices times 10,000, in New York",
        columns=("time", "open", "high", "low", "close", "volume"),
        shapes=(r"\d{8} \d{2}:\d{2}", r"\d+", r"\d+", r"\d+", r"\d+", r"\d+"),
        path=r"equity/[a-z]+/(?:daily|hour)/",
        timezone="America/New_York",
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
        fields={"volume": "Volume_(BTC)"},
        header=_header("timestamp open high low close volumebtc volumecurrency weightedprice"),
        asset_class="crypto",
        decimal=".",
    ),
    Format(
        "eia",
        "EIA's downloads, with the month first",
        header=_header("day"),
        only=2,
        above=r"eia\.gov|Energy Information Administration",
        time_format="%m/%d/%Y",
        decimal=".",
    ),
    Format("fred", "FRED", header=_header("observationdate"), only=2, decimal="."),
    Format(
        "finam",
        "Finam's exports, with a header or without",
        header=_header("date time open high low close vol"),
        columns=("ticker", "per", "date", "time", "open", "high", "low", "close", "vol"),
        shapes=(_SYMBOL, _PER, _DAY + r"|\d{6}", _CLOCK + r"|0", _N, _N, _N, _N, _I),
        angle=True,
        decimal=".",
    ),
    Format(
        "stooq",
        "Stooq's text files without a header",
        columns=("ticker", "per", "date", "time", "open", "high", "low", "close", "vol", "openint"),
        shapes=(_SYMBOL, _PER, _DAY, _CLOCK + r"|0", _N, _N, _N, _N, _N, _I),
        decimal=".",
    ),
    Format(
        "metastock",
        "MetaStock's ASCII files: Stooq, bossa.pl",
        header=_header("ticker dtyyyymmdd open high low close vol"),
        columns=("ticker", "date", "open", "high", "low", "close", "volume", "openint"),
        shapes=(_SYMBOL, _DAY, _N, _N, _N, _N, _I, _I),
        angle=True,
        decimal=".",
    ),
    _no_header("metastock", "MetaStock's ASCII files", "ticker date open high low close volume", (_SYMBOL, _DAY)),
    _no_header("text-daily", "Kibot, FirstRateData, NinjaTrader: days", "date open high low close volume", (_DAY,)),
    _no_header("text-daily", "The same without a volume", "date open high low close", (_DAY,)),
    _no_header(
        "text-bars",
        "Kibot, MetaTrader, cTrader: bars with date and clock apart",
        "date time open high low close volume",
        (_DAY, _CLOCK),
    ),
    _no_header("text-bars", "The same without a volume", "date time open high low close", (_DAY, _CLOCK)),
    _no_header("text-bars", "FirstRateData: bars with one time", "time open high low close volume", (_TIME,)),
    _no_header("text-bars", "The same without a volume", "time open high low close", (_TIME,)),
    _no_header("ninjatrader", "NinjaTrader: bars", "datetime open high low close volume", (r"\d{8} \d{4}(\d{2})?",)),
    _exchange("kraken-api", "Kraken's API: OHLC", "time open high low close vwap volume count", _S),
    _exchange("okx", "OKX: candles", "time open high low close volume vol_ccy vol_quote confirm", _MS),
    _exchange("bybit", "Bybit, Bitget: candles", "time open high low close volume turnover", _MS),
    _exchange("kucoin", "KuCoin: candles", "time open close high low volume turnover", _S),
    _exchange("bitfinex", "Bitfinex: candles", "time open close high low volume", _MS),
    _exchange("coinbase", "Coinbase: candles", "time low high open close volume", rf"{_S}|{_MS}"),
    _exchange("coingecko", "CoinGecko: OHLC", "time open high low close", _MS),
    _exchange(
        "ohlcv", "Arrays of time in seconds, open, high, low, close, volume", "time open high low close volume", _S
    ),
    Format(
        "coingecko",
        "CoinGecko's download of prices; its total volume is money",
        header=_header("snappedat price marketcap totalvolume"),
        fields={"volume": "-"},
        asset_class="crypto",
        decimal=".",
    ),
    Format(
        "coinmarketcap",
        "CoinMarketCap's download; the time is that of the open",
        header=_header("timeopen timeclose open high low close volume marketcap timestamp"),
        fields={"event_time": "timeOpen", "symbol": "-"},
        asset_class="crypto",
        decimal=".",
    ),
    Format(
        "huobi",
        "HTX (Huobi): candles; its vol is money",
        header=_header("id open close low high amount vol count"),
        fields={"event_time": "id", "volume": "amount"},
        asset_class="crypto",
        decimal=".",
    ),
    Format(
        "nse-bhavcopy",
        "NSE's and BSE's bhavcopy",
        header=_header("symbol series open high low close tottrdqty timestamp"),
        interval="1d",
        asset_class="stock",
        decimal=".",
    ),
    Format(
        "nse-bhavcopy",
        "NSE's bhavcopy with deliveries",
        header=_header("symbol series date1 prevclose closeprice ttltrdqnty"),
        fields={"close": "CLOSE_PRICE"},
        interval="1d",
        asset_class="stock",
        decimal=".",
    ),
    Format(
        "nse-bhavcopy",
        "NSE's and BSE's bhavcopy since 2024 (UDiFF)",
        header=_header("traddt tckrsymb opnpric hghpric lwpric clspric ttltradgvol"),
        fields={"event_time": "TradDt", "symbol": "TckrSymb"},
        interval="1d",
        asset_class="stock",
        decimal=".",
    ),
    Format(
        "polygon-trades",
        "Polygon's flat files of trades",
        header=_header("ticker siptimestamp participanttimestamp price size sequencenumber"),
        fields={"event_time": "sip_timestamp", "trade_id": "sequence_number"},
        interval="tick",
        decimal=".",
    ),
    Format(
        "databento-trades",
        "Databento's trades; prices are whole numbers of 1e-9",
        header=_header("tsrecv tsevent rtype publisherid instrumentid action side depth price size sequence"),
        fields={"event_time": "ts_event", "trade_id": "sequence"},
        only=14,
        interval="tick",
        scale=1e-9,
        decimal=".",
    ),
    Format(
        "refinitiv",
        "Refinitiv's tick history: bars",
        header=_header("ric domain datetime gmtoffset type open high low last volume"),
        fields={"symbol": "#RIC", "event_time": "Date-Time"},
        decimal=".",
    ),
)
