"""Overview: each market of a lake with its champion, or with the reason why it has none and how far it is.

Input: a lake. Output: one plain dictionary a market, for status, command line and page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.model import markets, readiness, standstill
from financelake_assets.model.champions import champions_of, newest_of
from financelake_assets.model.markets import Market
from financelake_assets.model.readiness import MarketBars
from financelake_assets.model.record import ModelRecord


def of_lake(settings: Settings, versions: Sequence[ModelRecord], now: datetime) -> dict[str, dict[str, Any]]:
    """The markets that have bars or a version, by name, that of the shortest bars first; see ``overview``.

    Args:
        settings: the lake.
        versions: of its registry, which this module does not read itself: the page describes markets without Spark.
        now: the time of the question.
    """
    trained_at = {market: record.trained_at for market, record in newest_of(versions).items()}
    found = readiness.of_lake(settings, trained_at)
    champions = champions_of(versions)
    halted = {markets.named(name): why for name, why in standstill.reasons(settings).items()}
    for market, champion in champions.items():
        problem = champion.plugin_problem(settings.skipped_plugins)
        if problem is not None:
            halted[market] = f"stands still, no new signals: {problem}; a training is due"
    return overview(versions, found, settings.model, now, halted)


def overview(
    versions: Sequence[ModelRecord],
    found: Mapping[Market, MarketBars],
    settings: ModelSettings,
    now: datetime,
    halted: Mapping[Market, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Describe each market.

    Args:
        versions: of the registry.
        found: the markets with bars.
        settings: which markets have a model, and what a training needs.
        now: the time of the question.
        halted: why a plug-in halts a market, of those that one halts.

    Returns:
        By name: ``interval``; ``horizon``, how many bars ahead the champion looks, or the next one; ``model_version``,
        ``verdict`` and ``trained_at`` (ISO 8601) of the champion, null without one; ``series`` and ``bars`` in silver;
        ``labelled`` bars of those ``needed``, null with a model; ``new_bars`` since the last training; ``note``, the
        state in words.
    """
    champions = champions_of(versions)
    both = sorted({*found, *champions}, key=lambda market: market.order)
    halts = halted or {}
    return {
        market.name: _row(market, champions.get(market), found.get(market), settings, now, halts.get(market))
        for market in both
    }


def _row(
    market: Market,
    champion: ModelRecord | None,
    bars: MarketBars | None,
    settings: ModelSettings,
    now: datetime,
    halted: str | None,
) -> dict[str, Any]:
    return {
        "interval": market.interval,
        "horizon": (market.further or settings.horizon) if champion is None else champion.horizon,
        "model_version": None if champion is None else champion.model_version,
        "verdict": None if champion is None else champion.verdict.value,
        "trained_at": None if champion is None else champion.trained_at.isoformat(),
        "series": 0 if bars is None else len(bars.series),
        "bars": 0 if bars is None else bars.bars,
        "labelled": None if bars is None else bars.labelled,
        "needed": settings.min_rows if champion is None else None,
        "new_bars": 0 if bars is None else bars.new,
        "note": _note(market, champion, bars, settings, now, halted),
    }


def _note(
    market: Market,
    champion: ModelRecord | None,
    bars: MarketBars | None,
    settings: ModelSettings,
    now: datetime,
    halted: str | None,
) -> str:
    if not markets.has_model(settings, market):
        return "no model: the settings switch it off"
    if halted is not None:
        return halted
    if champion is None:
        return _without_champion(bars, settings, now)
    if champion.outdated:
        return f"{champion.model_version} is of an earlier release: no signals until the next training, which is due"
    age = now - champion.trained_at
    if age > timedelta(days=settings.max_age_days):
        most = settings.max_age_days
        then = "every signal is HOLD (model_expired)" if market.further is None else "its predictions go on"
        return f"the champion is {age.days} days old, more than {most:g}: {then}"
    new = 0 if bars is None else bars.new
    return f"{new:,} new bars since the last training; the next at {settings.retrain_rows:,}"


def _without_champion(bars: MarketBars | None, settings: ModelSettings, now: datetime) -> str:
    if bars is None:
        return "no model: no bars"
    if bars.labelled is None:  # a version was trained, and an operator took its promotion back
        return "no champion: no version was promoted"
    told = bars.progress(settings, now)
    return f"no model yet: {told}" + ("; its training is due" if bars.labelled >= settings.min_rows else "")
