"""The sensor that brings the paper portfolio and the summaries up to date with the signals."""

from __future__ import annotations

import time

import dagster as dg

from financelake_assets.catalogue import PAPER, SUMMARIES
from financelake_assets.defs import reporting
from financelake_assets.defs.news import NewsResource
from financelake_assets.defs.reporting import Cursor
from financelake_assets.defs.resources import (
    StandingResource,
    TablesResource,
)


@dg.sensor(minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING, name="standing")
def standing(
    context: dg.SensorEvaluationContext, tables: TablesResource, sums: StandingResource, news: NewsResource
) -> dg.SensorResult:
    """Move the paper portfolio to the newest signals, write the summaries again, and report what was written."""
    news.wait("standing", calm=lambda: True)
    taken = sums.standing.refresh()
    cursor = Cursor.parse(context.cursor)
    written, told = reporting.report(tables, (*PAPER, *SUMMARIES), cursor.told, time.time(), {})
    summary = f"the paper portfolio took {taken.steps} steps, {len(taken.written)} tables written"
    return dg.SensorResult(asset_events=written, cursor=Cursor(told=told).dump(), skip_reason=dg.SkipReason(summary))
