"""Runs of this lake's Dagster that a command starts and waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model.markets import Market
from financelake_assets.operations.decisions import PARTITION_TAG
from financelake_assets.servers import web_token
from financelake_assets.supervision import probes

ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
"""What a run's status is when it is over."""


def connected(settings: Settings) -> DagsterGraphQLClient:
    """A client of the lake's Dagster.

    Raises:
        FinanceLakeError: it does not answer.
    """
    problem = probes.http(f"{settings.dagster_url}/server_info")
    if problem:
        raise FinanceLakeError(f"Dagster {problem}.", remedy="Start the lake with `financelake up`.")
    port = settings.dagster.port + settings.port_offset
    return DagsterGraphQLClient(settings.host, port_number=port, headers=web_token.headers(settings))


def launched(client: DagsterGraphQLClient, job: str, market: Market, config: Mapping[str, Any] | None = None) -> str:
    """Start a job for a market.

    Args:
        client: of the lake's Dagster.
        job: its name.
        market: its partition.
        config: of the run; unset is the job's own.

    Returns:
        The run's id.

    Raises:
        FinanceLakeError: Dagster refuses it.
    """
    try:
        return client.submit_job_execution(job, run_config=config, tags={PARTITION_TAG: market.name})
    except DagsterGraphQLClientError as error:
        raise FinanceLakeError(f"Dagster did not accept the run of {job}: {error}") from error


def page_of(settings: Settings, run: str) -> str:
    """Where Dagster shows a run."""
    return f"{settings.dagster_url}/runs/{run}"


def refuse_failure(status: DagsterRunStatus, what: str, page: str) -> None:
    """Make sure that a run which is over succeeded.

    Raises:
        FinanceLakeError: it did not.
    """
    if status is not DagsterRunStatus.SUCCESS:
        raise FinanceLakeError(f"The {what} ended with the state {status.value}.", remedy=f"See {page}.")
