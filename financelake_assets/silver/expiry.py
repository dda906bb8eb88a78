"""Expiry: refused messages, and notes of their replays, are kept for a time that a setting says.

Input: the settings. Output: younger rows alone. How many expired is counted in the commit that deletes them, so the
ledger still accounts for every message, and ``uncounted`` for every row.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction

from financelake_assets.config import Settings
from financelake_assets.silver.schema import QUARANTINE, REPLAYS
from financelake_assets.storage.delta import TableSpec, retried

_EXPIRED = "expired"


def expired(table: DeltaTable) -> int:
    """How many rows of a table have expired since it was made."""
    return table.transaction_version(_EXPIRED) or 0


def expire(settings: Settings, now: datetime | None = None) -> int:
    """Delete what is older than ``silver.quarantine_days``; how many refused messages those were.

    Args:
        settings: the lake.
        now: the time of day, UTC; the clock's when left out.
    """
    oldest = (now or datetime.now(UTC)) - timedelta(days=settings.silver.quarantine_days)
    _expire(REPLAYS, settings, oldest)
    return _expire(QUARANTINE, settings, oldest)


def _expire(spec: TableSpec, settings: Settings, oldest: datetime) -> int:
    def delete() -> int:
        table = spec.open(settings)
        if table is None:
            return 0
        old = pl.scan_delta(table).filter(pl.col(spec.time_column) < oldest).select(pl.len()).collect().item()
        if old:
            counted = CommitProperties(app_transactions=[Transaction(_EXPIRED, expired(table) + old)])
            table.delete(f"{spec.time_column} < '{oldest.isoformat()}'", commit_properties=counted)
        return int(old)

    with spec.turn(settings):
        return retried(delete)
