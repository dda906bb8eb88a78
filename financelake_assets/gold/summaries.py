"""Summaries of gold, so small that a page reads only kilobytes, as pure functions of frames.

Input: rows of gold.scorecard, gold.signals and gold.predictions. Output: the newest signal of each series, how good the
predictions were by group and by day, and the calibration of stated probabilities. A prediction whose realised price
has no comparable return is counted, but left out of statistics that need a return.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from financelake_assets.gold.schema import CALIBRATION, DAILY, LATEST, SUMMARY
from financelake_assets.intervals import SERIES
from financelake_assets.model import judgement, metrics
from financelake_assets.storage.delta import TableSpec

ALL = "ALL"
_BINS = 10
_LEVELS: Sequence[tuple[str, ...]] = (("symbol", "asset_class"), ("asset_class",), ())


def latest(known: pl.DataFrame, signals: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    """Rows of gold.latest: the newest signal of each symbol and interval.

    Args:
        known: the existing rows of gold.latest.
        signals: the new rows of gold.signals.
        predictions: at least the rows of gold.predictions with the same keys.
    """
    names = ("predicted_return", "predicted_close", "lower", "upper", "coverage", "volatility", "probability_up")
    key = ["symbol", "interval", "event_time", "horizon", "model_version"]
    fresh = signals.join(predictions.select(*key, *names), on=key, how="left").select(LATEST.schema.names)
    both = pl.concat([known.select(LATEST.schema.names), fresh], how="vertical_relaxed")
    return both.sort("event_time", "as_of").unique(SERIES, keep="last", maintain_order=True).sort(SERIES)


def summary(scorecard: pl.DataFrame) -> pl.DataFrame:
    """Rows of gold.scorecard_summary: by symbol, class (``*stock``) and ALL, by interval, horizon, and model version.

    The version ``ALL`` covers all versions together, each prediction by the version that made it.
    """
    rows = [
        {"symbol": name, "asset_class": asset_class, "interval": interval, "horizon": horizon, "model_version": version}
        | _judged(part)
        for name, asset_class, interval, horizon, version, part in _groups(scorecard)
    ]
    return _frame(SUMMARY, rows)


def daily(scorecard: pl.DataFrame) -> pl.DataFrame:
    """Rows of gold.scorecard_daily: the outcomes of each day of the bars' own time, by class and interval."""
    acted = pl.col("signal") != "HOLD"
    executed = pl.col("traded_return").is_not_null()
    return (
        scorecard.group_by("asset_class", "interval", date=pl.col("target_time").dt.truncate("1d"))
        .agg(
            pl.len().cast(pl.Int64).alias("predictions"),
            pl.col("hit").sum().cast(pl.Int64).alias("hits"),
            pl.col("hit").count().cast(pl.Int64).alias("calls"),
            (pl.col("error") ** 2).mean().alias("mse"),
            (pl.col("realised_return") ** 2).mean().alias("mse_naive"),
            pl.col("covered").mean().alias("coverage"),
            acted.sum().cast(pl.Int64).alias("signals"),
            pl.col("net_return").filter(acted & executed).mean().alias("net_return"),
        )
        .select(DAILY.schema.names)
        .sort(DAILY.key)
    )


