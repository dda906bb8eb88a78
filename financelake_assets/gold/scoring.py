"""Scoring: bars with the bars before them → rows of gold.predictions and gold.signals.

Input: bars without gaps for each series, the keys of the wanted bars, and a loaded forest. Output: one row for each
wanted bar; its prediction is null if the bar could not be scored. The live query and the back-fill of history use
``score_bars``; a back-test, whose predictions are made already, uses ``signals_of``, which is a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from financelake_assets.calendars import TradingCalendar
from financelake_assets.config import Settings
from financelake_assets.gold import rule_checks, rules, schema
from financelake_assets.gold.adapting import EARLIER, adapted
from financelake_assets.gold.predict import score
from financelake_assets.gold.sessions import with_market_open
from financelake_assets.gold.signals import decide, surprise
from financelake_assets.intervals import SERIES
from financelake_assets.model import cost_checks
from financelake_assets.model.adaptive import WIDENING
from financelake_assets.model.costs import Costs, with_costs
from financelake_assets.model.other_series import NONE, OtherBars
from financelake_assets.model.outputs import COST, Predictor
from financelake_assets.model.plugged_features import features_with
from financelake_assets.model.record import ModelRecord
from financelake_assets.plugins import PluginError, installed
from financelake_assets.silver.merging import may_grow
from financelake_assets.silver.schema import BARS

BAR_KEY = list(BARS.key)
_NAMES = list(dict.fromkeys((*schema.PREDICTIONS.schema.names, *schema.SIGNALS.schema.names)))


def bars_before(settings: Settings) -> int:
    """How many bars before a wanted one its signal needs, in addition to those for its features."""
    try:
        of_costs = Costs.of(settings).lookback
    except PluginError:  # ``score_bars`` says which one it is
        of_costs = 0
    # the surprise uses the volatility that was expected one bar before
    return _scored_before(settings) + 2 + of_costs


def _scored_before(settings: Settings) -> int:
    """How many scored bars before a wanted one its signal needs."""
    try:
        of_rules = rules.longest_lookback(installed.rules(settings.skipped_plugins))
    except PluginError:  # ``signals_of`` says which rule it is
        of_rules = 0
    return settings.signals.settle_bars + of_rules


def finished(bars: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """The bars that can be scored after some bars have changed.

    A bar of trades or of smaller bars grows until the next one begins. Only then does it look like the training data.

    Args:
        bars: rows of silver.bars, without gaps for each series.
        changed: symbol, interval and event_time of the changed bars.

    Returns:
        Keys: the changed bars that are finished, and the bars that ended when a changed bar began.
    """
    touched = bars.sort(*SERIES, "event_time").join(
        changed.select(BAR_KEY).with_columns(_changed=pl.lit(True)), on=BAR_KEY, how="left", maintain_order="left"
    )
    growing = may_grow()
    later = pl.col("event_time").shift(-1).over(SERIES).is_not_null()
    ended = growing & pl.col("_changed").shift(-1).over(SERIES).fill_null(False)
    due = pl.when(growing).then((pl.col("_changed").fill_null(False) & later) | ended).otherwise(pl.col("_changed"))
    return touched.filter(due.fill_null(False)).select(BAR_KEY)


def score_bars(
    settings: Settings,
    bars: pl.DataFrame,
    wanted: pl.DataFrame,
    model: Predictor,
    record: ModelRecord,
    calendars: Mapping[str, TradingCalendar],
    now: datetime,
    earlier: pl.DataFrame = EARLIER,
    others: OtherBars = NONE,
    known: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compute predictions and signals of bars.

    Args:
        settings: the rules for signals and the model's greatest age.
        bars: rows of silver.bars of the record's interval: the wanted ones and the earlier ones that they need.
        wanted: symbol, interval and event_time.
        model: of ``record``.
        record: the version.
        calendars: by symbol, for symbols that have their own.
        now: the time of the decision, ``as_of`` of the rows.
        earlier: the predictions before, see ``EarlierPredictions``; without them each series' intervals begin anew.
        others: bars of the other series that the version's features ask for; wanted are only bars that wait for none.
        known: what ``features_for`` makes of the bars, where that is known already.

    Returns:
        One row for each wanted bar, with the columns of gold.predictions and gold.signals.

    Raises:
        PluginError: the version cannot be scored with its plug-ins, or a rule or a cost cannot be used.
    """
    expired = now - record.trained_at > timedelta(days=settings.model.max_age_days)
    near = pl.col("_wanted").reverse().rolling_max(_scored_before(settings) + 1, min_samples=1).reverse()
    # by series and time
    featured = with_costs(
        features_for(settings, bars, record, others) if known is None else known, cost_checks.in_use(settings)
    )
    stamped = (
        featured.with_columns(surprise=surprise(), **_stamp(record, now))
        .join(
            wanted.select(BAR_KEY).with_columns(_wanted=pl.lit(1, pl.Int8)),
            on=BAR_KEY,
            how="left",
            maintain_order="left",
        )
        # the signal of a wanted bar also depends on the few bars before it, see ``decide``
        .filter(near.over(SERIES).is_not_null())
    )
    of_bars = ("asset_class", "close", "horizon", "model_version", "as_of", "surprise", COST, "_wanted")
    seen = stamped.select(*BAR_KEY, *of_bars)
    forecast = score(stamped, model, record).drop("asset_class", "close", "horizon", "model_version", "as_of")
    rows = signals_of(seen, forecast, settings, calendars, model_expired=expired).filter(pl.col("_wanted") == 1)
    made = adapted(rows.drop_nulls("predicted_return"), featured, earlier, record)
    return rows.update(made.select(*BAR_KEY, "lower", "upper", WIDENING), on=BAR_KEY).select(_NAMES)


