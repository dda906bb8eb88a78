"""Which column is which field, by its name, in the words that sources of several languages use.

Names are compared without case, accents, punctuation and the numbers that Alpha Vantage puts before them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache

from financelake_assets.providers.base import CLOCK
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.zones import without_zone

UNNAMED = "Unnamed: 0"
"""The first column when its name is empty, as pandas calls it."""

# in the order of preference
NAMES: Mapping[str, tuple[str, ...]] = {
    "symbol": (
        *("symbol", "ticker", "tic", "act_symbol", "tradingsymbol", "secid", "instrument", "pair", "sym", "code"),
        *("stockcode", "security", "coin", "asset", "contract", "tickers", "symbols", "stock", "ric", "tickersymbol"),
        *("tscode", "securitiescode", "tckrsymb", "instrumentname", "productid", "instid", "stocksymbol", "name"),
        *("kürzel", "símbolo", "代码", "股票代码", "コード", "тикер"),
    ),
    "asset_class": ("assetclass",),
    "interval": ("interval", "timeframe", "per"),
    "event_time": (
        *("dtyyyymmdd", "snappedat", "siptimestamp", "openat", "startat", "datetimestamp", "tradedatetime", "date1"),
        *("eventtime", "timestamp", "datetime", "dt", "date", "time", "opentime", "tradetime", "ts", "timestampms"),
        *("unixtime", "unix", "unixtimestamp", "epoch", "tsevent", "windowstart", "transacttime", "starttime", "begin"),
        *("gmttime", "utctime", "localtime", "timeutc", "datetimeutc", "dateutc", "dategmt", "barstart", "tradedate"),
        *("tradingdate", "pricedate", "quotedate", "businessdate", "observationdate", "caldt", "day", "period", "t"),
        *(
            "tradedt",
            "päivämäärä",
            "ngày",
            "tanggal",
            "ημερομηνία",
            "תאריך",
            "التاريخ",
            "날짜",
            "dátum",
            "dato",
            "период",
        ),
        *("datum", "fecha", "data", "tarih", "дата", "日期", "时间", "交易日期", "日付", "日付け", "zeit"),
    ),
    CLOCK: (
        *(
            "time",
            "timeofday",
            "clock",
            "hour",
            "hours",
            "minute",
            "hr",
            "stunde",
            "bartime",
            "tradetime",
            "timeutc",
            "timegmt",
            "timeet",
            "timeest",
        ),
        *("uhrzeit", "zeit", "heure", "hora", "ora", "czas", "время", "时间", "時刻"),
    ),
    "open": (
        *("open", "openprice", "openingprice", "firstprice", "o", "pxopen", "openbid", "eröffnung", "eröffnungskurs"),
        *("erster", "eröffn", "ouverture", "ouv", "apertura", "abertura", "opening", "otwarcie", "açılış", "открытие"),  # noqa: RUF001
        *(
            "öppen",
            "avaus",
            "mở",
            "pembukaan",
            "άνοιγμα",
            "פתיחה",
            "الافتتاح",
            "시가",
            "priceopen",
            "openprc",
            "opnpric",
        ),
        *("откр", "开盘", "开盘价", "始値"),
    ),
    "high": (
        *("high", "highprice", "maxprice", "h", "pxhigh", "highbid", "hoch", "tageshoch", "plushaut", "haut", "máximo"),
        *("máx", "max", "massimo", "máxima", "hoog", "hoogste", "najwyższy", "yüksek", "макс", "максимум"),
        *("högst", "ylin", "cao", "tertinggi", "υψηλό", "גבוה", "الأعلى", "고가", "pricehigh", "high1", "hghpric"),
        *("最高", "最高价", "高値", "高"),
    ),
    "low": (
        *("low", "lowprice", "minprice", "l", "pxlow", "lowbid", "tief", "tagestief", "plusbas", "bas", "mínimo"),
        *("mín", "min", "minimo", "mínima", "laag", "laagste", "najniższy", "düşük", "мин", "минимум"),
        *("lägst", "alin", "thấp", "terendah", "χαμηλό", "נמוך", "الأدنى", "저가", "pricelow", "low1", "lwpric"),
        *("最低", "最低价", "安値", "低"),
    ),
    "close": (
        *("close", "closeprice", "closingprice", "price", "last", "lastprice", "closelast", "latest", "c", "settle"),
        *("settlementprice", "settlement", "pxlast", "lasttradedprice", "ltp", "closebid", "tradeprice", "p", "value"),
        *("schluss", "schlusskurs", "zuletzt", "kurs", "clôture", "fermeture", "dernier", "cours", "cierre", "último"),
        *("chiusura", "ultimo", "fechamento", "slot", "slotkoers", "sluiten", "laatste", "zamknięcie", "kapanış"),  # noqa: RUF001
        *("ostatnio", "senaste", "viimeisin", "lần cuối", "terakhir", "τελευταίο", "שער", "الإغلاق", "종가", "clot"),
        *("trdprc1", "priceclose", "clspric", "clsprice", "closingindexvalue"),
        *("şimdi", "закрытие", "цена", "收盘", "收盘价", "終値"),
    ),
    "adj_close": (
        "adjclose",
        "adjustedclose",
        "closeadj",
        "adjclosing",
        "closeadjusted",
        "adjustedclosingprice",
        "adjusted",
        "adjustedprice",
    ),
    "volume": (
        *(
            "volume",
            "stuecke",
            "stücke",
            "vol",
            "v",
            "size",
            "qty",
            "quantity",
            "lastsize",
            "basevolume",
            "sharesvolume",
            "tradedvolume",
        ),
        *("totaltradedquantity", "pxvolume", "tickvol", "tickvolume", "amount", "volumen", "volumi", "wolumen"),
        *(
            "hac",
            "wol",
            "kl",
            "交易量",
            "거래량",
            "όγκος",
            "נפח",
            "الحجم",
            "sharestraded",
            "numberofshares",
            "totalvolume",
        ),
        *("ttltrdqnty", "tottrdqty", "ttltradgvol", "noofshrs", "acvoluns", "volumetraded", "объемторгов"),
        *("hacim", "объем", "объём", "成交量", "出来高"),
    ),
    "dividend": ("dividend", "dividends", "dividendamount", "divcash", "exdividend"),
    "split": ("split", "splits", "stocksplits", "splitratio", "splitfactor", "splitcoefficient"),
    "trade_id": ("tradeid", "tradeidentifier", "aggtradeid", "id", "tid", "tradeno", "trdmatchid"),
}


@cache
def bare(name: str) -> str:
    """A name without what does not tell it from another."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    plain = re.sub(r"^\s*\d+[a-z]?\.\s+", "", plain.lower())
    return re.sub(r"[\W_]", "", plain)


