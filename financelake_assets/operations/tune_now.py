"""``financelake tune``: runs a market's search in this lake's Dagster, follows it, and waits for its challenger."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dagster import DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model import registry, search_space, search_state
from financelake_assets.model.markets import Market
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.search_state import SearchState
from financelake_assets.operations import dagster_runs
from financelake_assets.operations.decisions import TUNE_JOB

_TRAINS_WITH_IT = {"random_forest": {"config": {"searched": True}}}


@dataclass(frozen=True)
class Voice:
    """How the command speaks: ``show`` what goes on, which the next replaces; ``say`` what stays."""

    show: Callable[[str], None]
    say: Callable[[str], None]


def tune_now(settings: Settings, market: Market, trials: int, *, fresh: bool, voice: Voice) -> dict[str, Any]:
    """Search settings for a market's forest until there are as many trials as wanted, and train with the best.

    A search that runs already is followed. One that has all its trials, and its version, is not made again.

    Args:
        settings: the lake.
        market: of the search.
        trials: in all.
        fresh: forget the search before.
        voice: of the command.

    Returns:
        What was found; see ``outcome``.

    Raises:
        FinanceLakeError: Dagster does not answer, or the run failed, or the market has no forest.
        KeyboardInterrupt: the user ended it; the run has ended too, and nothing that was judged is lost.
    """
    search_space.refuse_plugged(market.settings(settings.model))
    before = search_state.read(settings, market)
    if before is not None and not fresh and _has_all(settings, market, before, trials):
        voice.say(f"the search of {market.name} has its {before.done} trials; `--trials` more continues it")
        return outcome(settings, market, before)
    client = dagster_runs.connected(settings)
    run = _running(client, before)
    if run is not None and fresh:
        raise FinanceLakeError(
            f"A search of {market.name} runs.", remedy=f"Stop it first: {dagster_runs.page_of(settings, run)}."
        )
    if run is None:
        config = {"ops": {"search": {"config": {"trials": trials, "fresh": fresh}}, **_TRAINS_WITH_IT}}
        run = dagster_runs.launched(client, TUNE_JOB, market, config)
    page = dagster_runs.page_of(settings, run)
    try:
        ended = _followed(client, settings, market, run, voice)
    except KeyboardInterrupt:
        _stop(client, run, voice)
        voice.say(f"stopped; `financelake tune --market {market.name} --trials {trials}` continues the search")
        raise
    dagster_runs.refuse_failure(ended, "search", page)
    found = search_state.read(settings, market)
    if found is None:
        raise FinanceLakeError(f"The search of {market.name} left no result.", remedy=f"See {page}.")
    return outcome(settings, market, found)


def outcome(settings: Settings, market: Market, state: SearchState) -> dict[str, Any]:
    """What a search found, as plain values: its trials, the skills, the settings, and the version made of them."""
    version = version_of(settings, market, state)
    return {
        "market": market.name,
        "silver_version": state.silver_version,
        "trials": {"done": state.done, "pruned": state.pruned, "cut_off": state.cut_off},
        "seconds_a_trial": state.seconds,
        "skill": state.best,
        "skill_of_own_settings": state.own,
        "parameters": state.parameters,
        "variables": search_space.as_variables(state.parameters),
        "version": None if version is None else registry.metadata(version),
    }


def version_of(settings: Settings, market: Market, state: SearchState) -> ModelRecord | None:
    """The newest version of a market that was trained with what a search found, since its begin."""
    begun = datetime.fromisoformat(state.begun_at)
    found = [
        record
        for record in registry.versions(settings)
        if record.market == market
        and record.trained_at >= begun
        and {name: record.parameters.get(name) for name in search_space.SEARCHED} == state.parameters
    ]
    return found[-1] if found else None


def _has_all(settings: Settings, market: Market, state: SearchState, trials: int) -> bool:
    return state.state == "ended" and state.done >= trials and version_of(settings, market, state) is not None


def _running(client: DagsterGraphQLClient, state: SearchState | None) -> str | None:
    """The run of a search that goes on, if there is one."""
    if state is None or state.state != "runs":
        return None
    try:
        return None if client.get_run_status(state.run) in dagster_runs.ENDED else state.run
    except DagsterGraphQLClientError:  # Dagster does not know the run any more
        return None


def _followed(
    client: DagsterGraphQLClient, settings: Settings, market: Market, run: str, voice: Voice
) -> DagsterRunStatus:
    """Tell how far a run is until it has ended; the first trial says what all of them cost."""
    page, told = dagster_runs.page_of(settings, run), 0
    since = datetime.now(UTC)
    while (now := client.get_run_status(run)) not in dagster_runs.ENDED:
        state = search_state.read(settings, market)
        if state is not None and datetime.fromisoformat(state.told_at) >= since and state.run == run:
            if state.done > told:
                told = state.done
                voice.say(_cost(state) if told == 1 else state.sentence)
            doing = "training with the best" if state.state == "ended" else f"trial {state.trial + 1}, {state.sentence}"
        else:
            doing = now.value.lower()
        voice.show(f"search of {market.name}: {doing}, {page}")
        time.sleep(1)
    return now


def _cost(state: SearchState) -> str:
    return (
        f"the lake's own settings took {state.seconds or 0:.0f} s; {state.sentence}. Ctrl-C stops the search, and the "
        "same command continues it."
    )


def _stop(client: DagsterGraphQLClient, run: str, voice: Voice) -> None:
    """End a run, and wait until it has ended: it keeps what it knows."""
    voice.show("the search ends")
    with suppress(DagsterGraphQLClientError):  # it has just ended by itself
        client.terminate_run(run)
    while client.get_run_status(run) not in dagster_runs.ENDED:
        time.sleep(0.5)
