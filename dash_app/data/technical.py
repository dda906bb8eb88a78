"""Technical indicators by TA-Lib: what each is called, which numbers it takes, and which lines it draws.

Input: prices of one series, oldest first, as arrays without unknown values. Output: one array a line, NaN until the
window is complete. A bar's value uses that bar and earlier ones only. Indicators are only drawn: the model has its own
features (``financelake_assets/model/features.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import talib
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Column = Literal["open", "high", "low", "close", "volume"]

LONGEST = 400
"""Bars of the longest window: a page keeps 1,000 bars of a series."""


@dataclass(frozen=True)
class Parameter:
    """A number that a visitor may choose: its name, usual value and bounds."""

    name: str
    usual: float
    least: float
    most: float
    whole: bool = True


@dataclass(frozen=True)
class Line:
    """One line: its name beside the indicator's (empty if it is the only one), and how it is drawn."""

    name: str = ""
    kind: Literal["line", "bars", "dots"] = "line"


@dataclass(frozen=True)
class Indicator:
    """An indicator.

    ``needs``: the columns that it reads; ``pane``: whether it has a pane of its own, because its unit is not the price;
    ``levels``: values to mark in the pane; ``bounds``: of its values, if it has any.
    """

    label: str
    meaning: str
    parameters: tuple[Parameter, ...]
    lines: tuple[Line, ...]
    needs: tuple[Column, ...]
    compute: Callable[..., tuple[Floats, ...]]
    pane: bool = False
    levels: tuple[float, ...] = ()
    bounds: tuple[float, float] | None = None


def _period(usual: int, name: str = "bars", least: int = 2) -> Parameter:
    return Parameter(name, usual, least, LONGEST)


def _width(usual: float) -> Parameter:
    return Parameter("width", usual, 0.1, 10, whole=False)


def _average(label: str, meaning: str, function: Callable[..., Floats], usual: int = 20) -> Indicator:
    """A moving average of the close."""
    return Indicator(
        label, meaning, (_period(usual),), (Line(),), ("close",), lambda close, bars: (function(close, bars),)
    )


def _pane(
    label: str,
    meaning: str,
    usual: int,
    needs: tuple[Column, ...],
    function: Callable[..., Floats],
    levels: tuple[float, ...] = (),
    bounds: tuple[float, float] | None = None,
) -> Indicator:
    """One line in a pane, with one window."""
    return Indicator(
        label,
        meaning,
        (_period(usual),),
        (Line(),),
        needs,
        lambda *given: (function(*given[:-1], given[-1]),),
        pane=True,
        levels=levels,
        bounds=bounds,
    )


_HLC: tuple[Column, ...] = ("high", "low", "close")
_HLCV: tuple[Column, ...] = ("high", "low", "close", "volume")


def _vwma(close: Floats, volume: Floats, bars: int) -> tuple[Floats, ...]:
    weight = talib.SUM(volume, bars)
    return (np.divide(talib.SUM(close * volume, bars), weight, out=np.full(len(close), np.nan), where=weight > 0),)


def _bands(close: Floats, bars: int, width: float) -> tuple[Floats, ...]:
    upper, _, lower = talib.BBANDS(close, bars, width, width)
    return upper, lower


def _keltner(high: Floats, low: Floats, close: Floats, bars: int, width: float) -> tuple[Floats, ...]:
    middle, reach = talib.EMA(close, bars), width * talib.ATR(high, low, close, bars)
    return middle + reach, middle - reach


def _rsi(close: Floats, bars: int) -> Floats:
    # TA-Lib says 0 of a price that has not moved yet, as of one that only fell
    moved = np.cumsum(np.abs(np.diff(close, prepend=close[:1]))) > 0
    return np.where(moved, talib.RSI(close, bars), np.nan)


def _directions(high: Floats, low: Floats, close: Floats, bars: int) -> tuple[Floats, ...]:
    return tuple(one(high, low, close, bars) for one in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI))


def _aroon(high: Floats, low: Floats, bars: int) -> tuple[Floats, ...]:
    down, up = talib.AROON(high, low, bars)
    return up, down


def _stochastic(high: Floats, low: Floats, close: Floats, bars: int, smooth: int, signal: int) -> tuple[Floats, ...]:
    slow_k, slow_d = talib.STOCH(high, low, close, fastk_period=bars, slowk_period=smooth, slowd_period=signal)
    return slow_k, slow_d


