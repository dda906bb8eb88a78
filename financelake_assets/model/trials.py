"""The trials ledger: every strategy that was tried, so that the best of them is not taken for more than luck.

Input: what was tried. Output: rows of gold.trials, one a distinct strategy, and how many there are. Tried is what a
release's own choices compared, every training with settings of its own, every set of rules for signals and positions
that the paper portfolio ran on, and what people tell of searches elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from deltalake import write_deltalake

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.files import locked
from financelake_assets.model.judgement import days, traded
from financelake_assets.model.overfitting import Overfitting, judge
from financelake_assets.model.record import MadeWith
from financelake_assets.model.schema import TRIAL_RETURNS, TRIALS
from financelake_assets.plugins import PluginError, installed
from financelake_assets.plugins.declaration import facts_by_name
from financelake_assets.storage.delta import retried

BEFORE = (
    "features alone",
    "symbol as a category",
    "a forest a symbol",
    "a forest a class",
    "weekday effect, prior 50",
    "weekday effect, prior 200",
    "weekday effect, prior 1000",
    "weekday effect, depth 4",
    "weekday effect, depth 6",
    "weekday effect, depth 8",
    "weekday effect, 200 a leaf",
    "weekday effect, 20 trees",
    "weekday effect, 100 trees",
    "weekday effect, last 6 years",
    "weekday effect, last 12 years",
    "direction",
    "direction, 20 trees",
    "volatility",
    "volatility, 20 trees",
    "rolling mean of twelve moves of the same weekday",
)
"""What was compared inside the training period before the default settings were chosen (benchmarks/model_choices.py).
See docs/decisions/0003-model-choices.md, also for what was looked at before and is not counted."""

_OF_THE_ACCOUNT = ("capital", "seed")
"""Settings of the portfolio that change no decision."""


@dataclass(frozen=True)
class Trial:
    """A strategy that was tried.

    ``what`` names it; ``parameters`` tell it from others. ``sharpe`` is that of its trades out of sample, per day,
    over ``steps`` days; NaN where it is not known. ``variants`` is how many strategies it stands for.
    """

    what: str
    parameters: dict[str, Any]
    sharpe: float = math.nan
    steps: int = 0
    variants: int = 1

    @property
    def key(self) -> str:
        """The same for the same strategy."""
        told = json.dumps([self.what, self.parameters, self.variants], sort_keys=True, default=str)
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def strategy(model: ModelSettings, settings: Settings, made_with: MadeWith | None = None) -> dict[str, Any]:
    """All that decides what is traded: the forest's settings, those for signals and for positions, and plug-ins.

    Args:
        model: the forest's settings.
        settings: of the lake, for all rules.
        made_with: the plug-ins of the version; none by default.
    """
    of_plugins = {**asdict(made_with or MadeWith()), **_in_use(settings)}
    return {
        "model": model.of_the_forest(),
        "signals": settings.signals.model_dump(mode="json"),
        "portfolio": settings.portfolio.model_dump(mode="json", exclude=set(_OF_THE_ACCOUNT)),
        # a strategy without plug-ins is the one that it was before there were any
        **{name: own for name, own in of_plugins.items() if own},
    }


def _in_use(settings: Settings) -> dict[str, dict[str, Any]]:
    """The facts of the plug-ins that act on what is predicted: rules and costs."""
    try:
        return {
            "rules": facts_by_name(installed.rules(settings.skipped_plugins)),
            "costs": facts_by_name(installed.costs(settings.skipped_plugins)),
        }
    except PluginError:  # without them the lake gives no signal, so no strategy is tried
        return {}


def strategy_trial(
    model: ModelSettings,
    settings: Settings,
    sharpe: float = math.nan,
    steps: int = 0,
    made_with: MadeWith | None = None,
) -> Trial:
    """A lake's whole strategy as a trial: the same for the same settings, however often it is trained and traded."""
    return Trial("strategy", strategy(model, settings, made_with), sharpe, steps)


def sharpe_of(rows: pl.DataFrame) -> tuple[float, int]:
    """The Sharpe ratio per day of trades of equal risk on out-of-sample rows, and the number of days.

    Args:
        rows: see ``judgement.judge``.
    """
    earned = daily(rows)["net_move"].to_numpy()
    spread = float(np.std(earned, ddof=1)) if len(earned) > 1 else 0.0
    return (float(np.mean(earned)) / spread if spread > 0 else math.nan), len(earned)


