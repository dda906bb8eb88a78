"""The search: settings of the forest that predict best inside the training period, trial by trial.

Input: a market's own settings, and a function that judges a candidate fold by fold. Output: the best settings that were
seen. Optuna proposes the candidates (a tree-structured Parzen estimator, Bergstra et al. 2011) and gives up those that
are below the median of the others after as many folds. Its journal is in the lake's data folder, so a search that was
killed at any moment continues with the same command. Each trial goes into the trials ledger before it counts.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import polars as pl
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model import judgement, metrics, search_space, search_state, trials
from financelake_assets.model.markets import Market
from financelake_assets.model.record import MadeWith
from financelake_assets.model.search_state import SearchState
from financelake_assets.model.search_walk import Judged

Evaluate = Callable[[ModelSettings], Iterable[Judged]]
"""Judges a candidate: see ``search_walk.walk``."""

Tell = Callable[[SearchState], None]
"""Called with how far the search is, after each fold and each trial."""

_UNPRUNED = 5
"""So many trials are judged to their end before one is given up: of fewer the median says little."""

_OWN, _SECONDS, _PINNED = "own", "seconds", "pinned"


@dataclass(frozen=True)
class Pinned:
    """What a search holds fast, because its trials are compared with each other.

    ``silver_version``: of the bars; ``until``: where each symbol's training period ends; ``days``: how long it is;
    ``strategy``: the lake's own settings and plug-ins; ``begun_at`` in ISO 8601.
    """

    silver_version: int
    until: dict[str, datetime]
    days: int
    strategy: str
    begun_at: str

    def dump(self) -> dict[str, Any]:
        """As plain values."""
        return {**self.__dict__, "until": {symbol: time.isoformat() for symbol, time in self.until.items()}}

    @classmethod
    def parse(cls, told: dict[str, Any]) -> Pinned:
        """The inverse of ``dump``."""
        until = {symbol: datetime.fromisoformat(time) for symbol, time in told["until"].items()}
        return cls(**{**told, "until": until})


@contextmanager
def opened(settings: Settings, market: Market, *, fresh: bool) -> Iterator[optuna.Study]:
    """The search of a market, for this process alone; a trial that was cut off is tried again, and not counted twice.

    Args:
        settings: the lake.
        market: of the search.
        fresh: forget the trials of the search before. The ledger keeps them: they were tried.

    Raises:
        FinanceLakeError: another process searches.
    """
    folder = search_state.folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / f"{market.name}.journal"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with FileLock(folder / f".{market.name}.lock", timeout=0):
            if fresh:
                journal.unlink(missing_ok=True)
            _mend(journal)
            study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(journal))),
                study_name=market.name,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED),
            )
            # a search that continues must not propose again what it proposed at its beginning
            study.sampler = optuna.samplers.TPESampler(seed=settings.model.seed + len(study.trials))
            _take_up(study)
            yield study
    except Timeout as error:
        raise FinanceLakeError(
            f"A search of {market.name} runs already.", remedy="Wait for its end, or stop its run in Dagster."
        ) from error


def pinned(study: optuna.Study) -> Pinned | None:
    """What the search holds fast; ``None`` before its begin."""
    told = study.user_attrs.get(_PINNED)
    return None if told is None else Pinned.parse(told)


def pin(study: optuna.Study, made: Pinned) -> Pinned:
    """Begin a search with what it holds fast."""
    study.set_user_attr(_PINNED, made.dump())
    return made


def strategy_of(own: ModelSettings, settings: Settings, made_with: MadeWith) -> str:
    """What a search is begun with: with other settings of the lake, or another holdout, it is another search."""
    holdout = own.model_dump(mode="json", include={"holdout_fraction", "holdout_since", "coverage"})
    return json.dumps([trials.strategy(own, settings, made_with), holdout], sort_keys=True, default=str)


def refuse_other(found: Pinned, strategy: str, market: Market) -> None:
    """Make sure that a search continues with the settings that it was begun with.

    Raises:
        FinanceLakeError: it does not.
    """
    if found.strategy != strategy:
        raise FinanceLakeError(
            f"The search of {market.name} of {found.begun_at[:16]} was begun with other settings or plug-ins, so its "
            "trials cannot be compared with new ones.",
            remedy=f"`financelake tune --market {market.name} --fresh` begins another one.",
        )


@dataclass(frozen=True)
class Search:
    """A search that is open.

    ``own``: the lake's settings for the market; ``days``: see ``Pinned``; ``made_with``: the plug-ins in use;
    ``state``: what is known at its begin; ``tell``: see ``Tell``.
    """

    settings: Settings
    study: optuna.Study
    own: ModelSettings
    days: int
    made_with: MadeWith
    state: SearchState
    tell: Tell

    @property
    def has_all(self) -> bool:
        """Whether there are as many trials as wanted."""
        return self._now().done >= self.state.wanted

    def run(self, evaluate: Evaluate) -> SearchState:
        """Judge candidates until there are as many as wanted; the first is the lake's own settings.

        Returns:
            The state at the end, with the best settings.

        Raises:
            FinanceLakeError: no candidate could be judged.
        """
        if not self.study.trials:
            self.study.enqueue_trial(search_space.parameters(self.own), user_attrs={_OWN: True})
        try:
            while not self.has_all:
                self._try_one(evaluate, self._now())
            ended = self._ended()
        except BaseException:
            self.tell(replace(self._now(), state="stopped"))
            raise
        self.tell(ended)
        return ended

    def _ended(self) -> SearchState:
        now = self._now()
        if now.best is None:
            raise FinanceLakeError(
                f"None of {now.done} candidates could be judged: their folds have too few bars.",
                remedy="Load more history of this market.",
            )
        return replace(now, state="ended")

    def _try_one(self, evaluate: Evaluate, before: SearchState) -> None:
        trial = self.study.ask()
        candidate = search_space.candidate(trial, self.own, self.days)
        begun, skill, pruned, judged = time.monotonic(), math.nan, False, None
        self.tell(replace(before, trial=trial.number, fold=1))
        for judged in evaluate(candidate):
            skill = skill_of(judged.rows)
            trial.report(skill, judged.fold)
            self.tell(replace(before, trial=trial.number, fold=judged.fold))
            pruned = judged.fold < judged.folds and trial.should_prune()
            if pruned:
                break
        pruned = pruned or math.isnan(skill)
        # first the ledger, then the journal: killed in between, the same strategy is tried again and counts once
        if judged is not None:
            self._note(candidate, judged.rows, whole=not pruned)
        trial.set_user_attr(_SECONDS, time.monotonic() - begun)
        if pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, skill)

    def _note(self, candidate: ModelSettings, rows: pl.DataFrame, *, whole: bool) -> None:
        """Tell the ledger. The returns of a part of the folds would leave few days to compare all trials on."""
        sharpe, steps = trials.sharpe_of(rows)
        trial = trials.strategy_trial(candidate, self.settings, sharpe, steps, self.made_with)
        trials.note(self.settings, trial)
        # what a training has judged, on the holdout too, says more
        if whole and not trials.has_returns(self.settings, trial):
            trials.keep_returns(self.settings, trial, candidate.interval, trials.daily(rows))

    def _now(self) -> SearchState:
        known = self.study.get_trials(deepcopy=False)
        judged = [trial for trial in known if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        whole = [trial for trial in judged if trial.state == TrialState.COMPLETE]
        best = max(whole, key=lambda trial: trial.value or 0.0, default=None)
        own = next((trial.value for trial in whole if trial.user_attrs.get(_OWN)), None)
        seconds = [trial.user_attrs[_SECONDS] for trial in judged if _SECONDS in trial.user_attrs]
        return replace(
            self.state,
            done=len(judged),
            pruned=len(judged) - len(whole),
            cut_off=sum(trial.state == TrialState.FAIL for trial in known),
            own=own,
            best=None if best is None else best.value,
            seconds=sum(seconds) / len(seconds) if seconds else None,
            parameters={} if best is None else self._parameters(best),
        )

    def _parameters(self, trial: FrozenTrial) -> dict[str, Any]:
        found = search_space.candidate(FixedTrial(trial.params), self.own, self.days)
        return search_space.parameters(found)


def skill_of(rows: pl.DataFrame) -> float:
    """``1 - MSE/MSE of the naive forecast`` in expected moves: what a search maximises.

    Args:
        rows: of ``Judged``.
    """
    actual, predicted = (judgement.moves(rows, name) for name in ("realised_return", "predicted_return"))
    return metrics.skill(actual - predicted, actual) if len(actual) else math.nan


def _mend(journal: Path) -> None:
    """Take away what a process that was killed left behind: a part of a line, and optuna's own lock."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.exists() and not (told := journal.read_bytes()).endswith(b"\n"):
        with journal.open("r+b") as opened_journal:
            opened_journal.truncate(told.rfind(b"\n") + 1)


def _take_up(study: optuna.Study) -> None:
    """Try again what was cut off: such a trial failed, and its candidate waits for the next one."""
    waiting = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(states=(TrialState.WAITING,))]
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        parameters = trial.system_attrs.get("fixed_params", trial.params)
        if parameters and parameters not in waiting:
            study.enqueue_trial(parameters, user_attrs=trial.user_attrs)
        study.tell(trial.number, state=TrialState.FAIL)
