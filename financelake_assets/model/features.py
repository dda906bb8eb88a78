"""Features: what the forest sees of a bar, as pure column expressions, one definition for training and scoring.

Enters: bars with the columns of silver.bars. Leaves: the same rows with the columns of ``FEATURES``,
``SYMBOL_WEEKDAY``, ``log_return``, ``price``, ``bar_volatility`` and ``scorable``. A row's features depend on that bar
and the ``LOOKBACK`` bars before it alone, so rows that come later, or lie further back, change nothing. All are free of
the price's and volume's scale.
"""

from __future__ import annotations

import math
from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from financelake_assets.config import ASSET_CLASSES

LOOKBACK = 60
"""How many bars before a bar its features may look."""

SERIES = ("symbol", "interval")
"""The columns that tell one series of bars from another."""

_MOMENTUM = (1, 2, 5, 10, 20, 60)
_LEAST_SHARE = 0.9  # of a window's values that must be there
_LEAST_VOLATILITY = 1e-6  # below this a price is constant and its moves are float noise
_BAR_LENGTH = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
# closed markets: five trading days take seven, and holidays more; too much costs little, too little costs features
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
"""The model's inputs that are numbers, in the order in which it takes them."""

SYMBOL_WEEKDAY = "symbol_weekday"
"""Symbol and weekday of a bar as one number (a CRC-32), of which the pipeline learns what such bars are followed by."""


def with_features(bars: DataFrame) -> DataFrame:
    """Add the features to bars; of several series each is taken by itself.

    Args:
        bars: unique by symbol, interval and event_time; asset_class, open, high, low, close, adj_close, volume and
            imputed are read, everything else is passed through.

    Returns:
        The same rows and columns, and: the ``FEATURES`` and ``SYMBOL_WEEKDAY``; ``price``, the close, adjusted where
        the provider adjusts; ``log_return`` since the bar before; ``bar_volatility``, the standard deviation expected
        of the next bar's log return; ``scorable``, false while there is too little history, where a price is not
        positive or never changes, or where the bars have too long a gap. Of rows that are not scorable the features
        may be null.
    """
    rolled = _rolled(_returns(_prices(bars)))
    scaled = rolled.withColumn("bar_volatility", F.when(_volatility() > _LEAST_VOLATILITY, _volatility()))
    features = {**_trend(), **_shape(), **_ranges(), **_volumes(), **_calendar()}
    # 31 bits: the encoder takes integers of 32 bits that are not negative
    place = F.shiftright(F.crc32(F.concat_ws("|", "symbol", F.weekday("event_time")).cast("binary")), 1)
    return scaled.withColumns({**features, SYMBOL_WEEKDAY: place, "scorable": _scorable()}).select(
        *bars.columns, "price", "log_return", "bar_volatility", "scorable", *FEATURES, SYMBOL_WEEKDAY
    )


def bar_length(interval: str) -> timedelta:
    """How long a bar lasts.

    Args:
        interval: such as ``1d``; validated by silver.
    """
    return _BAR_LENGTH[interval[-1]] * int(interval[:-1])


def reach(interval: str) -> timedelta:
    """How far before a bar its features may look in calendar time; a bar with a longer gap behind it is not scored."""
    return bar_length(interval) * LOOKBACK * _CALENDAR_SLACK + _LONGEST_CLOSURE


# -- the steps -------------------------------------------------------------------------------------------


def _last(bars: int) -> WindowSpec:
    return Window.partitionBy(*SERIES).orderBy("event_time").rowsBetween(1 - bars, 0)


def _before(name: str, bars: int = 1) -> Column:
    return F.lag(name, bars).over(Window.partitionBy(*SERIES).orderBy("event_time"))


def _positive(name: str) -> Column:
    return F.when(F.col(name) > 0, F.col(name))


def _prices(bars: DataFrame) -> DataFrame:
    invented = F.coalesce(F.col("imputed"), F.lit("")).rlike("high|low")
    has_range = ~invented & (F.col("low") > 0) & (F.col("high") > 0)
    return bars.withColumns(
        {
            "price": F.coalesce(_positive("adj_close"), _positive("close")),
            "_close": _positive("close"),
            "_adjusted": _positive("adj_close"),
            "_high": F.when(has_range, F.log(F.col("high") / _positive("close"))),
            "_low": F.when(has_range, F.log(F.col("low") / _positive("close"))),
            # a close-only bar's open is its close, so there is no gap to see
            "_body": F.when(has_range, F.log(_positive("close") / _positive("open"))),
            "_volume": _positive("volume"),
            "_turnover": _positive("volume") * _positive("close"),
        }
    )


