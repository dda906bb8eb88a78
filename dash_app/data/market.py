"""Data of the market view, from a snapshot: the watch list's rows and one symbol's series.

Input: a ``Snapshot`` and the visitor's choices. Output: plain rows and frames for the views, without Dash.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import polars as pl

from dash_app import wording
from dash_app.data.indicators import Choice, with_indicators
from dash_app.data.lake_reader import KEPT_BARS, Snapshot
from financelake_assets.bronze.universe import currencies
from financelake_assets.calendars import ALWAYS, BY_CLASS, TradingCalendar, trading_calendar
from financelake_assets.intervals import interval_length

SPARK_BARS = 30
_SATURDAY = 6
_DAY, _WEEKEND = timedelta(days=1), timedelta(days=3)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLOTTED = "%Y-%m-%dT%H:%M:%S"
DRAWN = (
    *("at", "open", "high", "low", "close", "volume", "imputed", "signal", "predicted_return", "confidence"),
    *("expected_lower", "expected_upper"),
)

_OF_PREDICTIONS = ("horizon", "predicted_return", "predicted_close", "lower", "upper", "coverage", "probability_up")
_OF_SIGNALS = ("signal", "strength", "confidence", "reason", "cost_bps", "model_version")
_OF_GROUPS = ("buys", "sells", "count")

Row = dict[str, Any]


class Parts(Protocol):
    """The tables of one series, each oldest first."""

    @property
    def bars(self) -> pl.DataFrame:
        """Rows of silver.bars."""

    @property
    def predictions(self) -> pl.DataFrame:
        """Rows of gold.predictions."""

    @property
    def signals(self) -> pl.DataFrame:
        """Rows of gold.signals."""


@dataclass(frozen=True, eq=False)
class _Kept:
    """What a snapshot has of one series."""

    bars: pl.DataFrame
    predictions: pl.DataFrame
    signals: pl.DataFrame


@dataclass(frozen=True, eq=False)
class Series:
    """One symbol in one interval: bars with the prediction and signal of each, oldest first.

    ``group`` is how many bars one row stands for; ``older`` and ``newer`` tell whether the lake has more bars on that
    side. ``further`` are the newest rows of gold.predictions of further horizons, one each, the nearest first.
    """

    symbol: str
    interval: str
    asset_class: str
    provider: str
    currency: str
    calendar: str
    horizon: int
    bars: pl.DataFrame
    findings: pl.DataFrame
    show: tuple[Choice, ...] = ()
    group: int = 1
    older: bool = False
    newer: bool = False
    further: tuple[Row, ...] = ()

    @cached_property
    def last(self) -> Row:
        """The newest bar."""
        return self.bars.row(-1, named=True)

    @cached_property
    def scored(self) -> Row | None:
        """The newest bar with a signal; ``None`` if no shown bar has one."""
        signals = self.columns["signal"]
        found = next((at for at in reversed(range(len(signals))) if signals[at] is not None), None)
        return None if found is None else self.bars.row(found, named=True)

    @cached_property
    def unscored(self) -> int:
        """How many of the shown bars are newer than the newest signal."""
        signals = self.columns["signal"]
        return next((newer for newer, signal in enumerate(reversed(signals)) if signal is not None), len(signals))

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        """The bars as plain lists, which are faster to iterate than a few hundred rows of a frame."""
        lines = [one.column(line) for one in self.show for line in one.lines]
        more = _OF_GROUPS if self.group > 1 else ()
        return {name: self.bars[name].to_list() for name in (*DRAWN, *lines, *more)}

    def at(self, plotted: str) -> datetime | None:
        """The start of the bar that a chart shows at a time; Plotly leaves out what is zero at its end."""
        wanted = plotted.replace(" ", "T")
        whole = wanted + "0000-00-00T00:00:00"[len(wanted) :]
        found = next((number for number, text in enumerate(self.columns["at"]) if text == whole), None)
        return None if found is None else self.bars["event_time"][found]

    @property
    def change(self) -> float | None:
        """Relative change of the last close from the previous one."""
        return change(self.columns["close"][-2:])

    @cached_property
    def close_only(self) -> bool:
        """Whether the source gives only closing prices, so that candles would be false."""
        return sum("open" in (names or "") for names in self.columns["imputed"]) * 2 > self.bars.height

    @cached_property
    def weekdays_only(self) -> bool:
        """Whether the series never has a bar on a weekend; of groups, by the day on which each begins."""
        if self.group > 1 and self.calendar != ALWAYS:
            shown = self.bars["event_time"].dt.convert_time_zone(wording.zone(self.interval))
            return not (shown.dt.weekday() >= _SATURDAY).any()
        return skips_weekends(self.bars["event_time"], self.interval)

    @cached_property
    def closures(self) -> list[tuple[datetime, datetime]]:
        """When the market was closed between two shown bars, except for weekends that ``weekdays_only`` tells.

        Time in which bars should have come and did not is no closure.
        """
        length = interval_length(self.interval)
        if self.calendar == ALWAYS or length is None or length > _DAY or self.group > 1:
            return []
        calendar, times, found = trading_calendar(self.calendar), self.bars["event_time"].to_list(), []
        for before, after in pairwise(sorted({*times, self.target_time})):
            begin, end = before + length, min(calendar.next_expected(self.interval, before), after)
            weekend = self.weekdays_only and end - before == _WEEKEND
            if end > begin and not weekend:
                found.append((begin, end))
        return found

    @cached_property
    def target_time(self) -> datetime:
        """The start of the bar that the newest prediction predicts; before the first one, that it will predict."""
        return self.target_of((self.scored or self.last)["event_time"], self.horizon)

    def target_of(self, made: datetime, horizon: int) -> datetime:
        """The start of the bar so many bars after the one at ``made``."""
        return next_bar_time(made, self.interval, horizon, trading_calendar(self.calendar))


def series(snapshot: Snapshot, symbol: str, interval: str, bars: int, show: tuple[Choice, ...] = ()) -> Series | None:
    """The newest bars of a symbol with the prediction and signal of each; ``None`` if there are no bars.

    The chosen indicators are computed over all bars in memory, so that their windows reach before the shown ones.

    Columns of predictions and signals are null for bars without them. ``expected_*`` is the previous bar's prediction
    for this bar.
    """
    return snapshot.once(
        ("series", symbol, interval, bars, show), lambda: _series(snapshot, symbol, interval, bars, show)
    )


def _series(snapshot: Snapshot, symbol: str, interval: str, bars: int, show: tuple[Choice, ...]) -> Series | None:
    prices = snapshot.bars.group(symbol, interval)
    if prices.is_empty():
        return None
    parts = _Kept(prices, snapshot.predictions.group(symbol, interval), snapshot.signals.group(symbol, interval))
    # with as many bars as the page keeps, the lake may have more
    older = prices.height > bars or prices.height >= KEPT_BARS
    return replace(assembled(snapshot, symbol, interval, parts, bars, show), older=older)


def assembled(
    snapshot: Snapshot, symbol: str, interval: str, parts: Parts, bars: int, show: tuple[Choice, ...]
) -> Series:
    """The newest of some bars beside their predictions, signals and indicators.

    Args:
        snapshot: what else is known of the symbol.
        symbol: of the series.
        interval: of the series.
        parts: its tables; at least one bar.
        bars: how many of the newest to show.
        show: the indicators, computed over all bars of ``parts``.
    """
    prices, predictions, signals = parts.bars, parts.predictions, parts.signals
    ahead = _horizon(predictions)
    # the first shown bars also show what the bars before them predicted
    priced = with_indicators(prices, show).tail(bars + ahead)
    told = _beside(_beside(priced, predictions, _OF_PREDICTIONS), signals, _OF_SIGNALS)
    shown = told.tail(bars)
    shown = shown.hstack([*_expected(told, ahead, shown.height), _plotted(shown["event_time"], interval)])
    last = prices.row(-1, named=True)
    found = snapshot.findings.group(symbol, interval)
    if not found.is_empty():
        found = found.filter(found["event_time"].is_between(shown["event_time"][0], shown["event_time"][-1]))
    currency, calendar = _told_of(snapshot).get(symbol, ("", ""))
    return Series(
        symbol,
        interval,
        last["asset_class"] or "",
        last["provider"] or "",
        currency,
        calendar or BY_CLASS.get(last["asset_class"], ALWAYS),
        ahead,
        shown,
        found,
        show,
        further=_further(snapshot, symbol, interval),
    )


def _further(snapshot: Snapshot, symbol: str, interval: str) -> tuple[Row, ...]:
    """The newest prediction of each further horizon."""
    wanted = snapshot.settings.further_horizons
    if not wanted:
        return ()
    rows = snapshot.further.group(symbol, interval).filter(pl.col("horizon").is_in(wanted))
    return tuple(rows.unique("horizon", keep="last", maintain_order=True).sort("horizon").to_dicts())


def _horizon(predictions: pl.DataFrame) -> int:
    """How many bars ahead the newest prediction is; 1 before the first one."""
    newest = predictions["horizon"][-1] if predictions.height else None
    return int(newest or next(iter(predictions["horizon"].drop_nulls().tail(1)), 1))


def _expected(told: pl.DataFrame, ahead: int, shown: int) -> list[pl.Series]:
    """What the bar so far before each of the last bars predicted for it."""
    names = {"close": "predicted_close", "lower": "lower", "upper": "upper"}
    without = max(shown + ahead - told.height, 0)  # bars before which there is none
    found = []
    for said, name in names.items():  # slices, because an expression would take ten times as long
        before = told[name].slice(max(told.height - shown - ahead, 0), shown - without)
        padded = told[name].clear(without).append(before) if without else before
        found.append(padded.alias(f"expected_{said}"))
    return found


def plotted_time(moment: datetime, interval: str) -> str:
    """A time for a chart: Plotly has no time zones, and shows the text as it is."""
    return moment.astimezone(ZoneInfo(wording.zone(interval))).strftime(_PLOTTED)


def unplotted(text: str, interval: str) -> datetime | None:
    """The moment of a chart's text, the inverse of ``plotted_time``; ``None`` if it is no time."""
    try:
        moment = datetime.fromisoformat(text.strip()[:19])
    except ValueError:
        return None
    return moment.replace(tzinfo=ZoneInfo(wording.zone(interval))).astimezone(UTC)


