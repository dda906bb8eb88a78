"""What a plug-in is: a pure function of one series of bars, with what it declares of itself.

Input: a function or a class that a user writes. Output: a ``Plugin``, by the decorators ``feature``, ``label``,
``rule``, ``cost`` and ``model``.
See docs/plugins.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import polars as pl

from financelake_assets.errors import FinanceLakeError
from financelake_assets.intervals import BAR_LENGTHS

Function = Callable[..., pl.DataFrame]
Kind = Literal["feature", "label", "rule", "cost", "model"]

MOST_LOOKBACK = {"feature": 2_000, "label": 0, "rule": 50, "cost": 2_000, "model": 0}
"""The longest look-backs in bars. The gold query keeps so many bars of each series in memory, and scores the bars that
a rule looks back at again."""

MOST_OTHER_BARS = 2_000
"""The most bars of another series that a feature may look back at."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


class PluginError(FinanceLakeError, ValueError):
    """A plug-in cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class Other:
    """Another series that a feature asks for: another symbol, longer bars of the same symbol, or both.

    ``symbol`` and ``interval``: of that series; unset means as those of the bars. ``bars``: how many of its bars before
    the newest known one a value may depend on.
    """

    symbol: str | None = None
    interval: str | None = None
    bars: int = 0

    def of(self, symbol: str, interval: str) -> tuple[str, str]:
        """Symbol and interval of it, for bars of a symbol and an interval."""
        return self.symbol or symbol, self.interval or interval

    @property
    def problem(self) -> str | None:
        """What is wrong with it, in words."""
        shortest = next(iter(BAR_LENGTHS))
        if self.symbol is None and self.interval is None:
            return "needs a symbol or an interval of its own"
        if self.symbol is not None and (not isinstance(self.symbol, str) or not self.symbol.strip()):
            return f"has the symbol {self.symbol!r}"
        if self.interval is not None and self.interval not in BAR_LENGTHS:
            return f"has the interval {self.interval!r}; there are {', '.join(BAR_LENGTHS)}"
        if self.symbol is None and self.interval == shortest:
            return f"has the interval {shortest}, and no bars of the same symbol are shorter"
        if type(self.bars) is not int or not 0 <= self.bars <= MOST_OTHER_BARS:
            return f"needs a whole number of bars from 0 to {MOST_OTHER_BARS:,}, not {self.bars!r}"
        return None


@dataclass(frozen=True)
class Plugin:
    """A feature, a label, a rule, a cost or a model.

    ``function`` gets the bars of one series in order of time, and gives as many rows with exactly ``columns``; that of
    a model is its class, see ``regressors.Regressor``.
    ``lookback`` is how many bars before a bar its values may depend on, and ``ahead`` how many bars behind it those of
    a label may (``None``: as far as the horizon); a label may know all bars before. ``name`` is the entry point's, and
    ``digest`` a hash of the module's code; both are empty until the plug-in is loaded from its entry point.
    ``others`` are the other series that a feature asks for, by the names of the arguments that it gets them as.
    """

    kind: Kind
    version: str
    lookback: int
    columns: tuple[str, ...]
    function: Callable[..., Any]
    name: str = ""
    digest: str = ""
    ahead: int | None = None
    others: tuple[tuple[str, Other], ...] = ()

    @property
    def title(self) -> str:
        """For messages: ``the plug-in vwap_distance 1``."""
        return f"the plug-in {self.name or self.columns[0]} {self.version}"

    @property
    def facts(self) -> dict[str, Any]:
        """What a trained version records, to be scored with the same plug-in."""
        return {
            "version": self.version,
            "lookback": self.lookback,
            "columns": list(self.columns),
            "digest": self.digest,
            **({"ahead": self.ahead} if self.kind == "label" else {}),
            **({"others": {name: asdict(other) for name, other in self.others}} if self.others else {}),
        }


def facts_by_name(plugins: Iterable[Plugin]) -> dict[str, dict[str, Any]]:
    """The facts of plug-ins as a version and the trials ledger record them."""
    return {plugin.name: plugin.facts for plugin in plugins}


def bar_in_words(bar: Mapping[str, Any]) -> str:
    """``WTI 1d at 2020-05-21 00:00``, of a row with symbol, interval and event_time."""
    return f"{bar['symbol']} {bar['interval']} at {bar['event_time']:%Y-%m-%d %H:%M}"


def feature(
    *,
    version: str,
    lookback: int,
    columns: Sequence[str] | None = None,
    others: Mapping[str, Other] | None = None,
) -> Callable[[Function], Plugin]:
    """Declare a function of bars as a feature.

    Args:
        version: give another one whenever the values change.
        lookback: how many bars before a bar its values depend on; 0 for a function of the bar itself.
        columns: the names of its columns; by default one, which is called like the function.
        others: other series that it needs, by the names of the arguments that it gets them by.

    Raises:
        PluginError: the declaration is wrong.
    """

    def declared(function: Function) -> Plugin:
        names = (function.__name__,) if columns is None else tuple(columns)
        asked = tuple((others or {}).items())
        return _checked(Plugin("feature", version, lookback, names, function, others=asked), function.__name__)

    return declared


def label(*, version: str, ahead: int | None = None) -> Callable[[Function], Plugin]:
    """Declare a function of bars and their outcomes as what a training learns of the return; it gives ``label``.

    Args:
        version: give another one whenever the labels change.
        ahead: how many bars behind a bar its label depends on; unset is the horizon, and more is refused.

    Raises:
        PluginError: the declaration is wrong.
    """

    def declared(function: Function) -> Plugin:
        return _checked(Plugin("label", version, 0, ("label",), function, ahead=ahead), function.__name__)

    return declared


def rule(*, version: str, lookback: int = 0) -> Callable[[Function], Plugin]:
    """Declare a function of scored bars as a rule; it gives one column, ``signal``.

    Args:
        version: give another one whenever its decisions change.
        lookback: how many scored bars before a bar its decision depends on.

    Raises:
        PluginError: the declaration is wrong.
    """

    def declared(function: Function) -> Plugin:
        return _checked(Plugin("rule", version, lookback, ("signal",), function), function.__name__)

    return declared


def cost(*, version: str, lookback: int = 0) -> Callable[[Function], Plugin]:
    """Declare a function of bars as the cost of an execution; it gives one column, ``cost_bps``.

    Args:
        version: give another one whenever the costs change.
        lookback: how many bars before a bar its cost depends on.

    Raises:
        PluginError: the declaration is wrong.
    """

    def declared(function: Function) -> Plugin:
        return _checked(Plugin("cost", version, lookback, ("cost_bps",), function), function.__name__)

    return declared


def model(*, version: str) -> Callable[[type], Plugin]:
    """Declare a class as a model: it has ``fit``, ``predict``, ``save`` and ``load``, see ``regressors.Regressor``.

    Args:
        version: give another one whenever it learns or predicts otherwise.

    Raises:
        PluginError: the declaration is wrong.
    """

    def declared(made: type) -> Plugin:
        lacking = [name for name in ("fit", "predict", "save", "load") if not callable(getattr(made, name, None))]
        if lacking:
            raise PluginError(f"the model {made.__name__} is declared wrongly: it has no {', '.join(lacking)}")
        return _checked(Plugin("model", version, 0, ("prediction",), made), made.__name__)

    return declared


def _checked(plugin: Plugin, name: str) -> Plugin:
    most = MOST_LOOKBACK[plugin.kind]
    wrong = [column for column in plugin.columns if not _NAME.fullmatch(str(column))]
    problem = None
    if not isinstance(plugin.version, str) or not plugin.version.strip():
        problem = "its version must be a text that is not empty"
    elif type(plugin.lookback) is not int or not 0 <= plugin.lookback <= most:
        problem = f"its look-back must be a whole number of bars from 0 to {most:,}, not {plugin.lookback!r}"
    elif plugin.ahead is not None and (type(plugin.ahead) is not int or plugin.ahead < 1):
        problem = f"it must look a whole number of bars ahead, at least one, not {plugin.ahead!r}"
    elif wrong or not plugin.columns or len(set(plugin.columns)) < len(plugin.columns):
        problem = (
            "its columns need names of their own of small letters, digits and _, not "
            f"{', '.join(map(repr, wrong or plugin.columns)) or 'none'}"
        )
    problem = problem or next(filter(None, (_problem_of(*asked) for asked in plugin.others)), None)
    if problem:
        raise PluginError(f"the {plugin.kind} {name} is declared wrongly: {problem}")
    return plugin


def _problem_of(name: str, other: object) -> str | None:
    if not _NAME.fullmatch(str(name)) or name == "bars":
        return f"its other series need names of small letters, digits and _ that are not `bars`, not {name!r}"
    if not isinstance(other, Other):
        return f"its other series {name} must be an `Other`, not {other!r}"
    return None if other.problem is None else f"its other series {name} {other.problem}"
