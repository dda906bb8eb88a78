"""The feeds of markets in Dagster: an external asset for each provider, told of by a sensor, with a check of freshness.

Input: what each feed says of itself, and the newest bars. Output: observations with the numbers of following, and the
result of ``fresh``: whether a series lacks bars by its market's calendar. No run feeds a lake; its processes do.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from financelake_assets.bronze import feed_choice
from financelake_assets.bronze.market_feed_state import MarketFeedState
from financelake_assets.config import Settings
from financelake_assets.defs import reporting
from financelake_assets.defs.resources import RETRIES, LakeResource
from financelake_assets.defs.table_assets import OWNERS
from financelake_assets.silver.lateness import late_series

_SHOWN = 20

MARKETS = tuple(
    dg.AssetSpec(
        ["providers", name],
        group_name="providers",
        kinds={"api"},
        owners=OWNERS,
        description=f"{description}; contacted by its feed, or by `financelake ingest`, where you name it.",
    )
    for name, description in (
        ("binance", "Binance's bars and aggregate trades"),
        ("coinbase", "Coinbase Exchange's bars and trades"),
        ("kraken", "Kraken's bars and trades"),
        ("yfinance", "Yahoo Finance's bars and quotes, for personal use"),
    )
)
FRESH = {
    spec.key: dg.AssetCheckSpec(
        "fresh", asset=spec.key, description="no series that it tells lacks a bar by its calendar"
    )
    for spec in MARKETS
}

Event = dg.AssetObservation | dg.AssetCheckEvaluation


def events(settings: Settings, told: Mapping[str, float], now: float) -> dict[str, list[Event]]:
    """What to tell of each feed that has not been told of for a while, by the name under which the cursor keeps it.

    Args:
        settings: the lake.
        told: when each was told of, in seconds since the epoch.
        now: the same of now.
    """
    return {
        name: list(_events(settings, key, state))
        for provider, state in feed_choice.reports(settings).items()
        for key in [dg.AssetKey(["providers", provider])]
        for name in [key.to_user_string()]
        if key in FRESH and reporting.is_due(told.get(name, 0.0), now)
    }


def _events(settings: Settings, key: dg.AssetKey, state: MarketFeedState) -> Iterator[Event]:
    yield dg.AssetObservation(key, metadata=figures(state))
    passed, late = _lateness(settings, state.provider)
    yield dg.AssetCheckEvaluation(
        asset_key=key, check_name="fresh", passed=passed, metadata=late, severity=dg.AssetCheckSeverity.WARN
    )


def figures(state: MarketFeedState) -> dict[str, Any]:
    """A feed's numbers, problems and symbols, as Dagster metadata."""
    problems = {symbol: one["problem"] for symbol, one in state.symbols.items() if one["problem"]}
    said = {"problem": state.problem, "remedy": state.remedy, "updated_at": state.updated_at}
    return {
        **state.live,
        **{f"symbols_{name}": count for name, count in state.counts.items()},
        "bars": sum(one["bars"] for one in state.symbols.values()),
        **{name: value for name, value in said.items() if value is not None},
        **({"problems": dict(list(problems.items())[:_SHOWN])} if problems else {}),
    }


def _lateness(settings: Settings, provider: str) -> tuple[bool, dict[str, Any]]:
    late = late_series(settings, datetime.now(UTC), provider)
    return not late, {"late_series": len(late), "overdue_bars": dict(list(late.items())[:_SHOWN])}


@dg.multi_asset_check(
    specs=list(FRESH.values()),
    name="feed_checks",
    can_subset=True,
    description="Whether what each provider tells is up to date by the calendar.",
    retry_policy=RETRIES,
)
def feed_checks(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> Iterator[dg.AssetCheckResult]:
    """Judge every provider's newest bars by the calendars of their symbols."""
    for key, spec in FRESH.items():
        if spec.key in context.selected_asset_check_keys:
            passed, late = _lateness(lake.settings, key.path[-1])
            yield dg.AssetCheckResult(
                check_name=spec.name, asset_key=key, passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=late
            )
