"""Readiness: the bars of each market in silver, those that are new since its last training, and those with labels.

Input: silver.bars and the registry's versions. Output: figures of each market that has bars. Labelled bars are counted
by the training's own features and labels, so a training that is due finds as many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.intervals import BAR_LENGTHS, SERIES
from financelake_assets.model import markets, other_reading
from financelake_assets.model.features import LOOKBACK
from financelake_assets.model.labels import LABEL, labels_of
from financelake_assets.model.markets import Market, Series
from financelake_assets.model.other_series import NONE, OtherBars, usable
from financelake_assets.model.plugged_features import Plugins, features_with, longest_lookback
from financelake_assets.plugins import PluginError, installed
from financelake_assets.seldom import Seldom
from financelake_assets.silver.schema import BARS

_COLUMNS = (
    *("symbol", "asset_class", "interval", "event_time", "open", "high", "low", "close", "adj_close", "volume"),
    *("imputed", "split"),
)
_RECENT_BARS = 100  # the usual time between bars is taken of so many
_ARRIVING = timedelta(seconds=10)
_MOST_ARRIVING = 20  # with more than one in so many bars in that time, a history is being loaded
_MOST_WAITING = 50
_LONGEST_READ = 50_000  # bars of one series, of which some hundred labels are wanted


@dataclass(frozen=True)
class MarketBars:
    """The bars of one market.

    ``new`` is how many silver wrote since the market's last training, and all of them where there was none;
    ``arriving`` how many it wrote in the ten seconds up to ``written_at``, when it wrote the last one. ``labelled`` is
    counted up to what a training needs, and only where the market has no model.
    """

    market: Market
    series: tuple[Series, ...]
    new: int
    arriving: int
    written_at: datetime
    labelled: int | None = None

    @property
    def bars(self) -> int:
        """All bars."""
        return sum(one.bars for one in self.series)

    def loading(self, waiting: int, now: datetime) -> bool:
        """Whether a history is being loaded, of which a model would learn a part: many bars came, and more may come.

        Args:
            waiting: messages that are not in silver yet, of any market: a busy feed always has some.
            now: the time of the question.
        """
        came = now - self.written_at < _ARRIVING and self.arriving * _MOST_ARRIVING > self.bars
        return came and waiting * _MOST_WAITING > self.bars

    def progress(self, settings: ModelSettings, now: datetime) -> str:
        """How far it is from its first training, in words."""
        return markets.progress(self.series, self.labelled or 0, settings, self.market, now)


def survey(
    bars: pl.LazyFrame, settings: ModelSettings, trained_at: Mapping[Market, datetime], plugins: Plugins = ()
) -> dict[Market, MarketBars]:
    """Count the bars of every market that has any, and the labelled bars of those that no version was trained for.

    Args:
        bars: rows of silver.bars.
        settings: which symbols a model learns from, and how many labelled bars it needs.
        trained_at: when the newest version of a market was trained.
        plugins: features of the user, of which a bar needs a value to be learnt.
    """
    own = bars.filter(pl.col("interval").is_in(list(BAR_LENGTHS)))
    if settings.symbols:
        own = own.filter(pl.col("symbol").is_in(settings.symbols))
    known = _counted(own, trained_at, settings)
    found = {}
    for (interval,), rows in known.group_by("interval"):
        series = tuple(Series(row["bars"], row["newest"], _spacing(row)) for row in rows.to_dicts())
        for market in markets.of_interval(str(interval), settings):
            own_settings = market.settings(settings)
            found[market] = MarketBars(
                market=market,
                series=series,
                new=int(rows[_new(market.further)].sum()),
                arriving=int(rows["arriving"].sum()),
                written_at=rows["written_at"].max(),  # type: ignore[arg-type]
                labelled=None if market in trained_at else _labelled(own, bars, rows, own_settings, plugins),
            )
    return found


def of_lake(settings: Settings, trained_at: Mapping[Market, datetime]) -> dict[Market, MarketBars]:
    """The markets of a lake as they are now; none before the first bar."""
    table = BARS.open(settings)
    return {} if table is None else survey(pl.scan_delta(table), settings.model, trained_at, _plugins(settings))


class Followed:
    """The markets of a lake, counted again where silver or the registry has changed, in a twentieth of the time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: Seldom[dict[Market, MarketBars]] = Seldom()

    def of(self, silver_version: int, trained_at: Mapping[Market, datetime]) -> dict[Market, MarketBars]:
        """The markets at a version of silver.bars, or at one shortly before; see ``survey``."""
        trained = tuple(sorted(trained_at.items(), key=str))
        return self._found.of(trained, silver_version, lambda: of_lake(self._settings, trained_at))