_BARE = {field: tuple(bare(name) for name in names) for field, names in NAMES.items()}
_ALL = frozenset(name for names in _BARE.values() for name in names)
_GENERAL = frozenset({"name", "code", "asset", "contract", "stock", "security"})
"""Words that hold symbols in some files, and other things in more."""
_LETTERS = frozenset("ohlc")
_UNITS = {
    **dict.fromkeys(("000", "000s", "thousands", "thousand", "k", "tsd", "тыс"), 1e3),
    **dict.fromkeys(("lakh", "lakhs"), 1e5),
    **dict.fromkeys(("m", "mn", "mln", "mio", "million", "millions", "000000"), 1e6),
    **dict.fromkeys(("crore", "crores", "cr"), 1e7),
    **dict.fromkeys(("bn", "b", "billion", "billions"), 1e9),
}
"""What a header says that its values are multiples of."""
_OTHER_PRICES = re.compile(
    r"bid|ask|buy|sell|band|upper|lower|[esvw]?ma\d*$|ema|sma|avg|average|mean|vwap|prev|settle|last|ltp|wap|adj|target"
    r"|52|year|limit|basis|median|typical|pivot|plot|strike|nav|mid|theor|index|stop|fair|change|chg|pct"
)
_KINDS = re.compile(
    r"side|type|exch|market|series|currency|ccy|cond|flag|tape|status|session|action|direction|country|sector|source"
    r"|industry|unit|venue|maker|label|quote|base|isin|figi|cusip|sedol|brand|tag|domain|zone|tz|class|group|signal"
)


def known(name: str) -> bool:
    """Whether a header's name is one that some field goes by."""
    return bool(_keys(name) & _ALL)


def how_many_known(names: Sequence[str]) -> int:
    """How many different fields' names a row of cells has."""
    return len({key for name in names for key in _keys(name) & _ALL})


def columns_of(field: str, header: Sequence[str]) -> list[str]:
    """The columns that a field could be, best first."""
    by_key: dict[str, str] = {}
    if not _letters_count(header):
        header = [column for column in header if len(bare(column)) != 1 or not column.isascii()]
    for column in reversed(header):
        by_key.update(dict.fromkeys(_keys(column), column))
    for column in reversed(header):  # a whole name comes before one with its brackets left out
        by_key[bare(column)] = column
    found = [by_key[key] for key in _BARE[field] if key in by_key]
    if field == "volume":
        found += [column for column in header if bare(column).startswith(("volume", "vol"))]
    return list(dict.fromkeys(found))