def calibration(scorecard: pl.DataFrame) -> pl.DataFrame:
    """Rows of gold.calibration: the hit rate by stated probability, and the mean move by strength.

    ``confidence`` bins have a width of 0.05, and each should equal its hit rate; below 0.5 the forest of the direction
    contradicts that of the return. ``strength`` bins are the expected move in standard deviations, and each should
    equal the mean move in the predicted direction.
    """
    side = pl.when(pl.col("predicted_return") > 0).then(1.0).otherwise(-1.0)
    probability = pl.when(side > 0).then(pl.col("probability_up")).otherwise(1 - pl.col("probability_up"))
    judged = scorecard.filter(pl.col("predicted_return") != 0, pl.col("realised_return").is_not_null()).with_columns(
        confidence=probability,
        strength=(pl.col("predicted_return") / pl.col("volatility")).abs(),
        _move=side * pl.col("realised_return") / pl.col("volatility"),
    )
    rows = []
    for measure, width in (("confidence", 0.5 / _BINS), ("strength", 0.1)):
        binned = judged.filter(pl.col(measure).is_finite()).with_columns(
            _bin=(pl.col(measure) / width).floor().cast(pl.Int64).clip(None, round(1 / width) - 1)
        )
        parts = [(ALL, binned), *((str(name), part) for (name,), part in binned.group_by("asset_class"))]
        for asset_class, part in parts:
            for (number,), rows_in in part.group_by("_bin"):
                hits, calls = int(rows_in["hit"].sum()), int(rows_in["hit"].count())
                interval = _hit_interval(rows_in)
                rows.append(
                    {
                        "measure": measure,
                        "asset_class": asset_class,
                        "low": int(number) * width,
                        "predictions": rows_in.height,
                        "stated": rows_in[measure].mean(),
                        "hit_rate": hits / calls if calls else None,
                        "hit_rate_low": interval.low,
                        "hit_rate_high": interval.high,
                        "mean_move": rows_in["_move"].mean(),
                    }
                )
    return _frame(CALIBRATION, rows)


def _groups(scorecard: pl.DataFrame) -> Iterator[tuple[str, str | None, str, int, str, pl.DataFrame]]:
    for level in _LEVELS:
        for versions in (("model_version",), ()):
            by = [*level, "interval", "horizon", *versions]
            for key, part in scorecard.group_by(by):
                named = dict(zip(by, key, strict=True))
                asset_class = named.get("asset_class")
                name = named.get("symbol", ALL if asset_class is None else f"*{asset_class}")
                version = str(named.get("model_version", ALL))
                yield (
                    str(name),
                    None if asset_class is None else str(asset_class),
                    str(named["interval"]),
                    int(named["horizon"]),
                    version,
                    part,
                )


def _judged(part: pl.DataFrame) -> dict[str, Any]:
    known = part.filter(pl.col("realised_return").is_not_null())
    naive = known["realised_return"].to_numpy()
    skill = judgement.skill(known)
    hits, calls = int(part["hit"].sum()), int(part["hit"].count())
    right = _hit_interval(part)
    # rows of an earlier release earned from the close that the signal was made of
    acted = part.filter(pl.col("net_return").is_not_null(), pl.col("traded_return").is_not_null())
    probability, rose = known["probability_up"].to_numpy(), naive > 0
    return {
        "predictions": part.height,
        "start": part["event_time"].min(),
        "end": part["target_time"].max(),
        "skill": skill.value,
        "skill_low": skill.interval.low,
        "skill_high": skill.interval.high,
        "hit_rate": hits / calls if calls else None,
        "hit_rate_low": right.low,
        "hit_rate_high": right.high,
        "calls": calls,
        "coverage": part["covered"].mean(),
        "coverage_nominal": part["coverage"].mean(),
        "brier": metrics.brier(probability, rose) if len(naive) else None,
        "brier_naive": metrics.COIN_BRIER if len(naive) else None,
        "signals": acted.height,
        "gross_return": acted["gross_return"].mean(),
        "net_return": acted["net_return"].mean(),
    }


def _hit_interval(rows: pl.DataFrame) -> metrics.Interval:
    """Of the hit rate; bars of one time, and horizons that overlap, are not independent calls."""
    called = rows.filter(pl.col("hit").is_not_null())
    return judgement.live_proportion(called["hit"].cast(pl.Float64).to_numpy(), called)


def _frame(table: TableSpec, rows: list[dict[str, Any]]) -> pl.DataFrame:
    empty = table.empty
    complete = [{name: row.get(name) for name in empty.columns} for row in rows]
    # NaN (no meaning) is null in a table
    return pl.DataFrame(complete, schema=empty.schema).with_columns(pl.col(pl.Float64).fill_nan(None)).sort(table.key)