def _returns(priced: DataFrame) -> DataFrame:
    """Log returns, between two adjusted closes or two raw ones: a mixture would invent a move."""
    adjusted = F.log(F.col("_adjusted") / _before("_adjusted"))
    raw = F.log(F.col("_close") / _before("_close"))
    returned = priced.withColumns(
        {
            "log_return": F.coalesce(adjusted, raw),
            "_first_time": _before("event_time", LOOKBACK),
            "_elapsed": F.unix_micros("event_time") - F.unix_micros(_before("event_time")),
        }
    )
    change = F.col("log_return")
    return returned.withColumns(
        {
            "_square": change * change,
            "_product": change * _before("log_return"),
            "_cube": change * change * change,
            "_fall": F.when(change < 0, change * change).otherwise(0.0),
            "_up": F.greatest(change, F.lit(0.0)),
            "_level": F.log("price"),
            "_true_range": F.greatest("_high", -change) - F.least("_low", -change),
            "_range_square": F.pow(F.col("_high") - F.col("_low"), 2),
            "_gk": F.pow(F.col("_high") - F.col("_low"), 2) / 2 - (2 * math.log(2) - 1) * F.pow("_body", 2),
            "_signed_volume": F.signum(change) * F.col("_volume"),
        }
    )


def _rolled(returned: DataFrame) -> DataFrame:
    """The rolling sums and means that features are made of."""

    def mean(name: str, bars: int) -> Column:
        return F.avg(name).over(_last(bars))

    def total(name: str, bars: int) -> Column:
        return F.sum(name).over(_last(bars))

    return returned.withColumns(
        {
            **{f"_sum_{bars}": total("log_return", bars) for bars in _MOMENTUM},
            **{f"_variance_{bars}": mean("_square", bars) for bars in (5, 20, 60)},
            "_returns": F.count("log_return").over(_last(LOOKBACK)),
            "_squares_20": total("_square", 20),
            "_products_20": total("_product", 20),
            "_cubes_20": mean("_cube", 20),
            "_falls_20": total("_fall", 20),
            "_ups_14": total("_up", 14),
            "_sum_14": total("log_return", 14),
            "_level_12": mean("_level", 12),
            "_level_20": mean("_level", 20),
            "_level_26": mean("_level", 26),
            "_level_spread": F.stddev_pop("_level").over(_last(20)),
            "_top": F.max("_level").over(_last(LOOKBACK)),
            "_bottom": F.min("_level").over(_last(LOOKBACK)),
            "_adjusted_bars": F.count("_adjusted").over(_last(LOOKBACK)),
            "_atr": mean("_true_range", 14),
            "_ranges_14": F.count("_true_range").over(_last(14)),
            "_parkinson": mean("_range_square", 20),
            "_garman_klass": mean("_gk", 20),
            "_ranges_20": F.count("_gk").over(_last(20)),
            "_volume_20": mean("_volume", 20),
            "_volumes_20": F.count("_volume").over(_last(20)),
            "_volumes_60": F.count("_volume").over(_last(60)),
            "_signed_volume_20": mean("_signed_volume", 20),
            "_turnover_5": mean("_turnover", 5),
            "_turnover_60": mean("_turnover", 60),
        }
    )


def _volatility() -> Column:
    """Root of the mean of three realised variances: days, weeks and months (the idea of HAR, Corsi 2009)."""
    return F.sqrt((F.col("_variance_5") + F.col("_variance_20") + F.col("_variance_60")) / 3)


def _scorable() -> Column:
    micros = F.unix_micros("event_time") - F.unix_micros("_first_time")
    return F.coalesce(
        F.col("bar_volatility").isNotNull()
        & F.col("log_return").isNotNull()
        & (F.col("_returns") >= _LEAST_SHARE * LOOKBACK)
        & (micros <= _reach_micros()),
        F.lit(False),
    )