INDICATORS: Mapping[str, Indicator] = {
    "sma": _average("SMA", "simple moving average", talib.SMA),
    "ema": _average("EMA", "exponential moving average", talib.EMA),
    "wma": _average("WMA", "linearly weighted moving average", talib.WMA),
    "dema": _average("DEMA", "double exponential moving average", talib.DEMA),
    "tema": _average("TEMA", "triple exponential moving average", talib.TEMA),
    "trima": _average("TRIMA", "triangular moving average", talib.TRIMA),
    "kama": _average("KAMA", "Kaufman's adaptive moving average", talib.KAMA, 30),
    "vwma": Indicator(
        "VWMA", "moving average weighted by volume", (_period(20),), (Line(),), ("close", "volume"), _vwma
    ),
    "bands": Indicator(
        "Bollinger",
        "simple average and so many standard deviations around it",
        (_period(20), _width(2)),
        (Line("upper"), Line("lower")),
        ("close",),
        _bands,
    ),
    "keltner": Indicator(
        "Keltner",
        "exponential average and so many average true ranges around it",
        (_period(20), _width(2)),
        (Line("upper"), Line("lower")),
        _HLC,
        _keltner,
    ),
    "donchian": Indicator(
        "Donchian",
        "highest high and lowest low",
        (_period(20),),
        (Line("upper"), Line("lower")),
        ("high", "low"),
        lambda high, low, bars: (talib.MAX(high, bars), talib.MIN(low, bars)),
    ),
    "sar": Indicator(
        "SAR",
        "Wilder's parabolic stop and reverse",
        (Parameter("step", 0.02, 0.001, 1, whole=False), Parameter("most", 0.2, 0.001, 1, whole=False)),
        (Line(kind="dots"),),
        ("high", "low"),
        lambda high, low, step, most: (talib.SAR(high, low, step, most),),
    ),
    "rsi": _pane("RSI", "Wilder's relative strength index", 14, ("close",), _rsi, (30, 70), (0, 100)),
    "macd": Indicator(
        "MACD",
        "difference of two exponential averages, its signal line and their distance",
        (_period(12, "fast"), _period(26, "slow"), _period(9, "signal", least=1)),
        (Line(), Line("signal"), Line("distance", "bars")),
        ("close",),
        lambda close, *given: tuple(talib.MACD(close, *given)),
        pane=True,
        levels=(0,),
    ),
    "stochastic": Indicator(
        "Stochastic",
        "place of the close in the range of so many bars, smoothed, and its signal line",
        (_period(14), _period(3, "smooth", least=1), _period(3, "signal", least=1)),
        (Line("K"), Line("D")),
        _HLC,
        _stochastic,
        pane=True,
        levels=(20, 80),
        bounds=(0, 100),
    ),
    "williams": _pane("Williams", "Williams' %R", 14, _HLC, talib.WILLR, (-80, -20), (-100, 0)),
    "cci": _pane("CCI", "commodity channel index", 20, _HLC, talib.CCI, (-100, 100)),
    "adx": Indicator(
        "ADX",
        "Wilder's average directional index, with the directions up and down",
        (_period(14),),
        (Line(), Line("up"), Line("down")),
        _HLC,
        _directions,
        pane=True,
        levels=(25,),
    ),
    "aroon": Indicator(
        "Aroon",
        "how recent the highest high and the lowest low are",
        (_period(25),),
        (Line("up"), Line("down")),
        ("high", "low"),
        _aroon,
        pane=True,
        levels=(50,),
        bounds=(0, 100),
    ),
    "roc": _pane("ROC", "rate of change in percent", 10, ("close",), talib.ROC, (0,)),
    "momentum": _pane("Momentum", "change of the close over so many bars", 10, ("close",), talib.MOM, (0,)),
    "cmo": _pane("CMO", "Chande's momentum oscillator", 14, ("close",), talib.CMO, (-50, 50), (-100, 100)),
    "trix": _pane("TRIX", "change of a triple exponential average in percent", 15, ("close",), talib.TRIX, (0,)),
    "ultimate": Indicator(
        "Ultimate",
        "Williams' ultimate oscillator over three windows",
        (_period(7, "short"), _period(14, "middle"), _period(28, "long")),
        (Line(),),
        _HLC,
        lambda high, low, close, *given: (talib.ULTOSC(high, low, close, *given),),
        pane=True,
        levels=(30, 70),
        bounds=(0, 100),
    ),
    "atr": _pane("ATR", "Wilder's average true range", 14, _HLC, talib.ATR),
    "natr": _pane("NATR", "average true range in percent of the close", 14, _HLC, talib.NATR),
    "deviation": _pane("Deviation", "standard deviation of the close", 20, ("close",), talib.STDDEV),
    "obv": Indicator(
        "OBV",
        "on-balance volume, from the first bar that this page has",
        (),
        (Line(),),
        ("close", "volume"),
        lambda close, volume: (talib.OBV(close, volume),),
        pane=True,
    ),
    "accumulation": Indicator(
        "AD",
        "Chaikin's accumulation and distribution, from the first bar that this page has",
        (),
        (Line(),),
        _HLCV,
        lambda *given: (talib.AD(*given),),
        pane=True,
    ),
    "chaikin": Indicator(
        "Chaikin",
        "Chaikin's oscillator of accumulation and distribution",
        (_period(3, "fast"), _period(10, "slow")),
        (Line(),),
        _HLCV,
        lambda high, low, close, volume, *given: (talib.ADOSC(high, low, close, volume, *given),),
        pane=True,
        levels=(0,),
    ),
    "mfi": _pane("MFI", "money flow index", 14, _HLCV, talib.MFI, (20, 80), (0, 100)),
}
"""Every indicator by its name in the address."""
