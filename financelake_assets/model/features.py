"""Features: the inputs of the forest for each bar, with one definition for training and scoring.

Input: bars with the columns of silver.bars. Output: the same rows with the columns of ``FEATURES``, ``log_return``,
``price``, ``bar_volatility`` and ``scorable``. A row's features depend only on that bar and the ``LOOKBACK`` bars
before it, to the last bit, so no later or older row changes them. All are independent of the scale of price and volume.
Scoring computes them for a few bars in this process; in training, Spark computes them for every series.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl
import pyarrow as pa

from financelake_assets.config import ASSET_CLASSES
from financelake_assets.intervals import SERIES, bar_length
from financelake_assets.model.windows import Floats, Windows
from financelake_assets.silver.splits import undone as undone_split

LOOKBACK = 60
"""How many bars before a bar its features may use."""


_MOMENTUM = (1, 2, 5, 10, 20, 60)
_LEAST_SHARE = 0.9  # of a window's values must be known
_LEAST_VOLATILITY = 1e-6  # below this a price is constant and its moves are rounding errors
# closed markets: five trading days take seven days, and holidays add more; too long is cheap, too short loses features
_CALENDAR_SLACK = 2
_LONGEST_CLOSURE = timedelta(days=14)
_MICROSECOND = timedelta(microseconds=1)

FEATURES: tuple[str, ...] = (
    *(f"momentum_{bars}" for bars in _MOMENTUM),
    "log_volatility",
    "volatility_trend_5_20",
    "volatility_trend_20_60",
    "downside_share",
    "skewness",
    "autocorrelation",
    "rsi",
    "macd",
    "bollinger",
    "stretch",
    "drawdown",
    "rebound",
    "gap",
    "bar_range",
    "close_in_range",
    "atr_position",
    "parkinson",
    "garman_klass",
    "volume_ratio",
    "turnover_trend",
    "volume_direction",
    "weekday_sin",
    "weekday_cos",
    "season_sin",
    "season_cos",
    "hour_sin",
    "hour_cos",
    "bars_missed",
    "has_range",
    "has_volume",
    *(f"is_{asset_class}" for asset_class in ASSET_CLASSES),
)
"""The numeric inputs of the model, in their order."""

SYMBOL_WEEKDAY = "symbol_weekday"
"""Symbol and weekday of a bar as one number (a CRC-32): the category of the weekday effect."""


def features_of(bars: pl.DataFrame) -> pl.DataFrame:
    """Add the features to bars; each series is processed by itself.

    Args:
        bars: unique by symbol, interval and event_time; reads asset_class, open, high, low, close, adj_close, volume,
            imputed and split (if there is one), and passes all other columns through.

    Returns:
        The same rows and columns by series and time, with: the ``FEATURES`` and ``SYMBOL_WEEKDAY``; ``price``, the
        close, adjusted if the provider adjusts; ``log_return`` since the previous bar; ``bar_volatility``, the
        expected standard deviation of the next bar's log return; ``scorable``, false if there is too little history,
        if a price is not positive or never changes, or if there is too long a gap. Features of rows that are not
        scorable may be null.
    """
    rolled = _rolled(_returns(_prices(bars.sort(*SERIES, "event_time"))))
    scaled = rolled.with_columns(bar_volatility=pl.when(_volatility() > _LEAST_VOLATILITY).then(_volatility()))
    features = {**_trend(), **_shape(), **_ranges(), **_volumes(), **_calendar()}
    return scaled.with_columns(
        **features, scorable=_scorable(), **{SYMBOL_WEEKDAY: _of_text(_symbol_and_weekday(), _crc31, pl.Int64)}
    ).select(*bars.columns, *ADDED.names)


def returns_of(bars: pl.DataFrame) -> pl.DataFrame:
    """Add ``price`` and ``log_return`` alone to bars, see ``features_of``; a row depends on the bar before it."""
    return _returns(_prices(bars.sort(*SERIES, "event_time"))).select(*bars.columns, "price", "log_return")


def reach(interval: str) -> timedelta:
    """How far back in calendar time a bar's features may reach; a bar with a longer gap before it is not scored."""
    return span(interval, LOOKBACK)


def span(interval: str, bars: int) -> timedelta:
    """How much calendar time so many bars before a bar may take: longer is a gap."""
    return bar_length(interval) * bars * _CALENDAR_SLACK + _LONGEST_CLOSURE


