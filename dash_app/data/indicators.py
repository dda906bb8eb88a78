"""The indicators that a visitor chose: as a person writes them (``EMA 50``), and as the address has them (``ema_50``).

Input: texts or an address from anyone, and the bars of one series. Output: choices with allowed numbers only, and the
bars with a column for each line. ``feature rsi`` draws an input of the model. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import polars as pl

from dash_app.data.technical import INDICATORS, Column, Indicator, Line
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model.features import FEATURES, features_of

MOST, MOST_PANES = 12, 6
"""Of indicators, and of panes beneath the price."""

_FEATURE = "feature"
_BY_LABEL = {one.label.lower(): name for name, one in INDICATORS.items()}


class IndicatorError(FinanceLakeError, ValueError):
    """A text that names no indicator, or a number that it cannot take. The message is for the visitor."""


@dataclass(frozen=True)
class Choice:
    """An indicator with its numbers, or an input of the model (``feature``)."""

    name: str
    values: tuple[float, ...] = ()
    feature: str = ""

    @property
    def token(self) -> str:
        """Its place in an address."""
        return "_".join([self.name, *([self.feature] if self.feature else map(_plain, self.values))])

    @property
    def label(self) -> str:
        """As a person writes it; ``read`` understands it."""
        if self.feature:
            return f"{_FEATURE} {self.feature}"
        return " ".join([self.of.label, *map(_plain, self.values)])

    @property
    def of(self) -> Indicator:
        """The indicator; not of a feature."""
        return INDICATORS[self.name]

    @property
    def pane(self) -> str | None:
        """What its pane is called: choices of one indicator share a pane; ``None`` on the price."""
        if self.feature:
            return self.label
        return self.name if self.of.pane else None

    @property
    def lines(self) -> tuple[Line, ...]:
        """What it draws."""
        return (Line(),) if self.feature else self.of.lines

    def column(self, line: Line) -> str:
        """The column of a line in ``with_indicators``."""
        return f"{self.token}|{line.name}"


def usual() -> dict[str, list[str]]:
    """The texts to choose from, by group, with the usual numbers."""
    groups = {"On the price": False, "In a pane": True}
    found = {
        group: [_usual(name).label for name, one in INDICATORS.items() if one.pane is pane]
        for group, pane in groups.items()
    }
    return {**found, "What the model saw": [Choice(_FEATURE, feature=name).label for name in FEATURES]}


def _usual(name: str) -> Choice:
    return Choice(name, tuple(one.usual for one in INDICATORS[name].parameters))


def read(text: str) -> Choice:
    """The choice that a visitor wrote, such as ``ema 50``; numbers that are left out are the usual ones.

    Raises:
        IndicatorError: there is no such indicator, or it does not take these numbers.
    """
    words = re.split(r"[\s,;_()/]+", text.strip().lower().rstrip(")"), maxsplit=1)
    name = words[0] if words[0] in INDICATORS else _BY_LABEL.get(words[0], "")
    rest = words[1] if len(words) > 1 else ""
    if words[0] == _FEATURE:
        return _feature(rest)
    if not name:
        names = {_FEATURE: _FEATURE, **_BY_LABEL, **{one: one for one in INDICATORS}}
        near = get_close_matches(words[0], names, n=1, cutoff=0.5)
        known = ", ".join(one.label for one in INDICATORS.values())
        hint = f"Did you mean {near[0]}?" if near else f"There are {known}."
        raise IndicatorError(f"There is no indicator {words[0]!r}. {hint}")
    return Choice(name, _numbers(INDICATORS[name], re.split(r"[\s,;_()/]+", rest) if rest else []))


def _feature(name: str) -> Choice:
    if name in FEATURES:
        return Choice(_FEATURE, feature=name)
    near = get_close_matches(name, FEATURES, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(FEATURES)}."
    raise IndicatorError(f"The model has no feature {name!r}. {hint}")


def _numbers(of: Indicator, words: list[str]) -> tuple[float, ...]:
    if len(words) > len(of.parameters):
        takes = ", ".join(one.name for one in of.parameters) or "no numbers"
        raise IndicatorError(f"{of.label} takes {takes}.")
    found = []
    for number, one in enumerate(of.parameters):
        word = words[number] if number < len(words) else _plain(one.usual)
        value = float(word) if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", word) else None
        if value is None or not one.least <= value <= one.most or (one.whole and value != int(value)):
            kind = "a whole number" if one.whole else "a number"
            allowed = f"{kind} from {_plain(one.least)} to {_plain(one.most)}"
            raise IndicatorError(f"{of.label}: {one.name} is {allowed}, not {word!r}.")
        found.append(value)
    return tuple(found)


def chosen(texts: Iterable[str]) -> tuple[Choice, ...]:
    """The choices of a visitor, each once.

    Raises:
        IndicatorError: one cannot be read, or there are too many.
    """
    found = tuple(dict.fromkeys(read(text) for text in texts))
    if len(found) > MOST:
        raise IndicatorError(f"At most {MOST} indicators fit.")
    if len(panes(found)) > MOST_PANES:
        raise IndicatorError(f"At most {MOST_PANES} panes fit beneath the price.")
    return found


def of_address(text: str) -> tuple[Choice, ...]:
    """The choices of an address; what cannot be read, and what is too much, is left out."""
    found: tuple[Choice, ...] = ()
    for token in text.split("-")[: 2 * MOST]:
        try:
            found = chosen([*(one.label for one in found), token])
        except IndicatorError:
            continue
    return found


def panes(choices: Sequence[Choice]) -> list[str]:
    """The panes of choices, from the top."""
    return list(dict.fromkeys(one.pane for one in choices if one.pane is not None))


def with_indicators(bars: pl.DataFrame, choices: Sequence[Choice]) -> pl.DataFrame:
    """Add a column for each line.

    Args:
        bars: of one series, oldest first, with the columns of silver.bars.
        choices: what to compute.

    Returns:
        The bars with ``Choice.column`` of each line: null until the window is complete, at bars that lack a price or
        volume that the indicator needs, and where a source gives only the close and the range is needed.
    """
    if not choices:
        return bars
    ours = [one.feature for one in choices if one.feature]
    seen = features_of(bars) if ours else bars
    columns = {one.column(one.lines[0]): seen[one.feature] for one in choices if one.feature}
    for one in choices:
        if not one.feature:
            columns |= _computed(bars, one)
    return bars.with_columns(**columns)


def _computed(bars: pl.DataFrame, choice: Choice) -> dict[str, pl.Series]:
    needs = choice.of.needs
    invented = pl.col("imputed").fill_null("").str.contains("high|low") if _range(needs) else pl.lit(False)
    known = pl.all_horizontal(*(pl.col(name).is_finite() for name in needs), ~invented).fill_null(False)
    at = bars.select(known.arg_true()).to_series().to_numpy()
    whole = bars[at] if len(at) else bars.clear()
    prices = [np.ascontiguousarray(whole[name].to_numpy(), dtype=np.float64) for name in needs]
    numbers = [
        int(value) if one.whole else value for one, value in zip(choice.of.parameters, choice.values, strict=True)
    ]
    drawn = choice.of.compute(*prices, *numbers) if len(at) else ([],) * len(choice.lines)
    found = {}
    for line, values in zip(choice.lines, drawn, strict=True):
        column = np.full(bars.height, np.nan)
        column[at] = values
        found[choice.column(line)] = pl.Series(column).fill_nan(None)
    return found


def _range(needs: tuple[Column, ...]) -> bool:
    return "high" in needs or "low" in needs


def _plain(value: float) -> str:
    return f"{value:g}"