def _counted(bars: pl.LazyFrame, trained_at: Mapping[Market, datetime], settings: ModelSettings) -> pl.DataFrame:
    """One row a series: its bars, the newest, the time of the hundredth newest, and what silver wrote lately.

    What is new depends on the horizon, because each has trainings of its own; see ``_new`` for the columns.
    """
    written = pl.col("processed_at")
    latest = written.max().over("interval")
    new = {}
    for further in (None, *settings.further_horizons):
        since = {market.interval: moment for market, moment in trained_at.items() if market.further == further}
        learnt_to = pl.col("interval").replace_strict(since, default=None, return_dtype=pl.Datetime("us", "UTC"))
        new[_new(further)] = (written > learnt_to).fill_null(learnt_to.is_null())
    return (
        bars.select(*SERIES, "event_time", "processed_at")
        .with_columns(_arriving=(written > latest - _ARRIVING).fill_null(False), **new)
        .group_by(SERIES)
        .agg(
            pl.col(*new).sum(),
            bars=pl.len(),
            newest=pl.col("event_time").max(),
            recent=pl.col("event_time").top_k(_RECENT_BARS).min(),
            arriving=pl.col("_arriving").sum(),
            written_at=written.max().fill_null(datetime.fromtimestamp(0, UTC)),
        )
        .sort("bars", descending=True)
        .collect()
    )


def _new(further: int | None) -> str:
    """The column that counts the bars since the last training of a horizon."""
    return f"new_{further or ''}"


def _spacing(row: dict[str, Any]) -> timedelta:
    steps = min(row["bars"], _RECENT_BARS) - 1
    return (row["newest"] - row["recent"]) / max(steps, 1)  # type: ignore[no-any-return]


def _labelled(
    bars: pl.LazyFrame, silver: pl.LazyFrame, rows: pl.DataFrame, settings: ModelSettings, plugins: Plugins
) -> int:
    """How many bars of a market have a label, up to what a training needs.

    Args:
        bars: rows of silver.bars that a model learns from.
        silver: all rows, for the other series that plug-ins ask for.
        rows: of ``_counted``, those of the market.
        settings: the horizon, and how many are needed.
        plugins: see ``survey``.
    """
    found, horizon, interval = 0, settings.horizon, str(rows["interval"][0])
    plugins = usable(plugins, interval)
    try:
        others = other_reading.of_bars(silver, plugins, interval, rows["symbol"].to_list())
    except PluginError:  # as in ``_featured``
        others = NONE
    long = rows.filter(pl.col("bars") > LOOKBACK + longest_lookback(plugins) + horizon)
    own = bars.filter((pl.col("interval") == interval) & pl.col("symbol").is_in(long["symbol"].to_list()))
    whole = own.select(_COLUMNS).collect()
    for series in whole.partition_by("symbol"):
        newest = series.sort("event_time").tail(_LONGEST_READ)
        found += (
            labels_of(_featured(newest, plugins, others), horizon)
            .filter("scorable", pl.col(LABEL).is_not_null())
            .height
        )
        if found >= settings.min_rows:
            break
    return found


def _featured(bars: pl.DataFrame, plugins: Plugins, others: OtherBars) -> pl.DataFrame:
    try:
        return features_with(bars, plugins, others)
    except PluginError:  # the training refuses the plug-in with its reason; here bars are only counted
        return features_with(bars, ())


def _plugins(settings: Settings) -> Plugins:
    try:
        return installed.features(settings.skipped_plugins)
    except PluginError:  # as above
        return ()