def time_before(interval: str, extra_bars: int) -> timedelta:
    """How long before a bar its needed bars may begin: those for its features and ``extra_bars`` more."""
    return reach(interval) + bar_length(interval) * _CALENDAR_SLACK * extra_bars


_KINDS = {"scorable": pa.bool_(), SYMBOL_WEEKDAY: pa.int64()}
ADDED = pa.schema(
    [
        pa.field(name, _KINDS.get(name, pa.float64()))
        for name in ("price", "log_return", "bar_volatility", "scorable", *FEATURES, SYMBOL_WEEKDAY)
    ]
)
"""The columns that ``features_of`` adds."""


# -- the steps -------------------------------------------------------------------------------------------


def _before(name: str, bars: int = 1) -> pl.Expr:
    return pl.col(name).shift(bars).over(SERIES)


def _positive(name: str) -> pl.Expr:
    # in polars NaN is greater than zero
    known = pl.col(name).fill_nan(None)
    return pl.when(known > 0).then(known)


def _prices(bars: pl.DataFrame) -> pl.DataFrame:
    invented = pl.col("imputed").cast(pl.String).fill_null("").str.contains("high|low")
    has_range = ~invented & (pl.col("low") > 0) & (pl.col("high") > 0)
    close, adjusted, volume = _positive("close"), _positive("adj_close"), _positive("volume")
    split = _positive("split") if "split" in bars.columns else pl.lit(None, pl.Float64)
    return bars.with_columns(
        _split=split,
        price=pl.coalesce(adjusted, close),
        _close=close,
        _adjusted=adjusted,
        _high=pl.when(has_range).then((_positive("high") / close).log()),
        _low=pl.when(has_range).then((_positive("low") / close).log()),
        # a bar with only a close has open = close, so it has no gap
        _body=pl.when(has_range).then((close / _positive("open")).log()),
        _volume=volume,
        _turnover=volume * close,
    )


def _returns(priced: pl.DataFrame) -> pl.DataFrame:
    """Log returns between two adjusted closes or two raw ones: a mixture would create a false move."""
    adjusted = (pl.col("_adjusted") / _before("_adjusted")).log()
    # two raw closes have a split between them that neither is adjusted for
    undone = undone_split(pl.col("_close"), _before("_close"), pl.col("_split"))
    raw = (pl.col("_close") / _before("_close") * undone).log()
    returned = priced.with_columns(
        log_return=pl.coalesce(adjusted, raw),
        _jumped=pl.when((undone != 1.0) & adjusted.is_null()).then(1.0),
        _rebased=pl.when(undone != 1.0).then(1.0),
        _span=(pl.col("event_time") - _before("event_time", LOOKBACK)).dt.total_microseconds(),
        _elapsed=(pl.col("event_time") - _before("event_time")).dt.total_microseconds(),
    )
    change, width = pl.col("log_return"), pl.col("_high") - pl.col("_low")
    return returned.with_columns(
        _square=change * change,
        _product=change * _before("log_return"),
        _cube=change * change * change,
        _fall=pl.when(change < 0).then(change * change).otherwise(0.0),
        _up=pl.max_horizontal(change, pl.lit(0.0)),
        _level=pl.col("price").log(),
        _true_range=pl.max_horizontal("_high", -change) - pl.min_horizontal("_low", -change),
        _range_square=width * width,
        _gk=width * width / 2 - (2 * math.log(2) - 1) * pl.col("_body") * pl.col("_body"),
        _signed_volume=change.sign() * pl.col("_volume"),
    )


