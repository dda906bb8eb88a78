"""The schedule of bronze: the refresh of the universe file's symbols in lakes that run no feeds."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import dagster as dg

from financelake_assets.bronze.feed_choice import followed_providers
from financelake_assets.config import Settings
from financelake_assets.defs.bronze.jobs import refresh_universe
from financelake_assets.defs.bronze.universe import PROVIDER
from financelake_assets.defs.resources import LakeResource
from financelake_assets.feeds.catch_up import due, feed_runs

Need = Literal["its feed runs, and refreshes its symbols itself", "no bar is due", "it has no partition"] | int
"""Why a provider is left alone, or of how many symbols bars are due."""


@dg.schedule(
    job=refresh_universe,
    cron_schedule="*/15 * * * *",
    # `up` starts a feed for each provider, which refreshes its symbols itself, and within seconds
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Refresh the universe file's symbols by their calendars where no feed does. A provider is skipped "
    "while its feed runs: `financelake up` starts the feeds, so turn this on only in a lake without them.",
)
def universe_refresh(context: dg.ScheduleEvaluationContext, lake: LakeResource) -> list[dg.RunRequest] | dg.SkipReason:
    """A run for each provider whose feed does not run and of whose symbols bars are due."""
    return decided(needs(lake.settings, datetime.now(UTC)), f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}")


def needs(settings: Settings, now: datetime) -> dict[str, Need]:
    """What each provider of the universe file needs.

    Raises:
        UniverseFileError: the universe file cannot be used.
    """
    return {provider: _need(settings, provider, now) for provider in followed_providers(settings)}


def _need(settings: Settings, provider: str, now: datetime) -> Need:
    if not PROVIDER.has_partition_key(provider):
        return "it has no partition"
    if feed_runs(settings, provider, now):
        return "its feed runs, and refreshes its symbols itself"
    return len(due(settings, provider, now)) or "no bar is due"


def decided(needs: Mapping[str, Need], tick: str) -> list[dg.RunRequest] | dg.SkipReason:
    """The runs that a tick starts, or why it starts none; a tick that is tried again starts no run twice."""
    if not needs:
        return dg.SkipReason("this lake follows no symbols of a universe file")
    wanted = [
        dg.RunRequest(
            run_key=f"{tick}/{provider}",
            partition_key=provider,
            tags={"financelake/why": f"bars of {need} symbols are due"},
        )
        for provider, need in needs.items()
        if isinstance(need, int)
    ]
    return wanted or dg.SkipReason("; ".join(f"{provider}: {need}" for provider, need in needs.items()))
