"""Operational alerts: what is wrong with a lake, and which alerts were already sent.

Input: plain facts about the lake, and the alerts that were sent. Output: the alerts to send now. Each condition is
sent once, again every ``repeat_hours`` while it lasts, and once when it is over. Pure; ``notifier.py`` sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from financelake_assets.config import AlertSettings


@dataclass(frozen=True)
class Alert:
    """A condition that is wrong. ``key`` identifies the condition; ``text`` describes its current state."""

    key: str
    title: str
    text: str


@dataclass(frozen=True)
class StreamFacts:
    """Number of a continuous query's failures in a row, and the last error."""

    failures: int
    error: str | None


@dataclass(frozen=True)
class LakeFacts:
    """The facts from which alerts follow.

    ``streams``: failures by query. ``broker``: why the broker does not answer, or ``None``. ``lag``: messages that are
    not yet in silver; ``silver_idle_seconds``: time since silver last committed. ``unbalanced``: messages that the
    ledger cannot account for. ``champion_age_days``: of each market's champion, by market. ``drift``: the verdicts of
    the champions' last checks, by market, where they found a drift. ``failed_checks``: the description of each failed
    check, by ``layer/table/check``. ``failed_runs``: job names by run id. ``kill_switch``: why the portfolio was
    halted, or ``None``. ``clock``: how the clock was set in the last day, or ``None``. ``unknown``: the errors of the
    facts that could not be found out, by name.
    """

    streams: Mapping[str, StreamFacts]
    lag: int
    silver_idle_seconds: float
    unbalanced: int
    champion_age_days: Mapping[str, float]
    failed_runs: Mapping[str, str]
    kill_switch: str | None = None
    broker: str | None = None
    drift: Mapping[str, str] = field(default_factory=dict)
    failed_checks: Mapping[str, str] = field(default_factory=dict)
    clock: str | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)


def conditions(facts: LakeFacts, settings: AlertSettings, max_age_days: float) -> list[Alert]:
    """Every condition that is wrong now.

    Args:
        facts: the lake.
        settings: thresholds.
        max_age_days: the highest allowed age of a champion.
    """
    found = [
        Alert(f"stream/{name}", f"The {name} query fails", f"{stream.failures} times in a row: {stream.error}")
        for name, stream in facts.streams.items()
        if stream.failures > 1  # every restart looks like one failure
    ]
    if facts.broker:
        found.append(Alert("bronze/broker", "The broker does not answer", facts.broker))
    if facts.lag and facts.silver_idle_seconds > settings.stale_seconds:
        idle = f"{facts.lag} messages wait, and silver has committed nothing for {facts.silver_idle_seconds:.0f} s."
        found.append(Alert("silver/stale", "Silver does not commit", idle))
    if facts.unbalanced:
        text = f"{facts.unbalanced} messages are neither in silver, nor duplicates, nor in quarantine."
        found.append(Alert("silver/ledger", "The ledger does not balance", text))
    found += [
        Alert(
            f"model/expired/{market}",
            f"The champion of {market} has expired",
            f"It is {age:.0f} days old; the limit is {max_age_days:g}. All its signals are HOLD.",
        )
        for market, age in facts.champion_age_days.items()
        if age > max_age_days
    ]
    found += [
        Alert(f"model/drift/{market}", f"The champion of {market} has drifted", f"{why}. Its next training is sooner.")
        for market, why in facts.drift.items()
    ]
    if facts.kill_switch:
        found.append(Alert("portfolio/kill_switch", "The paper portfolio was halted", facts.kill_switch))
    if facts.clock:
        found.append(
            Alert("machine/clock", "The clock was set", f"{facts.clock}: nothing is deleted by age for a while.")
        )
    found += [
        Alert(f"unknown/{name}", f"A fact of the lake is unknown: {name.replace('_', ' ')}", why)
        for name, why in facts.unknown.items()
    ]
    found += [
        Alert(f"check/{name}", f"The check {name} fails", f"It checks: {what}.")
        for name, what in facts.failed_checks.items()
    ]
    found += [
        Alert(f"run/{run}", f"The run of {job} failed", f"Dagster run {run}.") for run, job in facts.failed_runs.items()
    ]
    return found


Said = Mapping[str, float]
"""When each lasting condition was last sent, in seconds since the epoch."""


@dataclass(frozen=True)
class Outbox:
    """What to send now: new or lasting ``alerts``, and ``over`` for conditions that ended; and the state to keep."""

    alerts: tuple[Alert, ...]
    over: tuple[str, ...]
    said: Said


Cursor = Mapping[str, Said]
"""What was said, by channel: ``log``, and the number of each address."""


def read_cursor(stored: Mapping[str, Any], channels: Iterable[str]) -> dict[str, Said]:
    """What was said by each channel, from what an earlier look left; one that is new has said nothing.

    An earlier release remembered one time a condition, for all channels.
    """
    if any(isinstance(value, int | float) for value in stored.values()):
        return {channel: dict(stored) for channel in channels}
    return {channel: dict(stored.get(channel, {})) for channel in channels}


def outbox(active: Iterable[Alert], said: Said, now: float, settings: AlertSettings) -> Outbox:
    """Decide what to send.

    Args:
        active: what is wrong now.
        said: what was sent before.
        now: seconds since the epoch.
        settings: how often a lasting condition is sent again.
    """
    by_key = {alert.key: alert for alert in active}
    again = settings.repeat_hours * 3600
    # a time in the future is from before the clock was set back
    due = tuple(alert for key, alert in by_key.items() if not 0 <= now - said.get(key, -again) < again)
    # a failed run has no end; after a while it is only no longer reported
    over = tuple(key for key in said if key not in by_key and not key.startswith("run/"))
    remembered = {key: said[key] for key in by_key if key in said} | {alert.key: now for alert in due}
    return Outbox(due, over, remembered)
