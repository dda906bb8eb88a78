"""The symbol and the interval that a file's name tells, and what a symbol is by its form.

A symbol is taken only from a name that is nothing but one, or that follows a known source's way to name files:
``VOD.L.csv`` and ``ETHUSDT-1h-2024-11.csv``, but neither ``all_stocks.csv`` (ALL is Allstate's ticker) nor
``Dow Jones.csv`` (DOW is Dow Inc.'s).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from financelake_assets.config import AssetClass
from financelake_assets.providers.bar_intervals import canonical

SUFFIXES = re.compile(
    r"(\.(csv|txt|tsv|parquet|pq|json|jsonl|ndjson|feather|arrow|ipc|xlsx|xlsm|zip|gz|tgz|tar|zst|bz2|xz|snappy))+$",
    re.I,
)

_QUOTES = "USDT|USDC|BUSD|FDUSD|TUSD|USD|EUR|GBP|JPY|CHF|AUD|CAD|NZD|BTC|XBT|ETH|BNB|TRY|KRW|INR|BRL|PERP|SWAP"
_PLAIN = r"[\^@$]?[A-Z0-9][A-Z0-9&!#]{0,14}"
_ONE = re.compile(
    rf"{_PLAIN}(?:\.[A-Z]{{1,4}}|=[A-Z]|-[A-Z]{{1,2}}(?:\.[A-Z]{{1,4}})?|[-_/](?:{_QUOTES})(?:[-_:](?:{_QUOTES}))?)?"
)
_STEP = r"(?:\d{1,4}[smhdwMHDW]|[MHDW]\d{1,4}|MN1?|1?\d{0,3}(?:min|minute|hour|day)s?|daily|hourly|weekly|Daily|Weekly)"
_STAMP = r"\d{4}(?:[-_.]?\d{2}){0,2}"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # Binance and alike: ETHUSDT-1h-2024-11, SOLUSDT-aggTrades-2024-12-31
        rf"(?P<symbol>[A-Z0-9_]+?)-(?P<interval>{_STEP})-{_STAMP}",
        rf"(?P<symbol>[A-Z0-9_]+?)-(?P<tick>aggTrades|trades)-{_STAMP}",
        # TradingView: NASDAQ_AAPL, 1D and CME_MINI_ES1!, 60_3f2a1
        r"(?P<exchange>[A-Z][A-Z_]*)_(?P<symbol>[^_,\s]+), (?P<interval>[0-9]*[A-Z]?)(?:_[0-9a-f]+)?(?: \(\d+\))?",
        # Alpha Vantage
        r"(?:daily|daily_adjusted|weekly|weekly_adjusted|monthly|monthly_adjusted)_(?P<symbol>[A-Za-z0-9.\-]+)",
        r"intraday_(?P<interval>\d+min)_(?P<symbol>[A-Za-z0-9.\-]+)",
        # CryptoDataDownload: Gemini_BTCUSD_1h
        rf"[A-Z][A-Za-z]+_(?P<symbol>[A-Z0-9]{{5,}})_(?P<interval>1h|d|minute|1min|{_STEP})(?:_\d{{4}})?",
        # MetaTrader 5: EURUSD_H1_202401020900_202401031200; HistData: DAT_ASCII_EURUSD_M1_202402
        r"(?P<symbol>[A-Z0-9.#&]+)_(?P<interval>[MH]\d+|Daily|Weekly)(?:_.*)?",
        r"DAT_(?:ASCII|MT|MS|NT|XLSX)_(?P<symbol>[A-Z]{6})_(?P<interval>M1)_\d+",
        r"DAT_(?:ASCII|NT)_(?P<symbol>[A-Z]{6})_(?P<tick>T(?:_[A-Z]+)?)_\d+",
        # Stooq: aapl_us_d; Barchart: clz24_daily_historical-data-11-26-2024; Dukascopy
        r"(?P<symbol>[a-z0-9^.\-]+)_(?P<market>us|uk|de|jp|hk|hu|pl)_(?P<interval>[dw])",
        r"(?P<symbol>\^[a-z0-9]+)_(?P<interval>[dw])",
        r"(?P<symbol>[a-z0-9^.\-]+)_(?P<interval>daily|intraday-\d+min|weekly)_historical-data.*",
        r"(?P<symbol>[A-Z0-9.]+)_Candlestick_(?P<interval>\d+_[MHD])_(?:BID|ASK).*",
        # Kaggle's minutes of bitcoin: bitstampUSD_1-min_data_2012-01-01_to_2021-03-31
        r"(?P<symbol>[a-z]+USD)_(?P<interval>1-min)_data_.*",
        # NSE: Quote-Equity-RELIANCE-EQ-02-01-2024-to-11-01-2024
        r"Quote-Equity-(?P<nse>[A-Z0-9&-]+)-EQ-.*",
        # Binance's futures: BTCUSD_PERP-1h-2024-01; FirstRate: AAPL_full_1hour_adjsplit; dukascopy-node; Kaggle
        rf"(?P<symbol>[A-Z0-9]+_(?:PERP|\d{{6}}))-(?P<interval>{_STEP})-{_STAMP}",
        rf"(?P<symbol>[A-Z0-9.]+)_full_(?P<interval>{_STEP})_[a-zA-Z]+",
        r"(?P<symbol>[a-z]{6})-(?P<interval>[mhd]\d+)-(?:bid|ask)-.*",
        r"(?P<symbol>[a-z]{3}usd)_(?P<interval>1-min)_data",
        # Finam: SBER_240101_240131
        r"(?P<symbol>[A-Z0-9.]+)_\d{6}_\d{6}",
        # a symbol with an interval, a span or both
        rf"(?P<symbol>{_ONE.pattern})[-_](?P<interval>{_STEP})(?:[-_]{_STAMP})*",
        rf"(?P<symbol>{_ONE.pattern})(?:[-_]{_STAMP}){{1,2}}",
    )
)
_MINUTES = ("1", "5", "15", "30", "60", "240", "720", "1440")
_DATE_LIKE = re.compile(r"(?:18|19|20)\d{2}(?:[-_.]?\d{2}){0,2}")
_WORDS = frozenset(
    [
        "ALL",
        "ASSET",
        "ASSETS",
        "AUG",
        "BACKTEST",
        "BACKUP",
        "BAR",
        "BARS",
        "BASE",
        "BASKET",
        "BINANCE",
        "BITCOIN",
        "BOND",
        "BONDS",
        "BOOK",
        "BOOK1",
        "BRENT",
        "BTFD",
        "CALC",
        "CANDLE",
        "CANDLES",
        "CASH",
        "CHART",
        "CLEAN",
        "CLOSE",
        "CLOSES",
        "COAL",
        "COCOA",
        "COFFEE",
        "COMBINED",
        "COPPER",
        "COPY",
        "CORN",
        "COTTON",
        "CRUDE",
        "CRYPTO",
        "CSV",
        "DAILY",
        "DATA",
        "DATA1",
        "DATASET",
        "DATE",
        "DATES",
        "DAY",
        "DAYS",
        "DF",
        "DOC",
        "DOCS",
        "DOLLAR",
        "DOW",
        "DOWNLOAD",
        "EDITED",
        "ETF",
        "ETFS",
        "ETHEREUM",
        "EU",
        "EUR",
        "EURO",
        "EXCEL",
        "EXPORT",
        "FILE",
        "FILLS",
        "FINAL",
        "FIXED",
        "FORD",
        "FOREX",
        "FRAME",
        "FULL",
        "FUND",
        "FUNDS",
        "FUTURES",
        "GAS",
        "GBP",
        "GLOBAL",
        "GOLD",
        "GOOGLE",
        "HIGH",
        "HIST",
        "HISTORICAL",
        "HISTORY",
        "HOME",
        "HOUR",
        "HOURLY",
        "HOURS",
        "IN",
        "INDEX",
        "INDICES",
        "INPUT",
        "JPY",
        "JSON",
        "KLINE",
        "KLINES",
        "KRAKEN",
        "LINE",
        "LINES",
        "LIST",
        "LOG",
        "LOW",
        "MAIN",
        "MARKET",
        "MERGED",
        "MIN",
        "MINUTE",
        "MINUTES",
        "MIXED",
        "MONTH",
        "MONTHLY",
        "MONTHS",
        "MY",
        "NAIVE",
        "NASDAQ",
        "NEW",
        "NEWS",
        "NYSE",
        "OHLC",
        "OHLCV",
        "OIL",
        "OLD",
        "OPEN",
        "ORDERS",
        "OUT",
        "OUTPUT",
        "PALLADIUM",
        "PANDAS",
        "PART",
        "PLATINUM",
        "PORTFOLIO",
        "POUND",
        "PRICE",
        "PRICES",
        "QUANT",
        "QUOTE",
        "QUOTES",
        "RANGE",
        "RATE",
        "RATES",
        "RAW",
        "REPORT",
        "RESULT",
        "RESULTS",
        "RETURNS",
        "ROOT",
        "SAMPLE",
        "SERIES",
        "SHARE",
        "SHARES",
        "SHEET",
        "SHEET1",
        "SILVER",
        "SOLAR",
        "SPOT",
        "STOCK",
        "STOCKS",
        "STOOQ",
        "STRATEGY",
        "SUGAR",
        "SYMBOL",
        "SYMBOLS",
        "TABLE",
        "TEMP",
        "TEST",
        "TICK",
        "TICKER",
        "TICKERS",
        "TICKS",
        "TIME",
        "TIMES",
        "TMP",
        "TODAY",
        "TOTAL",
        "TRADE",
        "TRADES",
        "TRAIN",
        "UK",
        "UNTITLED",
        "US",
        "USD",
        "VALUE",
        "VALUES",
        "VOLUME",
        "WEEK",
        "WEEKLY",
        "WEEKS",
        "WHEAT",
        "WORK",
        "WORLD",
        "YAHOO",
        "YEAR",
        "YEARLY",
        "YEARS",
        "YEN",
    ]
)
"""Names of files and of things, which are no symbols although some are tickers as well (GOLD, ALL, DOW, BOND)."""
_FEWEST_DIGITS = 4
_LONGEST_LOWER = 5

_BARE_EXCHANGES = frozenset(["NASDAQ", "NYSE", "AMEX", "ARCA", "BATS", "CBOE", "OTC"])
_OTHER_MARKETS = re.compile(
    r"CME|CBOT|NYMEX|COMEX|ICE|EUREX|MCX|FX|OANDA|FOREX|SP$|DJ$|TVC|INDEX|CRYPTO|PEPPERSTONE|SAXO|CAPITAL"
)
_COIN_QUOTES = re.compile(r"(?:USDT?|USDC|EUR|BTC|ETH|KRW|TRY|JPY|GBP|PERP)(?:\.P)?$")
_SUFFIX_OF = {
    "LSE": "L",
    "XETR": "DE",
    "FWB": "F",
    "MIL": "MI",
    "BME": "MC",
    "SIX": "SW",
    "OMXSTO": "ST",
    "TSX": "TO",
    "TSXV": "V",
    "ASX": "AX",
    "NSE": "NS",
    "BSE": "BO",
    "TSE": "T",
    "HKEX": "HK",
    "KRX": "KS",
    "SSE": "SS",
    "SZSE": "SZ",
    "TWSE": "TW",
    "SGX": "SI",
    "JSE": "JO",
    "BMFBOVESPA": "SA",
    "BMV": "MX",
}
"""The suffix by which most sources tell the shares of an exchange from others of the same letters."""

_COINS = (
    "BTC|XBT|ETH|SOL|XRP|XXRP|ADA|DOGE|XDG|LTC|DOT|LINK|BNB|AVAX|MATIC|POL|TRX|SHIB|BCH|XLM|ATOM|UNI|ETC|FIL|NEAR|APT|"
    "ARB|OP|SUI|TON|PEPE|XMR|ALGO|AAVE|EOS|DASH|ZEC|XXBT|XETH"
)
_CRYPTO = re.compile(
    rf"(?:[-/_](?:USDT?|USDC|EUR|BTC|ETH)(?:[:_].+)?$|(?:USDT|USDC|BUSD|FDUSD|PERP)$"
    rf"|^(?:X:)?(?:{_COINS})[-/_]?Z?(?:{_QUOTES})$)"
)
_FOREX = re.compile(r"^(?:EUR|GBP|AUD|NZD|CAD|CHF|JPY|USD|SEK|NOK|TRY|CNH|INR)[-/_](?:USD|EUR|GBP|JPY|CHF|CAD|AUD)$")
_METALS = re.compile(r"^(?:XAU|XAG|XPT|XPD)[-/_]?(?:USD|EUR)$|=F$|^[A-Z]{1,3}\d!$")


@dataclass(frozen=True)
class Named:
    """What a file's name says; ``None`` where it says nothing."""

    symbol: str | None = None
    interval: str | None = None


