"""Monitoring of the champion: computes drift from the tables and stores the result.

Input: the champion, its predictions, silver and the scorecard. Output: a row of gold.drift, and a verdict in words. It
uses only bars that the champion scored when they were new, so none of its training data.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
from deltalake import write_deltalake

from financelake_assets.config import Settings
from financelake_assets.gold.featured import featured
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD
from financelake_assets.model.drift import Drift, LiveSkill, live_skill, measure
from financelake_assets.model.features import FEATURES
from financelake_assets.model.plugged_features import columns_of
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.schema import DRIFT
from financelake_assets.plugins import installed
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec

_MOST_BARS = 2_000


@dataclass(frozen=True)
class ModelHealth:
    """Drift and live skill of the champion."""

    drift: Drift
    live: LiveSkill

    @property
    def verdict(self) -> str | None:
        """The reason why the lake needs another model; ``None`` when it needs none."""
        if self.drift.significant:
            worst = ", ".join(self.drift.drifted[:3]) or "none by itself"
            return (
                f"drift: {self.drift.share:.0%} of the features have shifted ({worst}), "
                f"{self.drift.outliers:.0%} of the bars are outside the training data"
            )
        if self.live.worse:
            return f"live skill {self.live.skill:+.4f} is below the naive forecast's, over {self.live.rows} predictions"
        return None


def examine(settings: Settings, record: ModelRecord) -> ModelHealth:
    """Measure drift and live skill of a version on the newest bars that it scored."""
    scored = _of_version(PREDICTIONS, settings, record)
    keys = scored.sort("as_of").tail(_MOST_BARS).select(*BARS.key)
    return ModelHealth(
        measure(record.reference, _features(settings, record, keys)),
        live_skill(_of_version(SCORECARD, settings, record)),
    )


def write(settings: Settings, record: ModelRecord, health: ModelHealth) -> None:
    """Append the result to gold.drift."""
    live = health.live
    row = {
        "model_version": record.model_version,
        "checked_at": datetime.now(UTC),
        "silver_version": record.silver_version,
        "rows": health.drift.rows,
        "drifted_share": health.drift.share,
        "outlier_share": health.drift.outliers,
        "psi": json.dumps(health.drift.psi),
        "live_rows": live.rows,
        "live_skill": _known(live.skill),
        "live_skill_low": _known(live.interval.low),
        "live_skill_high": _known(live.interval.high),
        "retrain": health.verdict,
    }
    write_deltalake(DRIFT.ensure(settings), pa.Table.from_pylist([row], schema=DRIFT.schema), mode="append")


def last_verdict(settings: Settings, record: ModelRecord) -> str | None:
    """The verdict of the last check of a version; ``None`` when it found no drift, or there was no check yet."""
    rows = _of_version(DRIFT, settings, record).sort("checked_at")
    return None if rows.is_empty() else rows["retrain"][-1]


def _features(settings: Settings, record: ModelRecord, keys: pl.DataFrame) -> pl.DataFrame:
    plugins = installed.recorded(record.plugins, settings.skipped_plugins)
    names = (*FEATURES, *columns_of(plugins))
    if keys.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.Float64))
    return featured(settings, record, plugins, keys).select(names)


def _of_version(table: TableSpec, settings: Settings, record: ModelRecord) -> pl.DataFrame:
    return table.scan(settings).filter(pl.col("model_version") == record.model_version).collect()


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
