"""``financelake train``: runs one training of a market in this lake's Dagster and waits for its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from financelake_assets.config import Settings
from financelake_assets.model import registry
from financelake_assets.model.markets import Market
from financelake_assets.operations import dagster_runs
from financelake_assets.operations.decisions import TRAIN_JOB


def train_now(
    settings: Settings, market: Market, say: Callable[[str], None], refits: int | None = None
) -> dict[str, Any]:
    """Launch the training job of a market and wait for its end.

    Args:
        settings: the lake.
        market: to train.
        say: called with the state of the run, again and again.
        refits: how many the walk-forward makes, whatever they cost; unset is what the settings say.

    Returns:
        The record of the market's champion afterwards.

    Raises:
        FinanceLakeError: Dagster does not answer, or the run failed.
    """
    client = dagster_runs.connected(settings)
    run = dagster_runs.launched(client, TRAIN_JOB, market, configuration(refits))
    page = dagster_runs.page_of(settings, run)
    while (now := client.get_run_status(run)) not in dagster_runs.ENDED:
        say(f"training {market.name}: {now.value.lower()}, {page}")
        time.sleep(1)
    dagster_runs.refuse_failure(now, "training", page)
    record = registry.champion(settings, market)
    return {"run": page, **({} if record is None else json.loads(json.dumps(asdict(record), default=str)))}


def configuration(refits: int | None) -> dict[str, Any]:
    """The configuration of a training's run; who names a number of refits wants so many, whatever rows they learn."""
    if refits is None:
        return {}
    return {"ops": {"random_forest": {"config": {"refits": refits, "refit_rows": 0}}}}
