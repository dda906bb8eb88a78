"""Champions: which version is used in each market, as pure functions of the registry's versions.

Input: versions. Output: the champion, or the newest version, of each market.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from financelake_assets.config import ModelSettings
from financelake_assets.model import markets
from financelake_assets.model.markets import Market
from financelake_assets.model.record import ModelRecord, Status


def champions_of(records: Iterable[ModelRecord]) -> dict[Market, ModelRecord]:
    """The champions among versions: of each market the one that was promoted last."""
    promoted = [record for record in records if record.promoted_at is not None]
    promoted.sort(key=lambda record: record.promoted_at or record.trained_at)
    return {record.market: record for record in promoted}


def serving(records: Iterable[ModelRecord], settings: ModelSettings) -> dict[Market, ModelRecord]:
    """The champions of the markets that the settings want a model for, that of the shortest bars first."""
    found = champions_of(records)
    return {market: found[market] for market in markets.wanted(settings, found)}


def leading(records: Iterable[ModelRecord], settings: ModelSettings) -> ModelRecord | None:
    """The champion to tell of where one is asked for: that of the settings' interval, or the one promoted last.

    One of a further horizon gives no signals, so it is none of them.
    """
    found = {market: record for market, record in serving(records, settings).items() if market.further is None}
    last = max(found.values(), key=lambda record: record.promoted_at or record.trained_at, default=None)
    return found.get(Market(settings.interval), last)


def newest_of(records: Iterable[ModelRecord]) -> dict[Market, ModelRecord]:
    """Of each market the version that was trained last, promoted or not."""
    return {record.market: record for record in sorted(records, key=lambda record: record.trained_at)}


def with_status(records: list[ModelRecord]) -> list[ModelRecord]:
    """The versions with the status that follows from their promotions.

    An earlier release had one champion for all intervals, and retired it for a version of another interval. A process
    that died between two writes may have left two champions of one market.
    """
    current = {record.model_version for record in champions_of(records).values()}

    def stated(record: ModelRecord) -> ModelRecord:
        if record.model_version in current:
            return replace(record, status=Status.CHAMPION)
        return replace(record, status=Status.RETIRED) if record.status is Status.CHAMPION else record

    return [stated(record) for record in records]