def _bar_micros() -> Column:
    """``bar_length`` of the row's interval."""
    lengths = [F.lit(part) for unit, length in _BAR_LENGTH.items() for part in (unit, length // _MICROSECOND)]
    count = F.expr("CAST(left(interval, length(interval) - 1) AS BIGINT)")
    return F.create_map(*lengths)[F.right("interval", F.lit(1))] * count


def _reach_micros() -> Column:
    """``reach`` of the row's interval."""
    return _bar_micros() * (LOOKBACK * _CALENDAR_SLACK) + _LONGEST_CLOSURE // _MICROSECOND


# -- the features ----------------------------------------------------------------------------------------


def _ratio(numerator: Column, denominator: Column, condition: Column | None = None) -> Column:
    """A quotient, or the neutral 0 where it has no meaning or its parts are not known."""
    sensible = denominator > 0 if condition is None else (denominator > 0) & condition
    return F.coalesce(F.when(sensible, numerator / denominator), F.lit(0.0))


def _log_ratio(numerator: Column, denominator: Column, condition: Column | None = None) -> Column:
    sensible = (numerator > 0) & (denominator > 0)
    sensible = sensible if condition is None else sensible & condition
    return F.coalesce(F.when(sensible, F.log(numerator / denominator)), F.lit(0.0))


def _trend() -> dict[str, Column]:
    """Where the price came from: moves over several horizons, in standard deviations of such a move."""
    sigma = F.col("bar_volatility")
    return {
        **{f"momentum_{bars}": F.col(f"_sum_{bars}") / (sigma * math.sqrt(bars)) for bars in _MOMENTUM},
        "log_volatility": F.log(sigma),
        "volatility_trend_5_20": _log_ratio(F.col("_variance_5"), F.col("_variance_20")) / 2,
        "volatility_trend_20_60": _log_ratio(F.col("_variance_20"), F.col("_variance_60")) / 2,
    }


def _shape() -> dict[str, Column]:
    """Form of the recent moves, and the position of the price among recent prices.

    Levels are compared in logs, where all of a window's prices are adjusted or none is; otherwise they are neutral.
    RSI is Cutler's, over 14 bars; MACD and Bollinger use simple means, which have a finite memory.
    """
    sigma = F.col("bar_volatility")
    comparable = F.col("_adjusted_bars").isin(0, LOOKBACK)
    one = F.lit(1.0)
    downs = F.col("_ups_14") - F.col("_sum_14")
    return {
        "downside_share": _ratio(F.col("_falls_20"), F.col("_squares_20")),
        "skewness": _ratio(F.col("_cubes_20"), F.pow("_variance_20", 1.5)),
        "autocorrelation": _ratio(F.col("_products_20"), F.col("_squares_20")),
        "rsi": F.coalesce(
            F.when(F.col("_ups_14") + downs > 0, F.col("_ups_14") / (F.col("_ups_14") + downs)), F.lit(0.5)
        ),
        "macd": _ratio(F.col("_level_12") - F.col("_level_26"), sigma, comparable),
        "bollinger": _ratio(F.col("_level") - F.col("_level_20"), F.col("_level_spread"), comparable),
        "stretch": _ratio(F.col("_level") - F.col("_level_20"), one, comparable),
        "drawdown": _ratio(F.col("_level") - F.col("_top"), sigma, comparable),
        "rebound": _ratio(F.col("_level") - F.col("_bottom"), sigma, comparable),
    }


def _ranges() -> dict[str, Column]:
    """What open, high and low add to the close; neutral where a provider has the close alone."""
    sigma = F.col("bar_volatility")
    width = F.col("_high") - F.col("_low")
    enough = F.col("_ranges_20") >= _LEAST_SHARE * 20
    return {
        "gap": F.coalesce((F.col("log_return") - F.col("_body")) / sigma, F.lit(0.0)),
        "bar_range": F.coalesce(width / sigma, F.lit(0.0)),
        "close_in_range": F.coalesce(F.when(width > 0, -F.col("_low") / width), F.lit(0.5)),
        "atr_position": _ratio(
            F.col("_level") - F.col("_level_20"),
            F.col("_atr"),
            (F.col("_ranges_14") >= _LEAST_SHARE * 14) & F.col("_adjusted_bars").isin(0, LOOKBACK),
        ),
        "parkinson": _log_ratio(F.col("_parkinson") / (4 * math.log(2)), F.col("_variance_20"), enough) / 2,
        "garman_klass": _log_ratio(F.col("_garman_klass"), F.col("_variance_20"), enough) / 2,
        "has_range": F.col("_high").isNotNull().cast("double"),
    }


def _volumes() -> dict[str, Column]:
    """Volume and turnover against their own past; neutral where there is none."""
    month = F.col("_volumes_20") >= _LEAST_SHARE * 20
    quarter = F.col("_volumes_60") >= _LEAST_SHARE * 60
    return {
        "volume_ratio": _log_ratio(F.col("_volume"), F.col("_volume_20"), month),
        "turnover_trend": _log_ratio(F.col("_turnover_5"), F.col("_turnover_60"), quarter),
        "volume_direction": _ratio(F.col("_signed_volume_20"), F.col("_volume_20"), month),
        "has_volume": F.col("_volume").isNotNull().cast("double"),
    }


def _calendar() -> dict[str, Column]:
    """Weekday, season and hour on circles; the bars that fit between the last two, as a log; the asset class."""
    circles = {
        "weekday": F.weekday("event_time") / 7,
        "season": F.dayofyear("event_time") / 365.25,
        "hour": (F.hour("event_time") + F.minute("event_time") / 60) / 24,
    }
    return {
        **{f"{name}_sin": F.sin(turn * 2 * math.pi) for name, turn in circles.items()},
        **{f"{name}_cos": F.cos(turn * 2 * math.pi) for name, turn in circles.items()},
        "bars_missed": F.coalesce(F.log(F.col("_elapsed") / _bar_micros()), F.lit(0.0)),
        **{f"is_{name}": (F.col("asset_class") == name).cast("double") for name in ASSET_CLASSES},
    }