def plotted(times: pl.Expr, interval: str) -> pl.Expr:
    """Many times for a chart, see ``plotted_time``."""
    return times.dt.convert_time_zone(wording.zone(interval)).dt.strftime(_PLOTTED)


def _plotted(times: pl.Series, interval: str) -> pl.Series:
    """The same of a few hundred times, most of which were asked for before: a fifth of the work."""
    zone = wording.zone(interval)
    return pl.Series("at", [_text(micros, zone) for micros in times.cast(pl.Int64).to_list()], dtype=pl.String)


@lru_cache(100_000)
def _text(micros: int, zone: str) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).astimezone(ZoneInfo(zone)).strftime(_PLOTTED)


def _beside(bars: pl.DataFrame, other: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    newest = other.tail(bars.height)
    if newest["event_time"].equals(bars["event_time"]):
        # the usual case, and a twentieth of the work
        return bars.hstack([newest[name] for name in columns])
    return bars.join(other.select("event_time", *columns), on="event_time", how="left", maintain_order="left")


def _told_of(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """Currency and calendar of each symbol that the universe knows; no text for what it does not tell."""
    return snapshot.once("currencies and calendars", lambda: _by_symbol(snapshot.universe))


def _by_symbol(universe: pl.DataFrame) -> dict[str, tuple[str, str]]:
    described = universe.drop_nulls("calendar").unique("symbol", keep="first")
    named, told = dict(described.select("symbol", "calendar").iter_rows()), currencies(universe)
    return {symbol: (told.get(symbol, ""), named.get(symbol, "")) for symbol in universe["symbol"].unique()}


def main_interval(snapshot: Snapshot, symbol: str) -> str | None:
    """The default interval of a symbol: one with signals, otherwise the longest."""
    intervals = snapshot.intervals(symbol)
    with_signals = [one for one in intervals if not snapshot.signals.group(symbol, one).is_empty()]
    return next(reversed(with_signals or intervals), None)


def watch_rows(snapshot: Snapshot, asset_class: str | None = None) -> list[Row]:
    """One row for each symbol of the watch list, by asset class and name; ``None`` means all classes."""
    rows = snapshot.once("watch_rows", lambda: _watch_rows(snapshot))
    return rows if asset_class is None else [row for row in rows if row["class_id"] == asset_class]


def _watch_rows(snapshot: Snapshot) -> list[Row]:
    rows = [_watch_row(snapshot, symbol) for symbol in snapshot.symbols()]
    order = list(wording.ASSET_CLASSES)
    return sorted(
        rows,
        key=lambda row: (order.index(row["class_id"]) if row["class_id"] in order else len(order), row["symbol"]),
    )


def _watch_row(snapshot: Snapshot, symbol: str) -> Row:
    interval = main_interval(snapshot, symbol) or ""
    bars = snapshot.bars.group(symbol, interval)
    signals = snapshot.signals.group(symbol, interval)
    last = bars.row(-1, named=True)
    signal: Row = signals.row(-1, named=True) if not signals.is_empty() else {}
    closes = bars["close"].tail(SPARK_BARS).to_list()
    overdue = snapshot.overdue.get((symbol, interval))
    arrived = last["processed_at"]
    return {
        "symbol": symbol,
        "class_id": last["asset_class"],
        "asset_class": wording.ASSET_CLASSES.get(last["asset_class"], last["asset_class"]),
        "interval": interval,
        "close": last["close"],
        "price": wording.price(last["close"]),
        "change": change(closes[-2:]),
        "change_text": wording.percent(change(closes[-2:]), sign=True),
        "spark": sparkline(closes),
        "signal": signal.get("signal"),
        "why": wording.hold_reason(signal["reason"]) if signal.get("reason") else "",
        "confidence": signal.get("confidence"),
        "confidence_text": wording.percent(signal.get("confidence"), 0),
        "time": f"{wording.bar_time(last['event_time'], interval)} {wording.zone(interval)}",
        "behind": signal.get("event_time") != last["event_time"] if signal else None,
        "provider": last["provider"],
        # a replay shows the past, in which no bar is fresh or late
        "arrived": None if arrived is None or snapshot.as_of else int(arrived.timestamp() * 1000),
        "overdue": overdue,
        "history": not snapshot.as_of and overdue is None and last["provider"] not in wording.PLAYED_PROVIDERS,
        "fresh": "Replay" if snapshot.as_of else wording.freshness(overdue, last["provider"] or ""),
    }


def sparkline(closes: list[float | None]) -> list[int | None]:
    """Known prices as heights from 0 to 99: a tenth of the bytes of a drawing."""
    known = [value for value in closes if value is not None]
    low = min(known, default=0.0)
    span = (max(known, default=0.0) - low) or 1.0
    return [None if value is None else round((value - low) / span * 99) for value in closes]


def change(closes: list[float | None]) -> float | None:
    """Relative change from the first to the last of two prices; unknown if the first is zero or there is only one.

    It is relative to the absolute first price, so that a rise is positive even from a negative price.
    """
    if len(closes) < 2 or closes[0] is None or closes[-1] is None or closes[0] == 0:
        return None
    return (closes[-1] - closes[0]) / abs(closes[0])


def skips_weekends(times: pl.Series, interval: str) -> bool:
    """Whether a daily series of at least two weeks never has a bar on a weekend."""
    return interval == "1d" and len(times) > 10 and not (times.dt.weekday() >= _SATURDAY).any()


def next_bar_time(moment: datetime, interval: str, horizon: int, calendar: TradingCalendar) -> datetime:
    """When the bar ``horizon`` bars after the one at ``moment`` starts, by the calendar of its market."""
    for _ in range(horizon):
        moment = calendar.next_expected(interval, moment)
    return moment


def played(snapshot: Snapshot) -> list[str]:
    """Providers in the lake whose bars are not live market data."""
    found = {frame["provider"][-1] for frame in snapshot.bars.groups.values()}
    return [provider for provider in wording.PLAYED_PROVIDERS if provider in found]
