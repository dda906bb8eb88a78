"""``financelake train``: runs one training of a market in this lake's Dagster and waits for its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from dagster import DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model import registry
from financelake_assets.model.markets import Market
from financelake_assets.operations.decisions import PARTITION_TAG, TRAIN_JOB
from financelake_assets.servers import web_token
from financelake_assets.supervision import probes

_ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


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
    problem = probes.http(f"{settings.dagster_url}/server_info")
    if problem:
        raise FinanceLakeError(f"Dagster {problem}.", remedy="Start the lake with `financelake up`.")
    port = settings.dagster.port + settings.port_offset
    client = DagsterGraphQLClient(settings.host, port_number=port, headers=web_token.headers(settings))
    try:
        run = client.submit_job_execution(
            TRAIN_JOB, run_config=configuration(refits), tags={PARTITION_TAG: market.name}
        )
    except DagsterGraphQLClientError as error:
        raise FinanceLakeError(f"Dagster did not accept the training: {error}") from error
    page = f"{settings.dagster_url}/runs/{run}"
    while (now := client.get_run_status(run)) not in _ENDED:
        say(f"training {market.name}: {now.value.lower()}, {page}")
        time.sleep(1)
    if now is not DagsterRunStatus.SUCCESS:
        raise FinanceLakeError(f"The training ended with the state {now.value}.", remedy=f"See {page}.")
    record = registry.champion(settings, market)
    return {"run": page, **({} if record is None else json.loads(json.dumps(asdict(record), default=str)))}


def configuration(refits: int | None) -> dict[str, Any]:
    """The configuration of a training's run; who names a number of refits wants so many, whatever rows they learn."""
    if refits is None:
        return {}
    return {"ops": {"random_forest": {"config": {"refits": refits, "refit_rows": 0}}}}
