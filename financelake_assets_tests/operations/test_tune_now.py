"""The command's side of a search: what it launches, tells and stops, with a Dagster that only answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterRunStatus

from financelake_assets.cli.tune_command import _result
from financelake_assets.config import ModelSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model import registry, search_space, search_state
from financelake_assets.model.markets import Market
from financelake_assets.model.search_state import SearchState
from financelake_assets.operations import dagster_runs, tune_now
from financelake_assets.operations.tune_now import Voice
from financelake_assets_tests.cli.main_command import run
from financelake_assets_tests.model.records import DAY, record

DAILY = Market("1d")
DEEPER = {**search_space.parameters(ModelSettings()), "depth": 8}
STATE = SearchState(
    "1d", "runs", 20, 7, DAY.isoformat(), run="run-1", done=1, own=0.001, best=0.001, seconds=30.0, parameters=DEEPER
)
MADE = record("rf-deep", trained=1, parameters={**ModelSettings().model_dump(mode="json"), **DEEPER})


class Dagster:
    """Answers as the lake's Dagster does; ``steps`` is what happens at each question for the run's status."""

    def __init__(self, *steps: Callable[[], DagsterRunStatus]) -> None:
        self.steps, self.jobs, self.stopped = list(steps), [], []

    def submit_job_execution(self, job: str, run_config: Any, tags: dict[str, str]) -> str:
        self.jobs.append((job, run_config, tags))
        return "run-1"

    def get_run_status(self, run_id: str) -> DagsterRunStatus:
        assert run_id == "run-1"
        return self.steps.pop(0)()

    def terminate_run(self, run_id: str) -> None:
        self.stopped.append(run_id)


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "lake")


@pytest.fixture
def ask(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[str, Any], list[str]]]:
    said: list[str] = []

    def asked(dagster: Dagster, trials: int = 20, *, fresh: bool = False) -> tuple[dict[str, Any], list[str]]:
        said.clear()
        monkeypatch.setattr(dagster_runs, "connected", lambda _: dagster)
        monkeypatch.setattr(tune_now.time, "sleep", lambda _: None)
        voice = Voice(lambda _: None, said.append)
        return tune_now.tune_now(lake, DAILY, trials, fresh=fresh, voice=voice), said

    asked.said = said  # type: ignore[attr-defined]
    return asked


def at(settings: Settings, state: SearchState, status: DagsterRunStatus = DagsterRunStatus.STARTED) -> Any:
    """A step in which the search tells something before Dagster answers."""

    def step() -> DagsterRunStatus:
        search_state.tell(settings, state)
        return status

    return step


def test_it_launches_tells_what_trials_cost_and_gives_what_was_found(
    lake: Settings, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "versions", lambda _: [record("rf-old"), MADE])
    ended = replace(STATE, state="ended", done=20, pruned=9, best=0.004)
    dagster = Dagster(
        lambda: DagsterRunStatus.QUEUED,
        at(lake, STATE),
        at(lake, STATE),
        at(lake, replace(STATE, done=2)),
        at(lake, ended, DagsterRunStatus.SUCCESS),
    )
    found, said = ask(dagster)
    ((job, config, tags),) = dagster.jobs
    assert (job, tags) == ("tune_model", {"dagster/partition": "1d"})
    assert config["ops"]["search"]["config"] == {"trials": 20, "fresh": False}
    assert config["ops"]["random_forest"]["config"] == {"searched": True}
    assert len(said) == 2
    assert "took 30 s; 1 of 20 trials" in said[0]
    assert "about 10 minutes to go" in said[0]
    assert "Ctrl-C stops the search" in said[0]
    assert json.loads(json.dumps(found)) == found
    assert found["trials"] == {"done": 20, "pruned": 9, "cut_off": 0}
    assert (found["skill"], found["skill_of_own_settings"]) == (0.004, 0.001)
    assert found["version"]["model_version"] == "rf-deep"
    assert "FINANCELAKE_MODEL__DEPTH=8" in found["variables"]
    assert _result(found).row_count == 3 + len(search_space.SEARCHED)


def test_ctrl_c_ends_the_run_and_says_how_to_continue(lake: Settings, ask: Any) -> None:
    def interrupted() -> DagsterRunStatus:
        raise KeyboardInterrupt

    dagster = Dagster(interrupted, lambda: DagsterRunStatus.CANCELING, lambda: DagsterRunStatus.CANCELED)
    with pytest.raises(KeyboardInterrupt):
        ask(dagster)
    assert dagster.stopped == ["run-1"]
    assert dagster.steps == [], "it waited until the run had ended"
    assert ask.said == ["stopped; `financelake tune --market 1d --trials 20` continues the search"]


def test_a_run_that_failed_names_its_page(ask: Any) -> None:
    with pytest.raises(FinanceLakeError, match="The search ended with the state FAILURE") as refused:
        ask(Dagster(lambda: DagsterRunStatus.FAILURE))
    assert "/runs/run-1" in refused.value.remedy


def test_a_search_that_runs_is_followed_and_not_begun_again(lake: Settings, ask: Any) -> None:
    search_state.tell(lake, STATE)
    ended = replace(STATE, state="ended", done=20)
    dagster = Dagster(lambda: DagsterRunStatus.STARTED, at(lake, ended, DagsterRunStatus.SUCCESS))
    found, _ = ask(dagster)
    assert dagster.jobs == []
    assert found["version"] is None, "no version was made since"
    search_state.tell(lake, STATE)
    with pytest.raises(FinanceLakeError, match="A search of 1d runs"):
        ask(Dagster(lambda: DagsterRunStatus.STARTED), fresh=True)


def test_a_search_that_has_all_its_trials_and_its_version_is_only_told(
    lake: Settings, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "versions", lambda _: [MADE])
    ended = replace(STATE, state="ended", done=20)
    search_state.tell(lake, ended)
    dagster = Dagster()
    found, (said,) = ask(dagster)
    assert found["version"]["model_version"] == "rf-deep"
    assert "has its 20 trials" in said
    more = Dagster(at(lake, replace(ended, done=30), DagsterRunStatus.SUCCESS))
    ask(more, trials=30)
    assert more.jobs[0][1]["ops"]["search"]["config"]["trials"] == 30


def test_a_version_of_other_settings_or_of_before_is_not_what_was_found(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [
        record("rf-other", trained=2),
        replace(MADE, model_version="rf-before", trained_at=DAY.replace(year=2025)),
    ]
    monkeypatch.setattr(registry, "versions", lambda _: others)
    assert tune_now.version_of(lake, DAILY, STATE) is None


def test_without_a_lake_or_with_a_wrong_market_it_says_what_to_do(
    lake: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(lake.data_dir))
    monkeypatch.setenv("FINANCELAKE_PORT_OFFSET", "23000")
    monkeypatch.setattr("financelake_assets.cli.tune_command.get_settings", Settings)
    assert run(monkeypatch, "tune", "--market", "7m") == 1
    assert "There are 1m, 2m, 5m" in " ".join(capsys.readouterr().err.split())
    assert run(monkeypatch, "tune", "--trials", "3") == 1
    assert "Start the lake with `financelake up`" in " ".join(capsys.readouterr().err.split())
    assert run(monkeypatch, "tune", "--trials", "1") == 2
