"""The decisions of the sensors, as pure functions over plain values; the sensors only read, call and act.

Input: offsets, counts and times. Output: what changed or is due, with the reason in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from financelake_assets.bronze.offsets import Offsets, Watermarks
from financelake_assets.config import ModelSettings, StreamSettings
from financelake_assets.model.cadence import retraining

TRAIN_JOB = "train_model"
"""Name of the job that trains: Dagster defines it, and ``financelake train`` launches it."""

TUNE_JOB = "tune_model"
"""Name of the job that searches settings and trains with them: ``financelake tune`` launches it."""

PARTITION_TAG = "dagster/partition"
"""The tag of a run that names its partition: of a training, the market."""


@dataclass(frozen=True)
class Arrivals:
    """Changes of the topics since a cursor: new messages per topic, and notes for an operator."""

    messages: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def arrivals(seen: Offsets, now: Watermarks) -> Arrivals:
    """Compare the high watermarks with the cursor's offsets.

    A partition that the cursor does not have counts from its low watermark. If a high watermark is below the cursor,
    the topic was deleted and created again: all its messages are new.
    """
    messages: dict[str, int] = {}
    notes: list[str] = []
    for topic, partitions in now.items():
        known = seen.get(topic, {})
        total = 0
        for partition, (low, high) in partitions.items():
            before = known.get(partition)
            if before is None and known:
                notes.append(f"{topic} has a new partition {partition}")
            if before is not None and high < before:
                notes.append(f"{topic}/{partition} went back from offset {before} to {high}: the topic was recreated")
                before = None
            total += high - max(low, before if before is not None else low)
        if total:
            messages[topic] = total
    return Arrivals(messages, tuple(notes))


@dataclass(frozen=True)
class LakeState:
    """The facts for the decision to train that are the same for every market.

    ``lag``: messages that are not yet in silver, which has ``silver_rows`` rows. ``in_flight``: a training runs, or
    waits to run; one after the other uses the machine best.
    """

    silver_rows: int
    lag: int
    loading_history: bool
    in_flight: bool


@dataclass(frozen=True)
class MarketState:
    """The facts of one market for the decision to train.

    ``labelled``: its labelled bars, counted up to what a training needs, where it has no version; ``progress`` says the
    same in words. ``loading``: so many bars come at once that a history is being loaded. ``new_rows``: bars since the
    training of its newest version, promoted or not; ``trained_days``: how many days ago that was, ``None`` without a
    version. ``drift``: why the champion's last check wants a new model; ``None`` if it does not. ``outdated``: an
    earlier release made the champion, or its plug-ins are not installed as they were, so the lake cannot score with
    it. ``failures``: failed trainings since the
    last success; the last one was ``seconds_since_failure`` ago.
    """

    labelled: int | None
    progress: str
    loading: bool
    new_rows: int
    trained_days: float | None
    failures: int
    seconds_since_failure: float
    drift: str | None = None
    outdated: bool = False


@dataclass(frozen=True)
class Decision:
    """Whether to act, and the reason."""

    due: bool
    why: str


@dataclass(frozen=True)
class Backlog:
    """The backlog of queries that run on demand.

    ``messages``: on the topics and not in silver. ``commits``: of silver, not yet scored. ``seconds``: how long the
    backlog has waited. ``in_flight``, ``failures``, ``seconds_since_failure``: of the runs that process it.
    """

    messages: int
    commits: int
    seconds: float
    in_flight: bool
    failures: int
    seconds_since_failure: float


def catch_up_due(backlog: Backlog, settings: StreamSettings) -> Decision:
    """Decide whether to start the queries for the backlog.

    Many messages start them at once, so that the backlog stays small. A few messages start them after a while, so that
    they are not late. Failed runs are retried after a back-off that doubles.
    """
    waits = f"{backlog.messages} messages and {backlog.commits} commits of silver wait"
    if not backlog.messages and not backlog.commits:
        return Decision(False, "nothing waits")
    if backlog.in_flight:
        return Decision(False, f"{waits}; a run processes them")
    left = _back_off_left(backlog.failures, backlog.seconds_since_failure)
    if left > 0:
        return Decision(False, f"{waits}; {backlog.failures} runs failed, the next starts in {left:.0f} s")
    if backlog.messages >= settings.start_messages or backlog.seconds >= settings.start_seconds:
        return Decision(True, waits)
    left = settings.start_seconds - backlog.seconds
    return Decision(False, f"{waits}; the queries start at {settings.start_messages} messages or in {left:.0f} s")


def _back_off_left(failures: int, seconds_since: float) -> float:
    """Seconds still to wait after this many failed runs in a row; 0 or less if the wait is over."""
    return 0.0 if failures == 0 else 30.0 * 2 ** min(failures, 8) - seconds_since


def nothing_to_train(state: LakeState) -> str | None:
    """Why no market can be trained now; ``None`` when one may be.

    While messages wait in bronze, a model would see only part of the history, so the lag must be small.
    """
    if state.in_flight:
        return "a training is running"
    if state.loading_history:
        return "the history is being loaded"
    if state.lag > state.silver_rows // 50:
        return f"silver is {state.lag} messages behind"
    return None


def training_due(state: MarketState, settings: ModelSettings) -> Decision:
    """Decide whether to train a market now, if a training may begin at all (``nothing_to_train``).

    The first training is due when there are enough labelled bars; the next when there are enough new rows, or a tenth
    of them if the champion has drifted, or any if the newest version is old: a lake of daily bars would wait for years,
    and an expired champion gives no signals. A version that was not promoted counts too; otherwise each new row would
    start another training. A failed training is retried after a back-off that doubles, so that a permanent failure does
    not launch runs without end.
    """
    if state.loading:
        return Decision(False, "its history is being loaded")
    if state.trained_days is None and (state.labelled or 0) < settings.min_rows:
        return Decision(False, state.progress)
    left = _back_off_left(state.failures, state.seconds_since_failure)
    if left > 0:
        return Decision(False, f"{state.failures} trainings failed; the next starts in {left:.0f} s")
    if state.trained_days is None:
        return Decision(True, f"no champion yet; {state.new_rows} bars")
    if state.outdated:
        return Decision(True, "the lake cannot score with the champion: an earlier release or other plug-ins made it")
    new = state.new_rows
    # the new rows must at least be those on which drift is measured, or the new model would hardly differ
    if state.drift and new >= settings.retrain_rows // 10:
        return Decision(True, f"{state.drift}; {new} new bars")
    why = retraining(new, state.trained_days, settings)
    if why is not None:
        return Decision(True, why)
    return Decision(
        False,
        f"{new} new bars; training at {settings.retrain_rows}, or after {settings.trains_after_days:g} days",
    )


def next_training(markets: Mapping[str, MarketState], settings: ModelSettings) -> tuple[str | None, str]:
    """Which market to train now, and what all of them wait for, in words.

    A market without a model goes first, then the one whose last training is longest ago.

    Args:
        markets: by name.
        settings: when a training is due.
    """
    found = {name: training_due(state, settings) for name, state in markets.items()}
    due = [name for name, decision in found.items() if decision.due]
    if not due:
        return None, "; ".join(f"{name}: {decision.why}" for name, decision in found.items()) or "no bars yet"

    def urgency(name: str) -> float:
        days = markets[name].trained_days
        return math.inf if days is None else days

    first = max(due, key=urgency)
    return first, found[first].why
