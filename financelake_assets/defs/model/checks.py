"""Checks of the champion in Dagster: feature drift, outliers, live skill, and its age."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster_pyspark import LazyPySparkResource

from financelake_assets.config import Settings
from financelake_assets.defs.model.assets import FOREST
from financelake_assets.defs.resources import RETRIES, LakeResource
from financelake_assets.gold import monitoring
from financelake_assets.model import drift, registry
from financelake_assets.spark_sessions import await_server

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


@dg.multi_asset_check(specs=_SPECS, name="drift_checks", can_subset=True, retry_policy=RETRIES)
def drift_checks(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, spark: LazyPySparkResource
) -> Iterator[dg.AssetCheckResult]:
    """Compare the champion's recent bars with its training data; after a failure the next training is due earlier."""
    for result in _results(lake.settings, spark):
        if dg.AssetCheckKey(FOREST, result.check_name or "") in context.selected_asset_check_keys:
            yield result


def _results(settings: Settings, spark: LazyPySparkResource) -> Iterator[dg.AssetCheckResult]:
    record = registry.champion(settings)
    if record is None:
        note = "no champion: there are no signals until a model is trained"
        for spec in _SPECS:
            yield _result(spec.name, passed=spec.name != "age", error=True, metadata={"note": note})
        return
    await_server(settings)
    health = monitoring.examine(spark.spark_session, settings, record)
    monitoring.write(settings, record, health)
    found, live = health.drift, health.live
    enough = found.judged
    common = {"model_version": record.model_version, "bars": found.rows, "enough_bars": enough}
    yield _result(
        "feature_drift",
        passed=not enough or found.share <= drift.MOST_DRIFTED,
        metadata={**common, "share": found.share, "psi": {name: round(value, 4) for name, value in found.psi.items()}},
    )
    yield _result(
        "outlier_share",
        passed=not enough or found.outliers <= found.most_outliers,
        metadata={**common, "share": found.outliers, "at_most": found.most_outliers},
    )
    yield _result(
        "live_skill",
        passed=not live.worse,
        error=True,
        metadata={
            "model_version": record.model_version,
            "predictions": live.rows,
            "skill": str(live.skill),
            "interval": f"{live.interval.low:+.4f} … {live.interval.high:+.4f}",
        },
    )
    age = datetime.now(UTC) - record.trained_at
    yield _result(
        "age",
        passed=age <= timedelta(days=settings.model.max_age_days),
        error=True,
        metadata={"days": age.days, "at_most": settings.model.max_age_days},
    )


def _result(name: str, *, passed: bool, metadata: dict[str, object], error: bool = False) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if error else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=FOREST,
        passed=passed,
        severity=severity,
        metadata=metadata,  # type: ignore[arg-type]
    )