def features_for(settings: Settings, bars: pl.DataFrame, record: ModelRecord, others: OtherBars = NONE) -> pl.DataFrame:
    """Bars with the features that a version needs: the same for all versions that record the same plug-ins.

    Args:
        settings: which plug-ins are left out.
        bars: of the version's interval.
        record: the version.
        others: bars of the other series that its features ask for.

    Raises:
        PluginError: one of its plug-ins fails, or is not installed as it was.
    """
    return features_with(bars, installed.recorded(record.plugins, settings.skipped_plugins), others)


def forecasts(
    featured: pl.DataFrame,
    wanted: pl.DataFrame,
    model: Predictor,
    record: ModelRecord,
    now: datetime,
    earlier: pl.DataFrame = EARLIER,
) -> pl.DataFrame:
    """Compute predictions of bars without signals, for a version of a further horizon; see ``score_bars``.

    Args:
        featured: the result of ``features_for``.
        wanted: symbol, interval and event_time.
        model: of ``record``.
        record: the version.
        now: ``as_of`` of the rows.
        earlier: the predictions before.

    Returns:
        The rows of gold.predictions of the wanted bars that can be scored.
    """
    stamped = featured.with_columns(**_stamp(record, now))
    own = stamped.join(wanted.select(BAR_KEY), on=BAR_KEY, how="semi", maintain_order="left")
    return adapted(score(own, model, record), featured, earlier, record).select(schema.PREDICTIONS.schema.names)


def _stamp(record: ModelRecord, now: datetime) -> dict[str, pl.Expr]:
    """What identifies a version's prediction of a bar, and when it was made."""
    return {
        "horizon": pl.lit(record.horizon, pl.Int32),
        "model_version": pl.lit(record.model_version),
        "as_of": pl.lit(now, pl.Datetime("us", "UTC")),
    }


def signals_of(
    seen: pl.DataFrame,
    forecast: pl.DataFrame,
    settings: Settings,
    calendars: Mapping[str, TradingCalendar],
    *,
    model_expired: bool | pl.Expr,
) -> pl.DataFrame:
    """Signals of bars, with or without a prediction.

    Args:
        seen: symbol, interval, event_time, asset_class, close, ``surprise`` and ``cost_bps`` of every bar.
        forecast: the predictions of those that could be scored, with the columns that ``decide`` needs.
        settings: thresholds, and slippage.
        calendars: by symbol, for symbols that have their own.
        model_expired: whether the model is too old to use, of all bars or of each.

    Returns:
        See ``decide``, with the user's rules applied.

    Raises:
        PluginError: a rule cannot be used.
    """
    judged = with_market_open(seen, calendars).join(forecast, on=BAR_KEY, how="left")
    slippage = settings.portfolio.slippage_bps
    decided = decide(judged, settings.signals, model_expired=model_expired, slippage_bps=slippage)
    return rules.applied(decided, rule_checks.in_use(settings))