def _rolled(returned: pl.DataFrame) -> pl.DataFrame:
    """The rolling sums and means for the features."""
    last = Windows(returned.select(pl.int_range(pl.len()).over(SERIES)).to_series().to_numpy())

    def values(name: str) -> Floats:
        return np.asarray(returned[name].to_numpy(), dtype=np.float64)

    def mean(name: str, bars: int) -> Floats:
        return last.mean(values(name), bars)

    def total(name: str, bars: int) -> Floats:
        return last.total(values(name), bars)

    def count(name: str, bars: int) -> Floats:
        return last.count(values(name), bars)

    found = {
        **{f"_sum_{bars}": total("log_return", bars) for bars in _MOMENTUM},
        **{f"_variance_{bars}": mean("_square", bars) for bars in (5, 20, 60)},
        "_returns": count("log_return", LOOKBACK),
        "_squares_20": total("_square", 20),
        "_products_20": total("_product", 20),
        "_cubes_20": mean("_cube", 20),
        "_falls_20": total("_fall", 20),
        "_ups_14": total("_up", 14),
        "_sum_14": total("log_return", 14),
        "_level_12": mean("_level", 12),
        "_level_20": mean("_level", 20),
        "_level_26": mean("_level", 26),
        "_level_spread": last.deviation(values("_level"), 20),
        "_top": last.highest(values("_level"), LOOKBACK),
        "_bottom": -last.highest(-values("_level"), LOOKBACK),
        "_adjusted_bars": count("_adjusted", LOOKBACK),
        "_jumps": count("_jumped", LOOKBACK - 1),
        "_rebased_20": count("_rebased", 20 - 1),
        "_atr": mean("_true_range", 14),
        "_ranges_14": count("_true_range", 14),
        "_parkinson": mean("_range_square", 20),
        "_garman_klass": mean("_gk", 20),
        "_ranges_20": count("_gk", 20),
        "_volume_20": mean("_volume", 20),
        "_volumes_20": count("_volume", 20),
        "_volumes_60": count("_volume", 60),
        "_signed_volume_20": mean("_signed_volume", 20),
        "_turnover_5": mean("_turnover", 5),
        "_turnover_60": mean("_turnover", 60),
    }
    return returned.with_columns(pl.Series(name, rolled).fill_nan(None) for name, rolled in found.items())


def _volatility() -> pl.Expr:
    """Root of the mean of three realised variances: days, weeks and months (the idea of HAR, Corsi 2009)."""
    return ((pl.col("_variance_5") + pl.col("_variance_20") + pl.col("_variance_60")) / 3).sqrt()


def _scorable() -> pl.Expr:
    known = pl.col("bar_volatility").is_not_null() & pl.col("log_return").is_not_null()
    enough = pl.col("_returns") >= _LEAST_SHARE * LOOKBACK
    return (known & enough & (pl.col("_span") <= _micros_of(reach))).fill_null(False)


