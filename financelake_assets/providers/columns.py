"""What the columns of a user's file mean: guessed from their names and first values, and said aloud.

Enters: header names and some rows of text. Leaves: which column is which field, how its times are written, and what
the rows are bars of. Pure functions; a guess that could be wrong in silence is not made but asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mode

import polars as pl

from financelake_assets.config import AssetClass
from financelake_assets.intervals import canonical
from financelake_assets.providers.base import TICK, ProviderError

# in the order of preference, compared without case and punctuation
_NAMES: Mapping[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "instrument", "pair"),
    "asset_class": ("assetclass",),
    "interval": ("interval", "timeframe"),
    "event_time": (
        *("eventtime", "timestamp", "datetime", "date", "time", "opentime", "tradetime", "ts", "timestampms"),
        *("unixtime", "unix", "epoch", "day", "period"),
    ),
    "open": ("open", "openprice", "o"),
    "high": ("high", "highprice", "h"),
    "low": ("low", "lowprice", "l"),
    "close": ("close", "closeprice", "price", "last", "lastprice", "closelast", "c", "settle", "value"),
    "adj_close": ("adjclose", "adjustedclose", "closeadj", "adjclosing"),
    "volume": ("volume", "vol", "v", "size", "qty", "quantity", "lastsize", "basevolume", "amount"),
    "trade_id": ("tradeid", "tradeidentifier", "aggtradeid", "id", "tid"),
}
_TIMES = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y%m%d",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d %H%M%S",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%d %b %Y",
    "%b %d, %Y",
    "%d-%b-%Y",
)
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z")
EPOCHS: Mapping[str, int] = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1, "epoch_ns": 0}
"""Epoch times by their unit, with the factor to microseconds (0: a thousandth)."""
UTC_SUFFIX = r" ?(Z|z|UTC|GMT)$"
_EPOCH_LIMITS = (("epoch_s", 1e11), ("epoch_ms", 1e14), ("epoch_us", 1e17), ("epoch_ns", float("inf")))
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_DAY = 24 * 60 * _MINUTE
_FEWEST_STEPS = 3


@dataclass(frozen=True)
class TimeFormat:
    """How a column writes times: an epoch unit, or a strptime pattern that names a zone or does not."""

    pattern: str
    zoned: bool = False

    @property
    def is_epoch(self) -> bool:
        """Whether times are numbers since 1970."""
        return self.pattern in EPOCHS


def guess_columns(header: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Field → column, what is ``given`` first and the rest by name.

    Raises:
        ProviderError: a given column does not exist, or there is none for the time or the price.
    """
    wrong = [f"{field}={column}" for field, column in given.items() if column not in header]
    if wrong:
        raise ProviderError(f"no such column: {', '.join(wrong)}. The file has {', '.join(header)}")
    found = dict(given)
    for field, names in _NAMES.items():
        if field in found:
            continue
        free = {_bare(column): column for column in reversed(header) if column not in found.values()}
        match = next((free[name] for name in names if name in free), None)
        if match is None and field == "volume":
            match = next(
                (column for column in header if column in free.values() and _bare(column).startswith("volume")), None
            )
        if match is not None:
            found[field] = match
    for field, what in (("event_time", "time"), ("close", "price")):
        if field not in found:
            raise ProviderError(
                f"none of the columns {', '.join(header)} looks like the {what}; say which with --map {field}=COLUMN"
            )
    return found


def guess_time(values: Sequence[str], given: str | None) -> TimeFormat:
    """How these times are written.

    Raises:
        ProviderError: in no way known here, or in several (is 03/04/2020 in March or in April?).
    """
    if given is not None:
        return TimeFormat(given, zoned="%z" in given or "%#z" in given or "%Z" in given)
    if not values:
        raise ProviderError("the time column is empty")
    numbers = [abs(float(value)) for value in values if re.fullmatch(r"-?\d+(\.\d+)?([eE]\+?\d+)?", value)]
    if len(numbers) == len(values) and not all(re.fullmatch(r"(18|19|20)\d{6}", value) for value in values):
        most = max(numbers)
        return TimeFormat(next(unit for unit, limit in _EPOCH_LIMITS if most < limit))
    texts = pl.Series(values)
    for pattern, zoned in [*((one, True) for one in _ZONED), *((one, False) for one in _TIMES)]:
        readable = texts.str.replace(UTC_SUFFIX, "+00:00") if zoned else texts
        # the last of a feed's rows may be broken; the first that all others share is the format
        if readable.str.to_datetime(pattern, strict=False).is_not_null().mean() > 0.5:  # type: ignore[operator]
            return TimeFormat(pattern, zoned)
    raise ProviderError(
        f"times like {values[0]!r} can be read in more than one way, or in none known here; "
        "say which with --time-format, for example %d/%m/%Y"
    )


def guess_interval(times: Sequence[int], has_range: bool) -> str | None:
    """What the rows of one symbol are bars of, from their times in microseconds; ``None`` when that is not clear."""
    steps = sorted(after - before for before, after in pairwise(times))
    if len(steps) < _FEWEST_STEPS:
        return None
    usual = mode(steps)
    if not has_range and usual < _MINUTE and (usual < _SECOND or steps[0] != steps[-1]):
        return TICK
    if usual >= 28 * _DAY:
        return None  # months have no fixed length
    for unit, length in (("w", 7 * _DAY), ("d", _DAY), ("h", 60 * _MINUTE), ("m", _MINUTE)):
        if usual > 0 and usual % length == 0:
            return canonical(f"{usual // length}{unit}")
    return None


def guess_class(symbol: str) -> AssetClass:
    """What a symbol is, by how it is written: BTC-USD, ETHUSDT are crypto, GC=F is a commodity, others are stocks."""
    if re.search(r"[-/](USDT?|USDC|EUR|BTC|ETH)$|(USDT|USDC|BUSD)$", symbol):
        return "crypto"
    return "commodity" if symbol.endswith("=F") else "stock"


def looks_like_data(header: Sequence[str]) -> bool:
    """Whether what should be a header is a row of data: a name of a column is neither a number nor empty."""
    return any(re.fullmatch(r"(?=.*\d)[-+\d.,:/ TZ]+", name) for name in header)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