def says_date(column: str) -> bool:
    """Whether a header says that its column holds dates."""
    return bare(without_zone(column)).startswith(("date", "dt", "day", "tradedate", "datum", "fecha", "дата"))


def says_hour(column: str) -> bool:
    """Whether a header says that its column counts hours."""
    return bare(without_zone(column)) in ("hour", "hours", "hr", "stunde")


def says_other_price(column: str) -> bool:
    """Whether a header says that its prices are none of a bar's."""
    return bool(_OTHER_PRICES.search(bare(column)))


def says_kind(column: str) -> bool:
    """Whether a header says that its column holds kinds of something rather than symbols."""
    return bool(_KINDS.search(bare(column)))


def unit_of(column: str) -> float:
    """What a header says that its values are multiples of: 1,000 for ``Volume (000)``."""
    inside = re.findall(r"[(\[]([^)\]]+)[)\]]|\bin\s+([A-Za-z0-9]+)", column)
    for words in ("".join(one) for one in inside):
        plain = re.sub(r"[\s',.]|^in\b", "", words.lower())
        if plain in _UNITS:
            return _UNITS[plain]
    return 1.0


def _letters_count(header: Sequence[str]) -> bool:
    """Whether o, h, l, c are fields here: beside a Date, C, F and T are the tickers of Citigroup, Ford and AT&T."""
    letters = {bare(column) for column in header if len(bare(column)) == 1}
    return len(letters & _LETTERS) > 2 or all(len(bare(column)) < 2 for column in header)


def general(column: str) -> bool:
    """Whether a symbol column's name says so little that its values must be looked at."""
    return bare(column) in _GENERAL


def guess_columns(header: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Field → column, what is ``given`` first and the rest by name.

    Raises:
        UnsureError: a given column does not exist, or there is none for the time or the price.
    """
    found = {field: _existing(field, column, header) for field, column in given.items() if column != "-"}
    for field in NAMES:
        if field in given or field == CLOCK:
            continue
        taken = found.values()
        match = next((column for column in columns_of(field, header) if column not in taken), None)
        if match is not None:
            _refuse_two(field, match, header)
            found[field] = match
    _by_elimination(found, header)
    for field, what in (("event_time", "time"), ("close", "price")):
        if field not in found:
            raise UnsureError(
                f"none of the columns {', '.join(header)} looks like the {what}; say which with --map {field}=COLUMN",
                f"--map {field}=",
                tuple(header),
            )
    return found


def _refuse_two(field: str, column: str, header: Sequence[str]) -> None:
    """Ask about names that differ only in brackets behind them: Close (USD), Close (EUR)."""
    stem = _stem(column)
    alike = [one for one in header if _stem(one) == stem and one != column]
    if alike and bare(column) != stem and not any(bare(one) == stem for one in header):
        raise UnsureError(
            f"the columns {', '.join((column, *alike))} can each be the {field}; say which is meant with "
            f"--map {field}=COLUMN",
            f"--map {field}=",
            (column, *alike),
        )


def _by_elimination(found: dict[str, str], header: Sequence[str]) -> None:
    """An index without a name is the time, and beside a time a single other column is the price."""
    index = next((one for one in header if one in (UNNAMED, "__index_level_0__", "index")), None)
    if "event_time" not in found and index is not None:
        found["event_time"] = index
    rest = [column for column in header if column not in found.values()]
    if "event_time" in found and "close" not in found and len(header) == 2 and len(rest) == 1:
        found["close"] = rest[0]


def _existing(field: str, column: str, header: Sequence[str]) -> str:
    if column in header:
        return column
    alike = [one for one in header if one.strip().casefold() == column.strip().casefold()]
    if len(alike) == 1:
        return alike[0]
    raise UnsureError(
        f"no such column: {field}={column}. The file has {', '.join(header)}", f"--map {field}=", tuple(header)
    )


def _stem(column: str) -> str:
    """A name without what stands in brackets behind it."""
    return bare(re.sub(r"[(\[].*[)\]]\s*$", "", column)) or bare(column)


def _keys(column: str) -> set[str]:
    """A name, and the name without what stands in brackets behind it or says a zone."""
    return {bare(column), _stem(column), bare(without_zone(column)) or bare(column)}