def _micros_of(length: Callable[[str], timedelta]) -> pl.Expr:
    """The length for the row's interval, in microseconds."""
    return _of_text(pl.col("interval"), lambda name: length(name) // _MICROSECOND, pl.Int64)


def _of_text(text: pl.Expr, function: Callable[[str], int], kind: type[pl.DataType]) -> pl.Expr:
    """Apply a function to a text column with few distinct values, once for each value."""
    return text.map_batches(
        lambda found: found.replace_strict({one: function(one) for one in found.unique()}, return_dtype=kind).cast(
            kind
        ),
        return_dtype=kind,
    )


def _symbol_and_weekday() -> pl.Expr:
    return pl.concat_str("symbol", pl.col("event_time").dt.weekday().cast(pl.Int64) - 1, separator="|")


def _crc31(text: str) -> int:
    # 31 bits: encoders take non-negative 32-bit integers
    return zlib.crc32(text.encode()) >> 1


# -- the features ----------------------------------------------------------------------------------------


def _ratio(numerator: pl.Expr, denominator: pl.Expr, condition: pl.Expr | None = None) -> pl.Expr:
    """A quotient, or the neutral 0 if it is undefined or its parts are unknown."""
    sensible = denominator > 0 if condition is None else (denominator > 0) & condition
    return pl.when(sensible).then(numerator / denominator).fill_null(0.0)


def _log_ratio(numerator: pl.Expr, denominator: pl.Expr, condition: pl.Expr | None = None) -> pl.Expr:
    sensible = (numerator > 0) & (denominator > 0)
    sensible = sensible if condition is None else sensible & condition
    return pl.when(sensible).then((numerator / denominator).log()).fill_null(0.0)


def _trend() -> dict[str, pl.Expr]:
    """Past moves over several horizons, in standard deviations of such a move."""
    sigma = pl.col("bar_volatility")
    return {
        **{f"momentum_{bars}": pl.col(f"_sum_{bars}") / (sigma * math.sqrt(bars)) for bars in _MOMENTUM},
        "log_volatility": sigma.log(),
        "volatility_trend_5_20": _log_ratio(pl.col("_variance_5"), pl.col("_variance_20")) / 2,
        "volatility_trend_20_60": _log_ratio(pl.col("_variance_20"), pl.col("_variance_60")) / 2,
    }


def _shape() -> dict[str, pl.Expr]:
    """Shape of the recent moves, and the position of the price among recent prices.

    Levels are compared as logarithms, if all of a window's prices are adjusted, or none is and no split lies between
    them; otherwise they are neutral.
    RSI is Cutler's, over 14 bars; MACD and Bollinger use simple means, which have a finite memory.
    """
    sigma, level = pl.col("bar_volatility"), pl.col("_level")
    comparable = _comparable()
    ups = pl.col("_ups_14")
    downs = ups - pl.col("_sum_14")
    return {
        "downside_share": _ratio(pl.col("_falls_20"), pl.col("_squares_20")),
        "skewness": _ratio(pl.col("_cubes_20"), pl.col("_variance_20").pow(1.5)),
        "autocorrelation": _ratio(pl.col("_products_20"), pl.col("_squares_20")),
        "rsi": pl.when(ups + downs > 0).then(ups / (ups + downs)).fill_null(0.5),
        "macd": _ratio(pl.col("_level_12") - pl.col("_level_26"), sigma, comparable),
        "bollinger": _ratio(level - pl.col("_level_20"), pl.col("_level_spread"), comparable),
        "stretch": _ratio(level - pl.col("_level_20"), pl.lit(1.0), comparable),
        "drawdown": _ratio(level - pl.col("_top"), sigma, comparable),
        "rebound": _ratio(level - pl.col("_bottom"), sigma, comparable),
    }


def _comparable() -> pl.Expr:
    return pl.col("_adjusted_bars").is_in([0.0, float(LOOKBACK)]) & (pl.col("_jumps") == 0)


def _ranges() -> dict[str, pl.Expr]:
    """What open, high and low add to the close; neutral if a provider gives only the close."""
    sigma, variance = pl.col("bar_volatility"), pl.col("_variance_20")
    width = pl.col("_high") - pl.col("_low")
    enough = pl.col("_ranges_20") >= _LEAST_SHARE * 20
    return {
        "gap": ((pl.col("log_return") - pl.col("_body")) / sigma).fill_null(0.0),
        "bar_range": (width / sigma).fill_null(0.0),
        "close_in_range": pl.when(width > 0).then(-pl.col("_low") / width).fill_null(0.5),
        "atr_position": _ratio(
            pl.col("_level") - pl.col("_level_20"),
            pl.col("_atr"),
            (pl.col("_ranges_14") >= _LEAST_SHARE * 14) & _comparable(),
        ),
        "parkinson": _log_ratio(pl.col("_parkinson") / (4 * math.log(2)), variance, enough) / 2,
        "garman_klass": _log_ratio(pl.col("_garman_klass"), variance, enough) / 2,
        "has_range": pl.col("_high").is_not_null().cast(pl.Float64),
    }


def _volumes() -> dict[str, pl.Expr]:
    """Volume and turnover relative to their own past; neutral without volume."""
    # behind a split that a provider does not adjust for, shares are counted in other units than before it
    month = (pl.col("_volumes_20") >= _LEAST_SHARE * 20) & (pl.col("_rebased_20") == 0)
    quarter = pl.col("_volumes_60") >= _LEAST_SHARE * 60
    return {
        "volume_ratio": _log_ratio(pl.col("_volume"), pl.col("_volume_20"), month),
        "turnover_trend": _log_ratio(pl.col("_turnover_5"), pl.col("_turnover_60"), quarter),
        "volume_direction": _ratio(pl.col("_signed_volume_20"), pl.col("_volume_20"), month),
        "has_volume": pl.col("_volume").is_not_null().cast(pl.Float64),
    }


def _calendar() -> dict[str, pl.Expr]:
    """Weekday, season and hour as angles; the number of bars since the last bar, as a log; the asset class."""
    moment = pl.col("event_time").dt
    circles = {
        "weekday": (moment.weekday().cast(pl.Float64) - 1) / 7,
        "season": moment.ordinal_day() / 365.25,
        "hour": (moment.hour() + moment.minute() / 60) / 24,
    }
    return {
        **{f"{name}_sin": (turn * 2 * math.pi).sin() for name, turn in circles.items()},
        **{f"{name}_cos": (turn * 2 * math.pi).cos() for name, turn in circles.items()},
        "bars_missed": (pl.col("_elapsed") / _micros_of(bar_length)).log().fill_null(0.0),
        **{f"is_{name}": (pl.col("asset_class") == name).cast(pl.Float64).fill_null(0.0) for name in ASSET_CLASSES},
    }