def of_name(name: str) -> Named:
    """The symbol and the interval in a file's name."""
    stem = re.sub(r" ?\(\d+\)$", "", SUFFIXES.sub("", name)).strip()
    for pattern in _PATTERNS:
        match = pattern.fullmatch(stem)
        if match:
            parts = match.groupdict()
            if parts.get("nse"):
                return Named(f"{parts['nse']}.NS", "1d")
            symbol = parts["symbol"].upper() + (f".{parts['market'].upper()}" if parts.get("market") else "")
            if parts.get("exchange"):
                return Named(_of_exchange(parts["exchange"], symbol), _interval(parts.get("interval")))
            if not _is_word(symbol) and not _DATE_LIKE.fullmatch(symbol):
                return Named(symbol, "tick" if parts.get("tick") else _interval(parts.get("interval")))
    minutes = re.fullmatch(r"(?P<symbol>[A-Z0-9]{5,})_(?P<minutes>\d+)", stem)
    if minutes and minutes["minutes"] in _MINUTES:
        return Named(minutes["symbol"], canonical(f"{minutes['minutes']}m"))  # Kraken
    minutes = re.fullmatch(r"(?P<symbol>[A-Z]{6})(?P<minutes>1|5|15|30|60|240|1440|10080)", stem)
    if minutes:
        return Named(minutes["symbol"], canonical(f"{minutes['minutes']}m"))  # MetaTrader 4
    return Named(_whole(stem))


