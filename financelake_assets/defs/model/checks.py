"""Checks of the champions in Dagster: feature drift, outliers, live skill, and age, of each market's own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from financelake_assets.config import Settings
from financelake_assets.defs.model.assets import FOREST
from financelake_assets.defs.resources import RETRIES, LakeResource
from financelake_assets.gold import monitoring
from financelake_assets.model import drift, registry
from financelake_assets.model.record import ModelRecord
from financelake_assets.plugins import PluginError

_SPECS = [
    dg.AssetCheckSpec(
        "feature_drift",
        asset=FOREST,
        description=f"At most {drift.MOST_DRIFTED:.0%} of the features have a stability index above {drift.LARGE_PSI}.",
    ),
    dg.AssetCheckSpec(
        "outlier_share",
        asset=FOREST,
        description=f"At most {drift.MOST_OUTLIERS:.0%} of the bars have a feature outside the training data.",
    ),
    dg.AssetCheckSpec("live_skill", asset=FOREST, description="Not significantly worse than the naive forecast."),
    dg.AssetCheckSpec("age", asset=FOREST, description="There is a champion that is not too old for signals."),
]
_ERRORS = ("live_skill", "age")
"""The checks whose failure is an error; of the others it is a warning."""


@dg.multi_asset_check(specs=_SPECS, name="drift_checks", can_subset=True, retry_policy=RETRIES)
def drift_checks(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> Iterator[dg.AssetCheckResult]:
    """Compare each champion's recent bars with its training data; after a failure its next training is due earlier."""
    for result in _results(lake.settings):
        if dg.AssetCheckKey(FOREST, result.check_name or "") in context.selected_asset_check_keys:
            yield result


def _results(settings: Settings) -> Iterator[dg.AssetCheckResult]:
    """One result of each check; it fails if one market's champion fails it, and its metadata has all markets."""
    champions = registry.champions(settings)
    if not champions:
        note = "no champion: there are no signals until a model is trained"
        for spec in _SPECS:
            yield _result(spec.name, passed=spec.name != "age", metadata={"note": note})
        return
    found = {market.name: list(_of_champion(settings, record)) for market, record in champions.items()}
    for spec in _SPECS:
        own = {name: one for name, all_of in found.items() for one in all_of if one.check == spec.name}
        yield _result(
            spec.name,
            passed=all(one.passed for one in own.values()),
            metadata={name: {"passed": one.passed, **one.figures} for name, one in own.items()},
        )


@dataclass(frozen=True)
class _Found:
    """What one check found of one champion."""

    check: str
    passed: bool
    figures: dict[str, Any]


def _of_champion(settings: Settings, record: ModelRecord) -> Iterator[_Found]:
    try:
        health = monitoring.examine(settings, record)
    except PluginError as error:  # one market's plug-in hides no other market
        figures = {"model_version": record.model_version, "note": str(error)}
        yield from (_Found(spec.name, False, figures) for spec in _SPECS)
        return
    monitoring.write(settings, record, health)
    found, live = health.drift, health.live
    enough, version = found.judged, {"model_version": record.model_version}
    common = {**version, "bars": found.rows, "enough_bars": enough}
    psi = {name: round(value, 4) for name, value in found.psi.items()}
    drifted = enough and found.share > drift.MOST_DRIFTED
    yield _Found("feature_drift", not drifted, {**common, "share": found.share, "psi": psi})
    outside = enough and found.outliers > found.most_outliers
    yield _Found("outlier_share", not outside, {**common, "share": found.outliers, "at_most": found.most_outliers})
    skill = {"skill": str(live.skill), "interval": f"{live.interval.low:+.4f} … {live.interval.high:+.4f}"}
    yield _Found("live_skill", not live.worse, {**version, "predictions": live.rows, **skill})
    age, most = datetime.now(UTC) - record.trained_at, settings.model.max_age_days
    yield _Found("age", age <= timedelta(days=most), {**version, "days": age.days, "at_most": most})


def _result(name: str, *, passed: bool, metadata: Mapping[str, object]) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if name in _ERRORS else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=FOREST,
        passed=passed,
        severity=severity,
        metadata=metadata,  # type: ignore[arg-type]
    )