def daily(rows: pl.DataFrame) -> pl.DataFrame:
    """What trades of equal risk on out-of-sample rows earned, by ``day`` in order: ``net_move``, in expected moves.

    Args:
        rows: see ``judgement.judge``.
    """
    done = traded(rows)
    found = done.group_by(pl.Series("day", days(done))).agg(pl.col("net_move").cast(pl.Float64).sum())
    return found.sort("day")


def note(settings: Settings, trial: Trial) -> bool:
    """Write a trial into the ledger unless the same strategy is in it; whether it was new.

    Raises:
        LockTimeoutError: another process has held the ledger all the time.
    """
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    with locked(settings.models_dir / ".trials.lock"):
        if trial.key in ledger(settings)["trial"]:
            return False
        row = {
            "trial": trial.key,
            "tried_at": datetime.now(UTC),
            "what": trial.what,
            "parameters": json.dumps(trial.parameters, sort_keys=True, default=str),
            "sharpe": None if math.isnan(trial.sharpe) else trial.sharpe,
            "steps": trial.steps,
            "variants": trial.variants,
        }
        write_deltalake(TRIALS.ensure(settings), pa.Table.from_pylist([row], schema=TRIALS.schema), mode="append")
    return True


def keep_returns(settings: Settings, trial: Trial, market: str, earned: pl.DataFrame) -> None:
    """Replace a trial's rows of gold.trial_returns by those of its newest training.

    Args:
        settings: the lake.
        trial: whose returns.
        market: its name; strategies of one market are compared with each other.
        earned: see ``daily``; without rows nothing is written.

    Raises:
        CommitFailedError: another writer committed first at each attempt.
    """
    if earned.is_empty():
        return
    rows = earned.select(
        trial=pl.lit(trial.key),
        interval=pl.lit(market),
        day=pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        net_move="net_move",
    )
    source = rows.to_arrow().cast(TRIAL_RETURNS.schema)
    mine = f"trial = '{trial.key}'"
    retried(lambda: write_deltalake(TRIAL_RETURNS.ensure(settings), source, mode="overwrite", predicate=mine))


def has_returns(settings: Settings, trial: Trial) -> bool:
    """Whether gold.trial_returns knows what a trial earned."""
    return not TRIAL_RETURNS.scan(settings).filter(pl.col("trial") == trial.key).head(1).collect().is_empty()


def overfitting(settings: Settings) -> dict[str, Overfitting]:
    """By the name of the market, the probability of back-test overfitting of the trials whose daily returns are kept.

    Strategies that differ only in the rules of the paper portfolio have the same trades here, and count once. The days
    are those on which all of them were judged.

    Args:
        settings: the lake.
    """
    kept = TRIAL_RETURNS.scan(settings).collect()
    known = ledger(settings).join(kept, on="trial", how="semi")
    forests = {_forest_of(row["parameters"]): row["trial"] for row in known.to_dicts()}
    distinct = kept.filter(pl.col("trial").is_in(list(forests.values())))
    tables = {
        str(interval): rows.pivot("trial", index="day", values="net_move").drop_nulls().sort("day").drop("day")
        for (interval,), rows in sorted(distinct.group_by("interval"), key=lambda part: str(part[0]))
    }
    return {interval: judge(table.to_numpy()) for interval, table in tables.items()}


def _forest_of(parameters: str) -> str:
    """What of a strategy decides its daily returns: the forest, its plug-ins and the costs."""
    told = json.loads(parameters)
    return json.dumps([told.get(part) for part in ("model", "plugins", "labels", "learner", "costs")], sort_keys=True)


def ledger(settings: Settings) -> pl.DataFrame:
    """Rows of gold.trials, the oldest first: those of this lake."""
    table = TRIALS.open(settings)
    return TRIALS.empty if table is None else pl.scan_delta(table).sort("tried_at").collect()


@dataclass(frozen=True)
class Tried:
    """How many strategies were tried, and the variance of the Sharpe ratios per day of those whose is known."""

    count: int
    variance: float


def tried(settings: Settings) -> Tried:
    """All that was tried: before the release, and in this lake."""
    found = ledger(settings)
    known = found["sharpe"].drop_nulls()
    variance: float = known.var() if len(known) > 1 else 0.0  # type: ignore[assignment]
    return Tried(len(BEFORE) + int(found["variants"].sum()), float(variance))