def _whole(stem: str) -> str | None:
    """A name that is nothing but a symbol. Small letters are taken for one only where they are few, and no word."""
    upper = stem.upper()
    digits_only = stem.isdigit() and len(stem) < _FEWEST_DIGITS
    if not _ONE.fullmatch(upper) or _DATE_LIKE.fullmatch(stem) or _is_word(upper) or digits_only:
        return None
    if stem == upper:
        return upper
    base = re.split(r"[.\-_=/]", stem)[0]
    word = _is_word(base.upper()) or len(base) > _LONGEST_LOWER or len(stem) < 2
    mixed = stem != stem.lower()
    return None if word or mixed else upper


def _is_word(text: str) -> bool:
    return text in _WORDS or (text[-1:].isdigit() and text.rstrip("0123456789") in _WORDS)


def _of_exchange(exchange: str, symbol: str) -> str | None:
    """A symbol of TradingView as other sources write it: LSE_VOD is VOD.L, and VOD is another share of Vodafone's."""
    if exchange in _SUFFIX_OF:
        return f"{symbol}.{_SUFFIX_OF[exchange]}"
    if exchange in _BARE_EXCHANGES:
        return symbol
    other = _OTHER_MARKETS.match(exchange) or _COIN_QUOTES.search(symbol)
    return symbol if other and not _is_word(symbol) else None


def _interval(text: str | None) -> str | None:
    if not text:
        return None
    if text.isdigit():
        return canonical(f"{text}m")
    found = re.fullmatch(r"(\d+)_([MHD])", text)
    return canonical(found[1] + found[2].lower() if found else text)


def looks_like_symbol(text: str) -> bool:
    """Whether a value of a column can be a symbol rather than a name of several words."""
    return bool(re.fullmatch(r"[^\s,;\"'\\<>{}()|]{1,32}", text.strip()))


def are_symbols(values: list[str]) -> bool:
    """Whether a column's values are symbols: capitals, or such as sh.600000; not names of companies."""
    return all(
        looks_like_symbol(one) and (one == one.upper() or re.fullmatch(r"[a-z]{2}\.\d+|[a-z]+[-/_][a-z]+", one))
        for one in values
    )


def guess_class(symbol: str) -> AssetClass:
    """What a symbol is, by how it is written: BTC-USD, ETHUSDT are crypto, GC=F is a commodity, others are stocks."""
    if _METALS.search(symbol):
        return "commodity"
    return "crypto" if _CRYPTO.search(symbol) and not _FOREX.match(symbol) else "stock"
