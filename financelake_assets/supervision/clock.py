"""The machine's clock, and whether it was set: what deletes by age must not believe a clock that jumped.

Input: the time of day and the time since the machine's start, which nobody can set. Output: by how much the time of
day was moved last, and how long ago. Both clocks run alike, so a difference that changes by more than a minute is a
clock that was set, by hand or by a time server. Kept in ``<data_dir>/run/clock.json``; the watchdog looks every round.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.files import read_json, write_whole

SET_SECONDS = 60.0
"""A smaller move is a time server's correction."""
_NOTED_EVERY_SECONDS = 60.0
# goes on while the machine sleeps; macOS names it otherwise
_SINCE_START = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class Clock:
    """What is known of the clock. It was last set by ``moved_by`` seconds, ``moved_at`` seconds after the start."""

    start: str
    seen: float
    since_start: float
    moved_by: float = 0.0
    moved_at: float | None = None

    def moved_within(self, seconds: float) -> bool:
        """Whether the clock was set during the last so many seconds, as the machine counts them."""
        return self.moved_at is not None and self.since_start - self.moved_at < seconds


def seconds_since(then: float, now: float) -> float:
    """Seconds from one time of day to another; 0 where the clock was set back in between."""
    return max(0.0, now - then)


def look(
    settings: Settings,
    time_of_day: Callable[[], float] = time.time,
    since_start: Callable[[], float] = lambda: time.clock_gettime(_SINCE_START),
    start: Callable[[], str] = lambda: _start_of_machine(),
) -> Clock:
    """Compare the clocks with what they were at the last look, and remember.

    Args:
        settings: the lake.
        time_of_day: seconds since the epoch.
        since_start: seconds since the machine's start.
        start: names this start of the machine.
    """
    now = Clock(start(), time_of_day(), since_start())
    before = _known(settings)
    if before is None:
        found = now
    elif before.start != now.start:
        # nobody knows how long it was off; only a time before the last look is wrong for sure
        back = now.seen - before.seen
        found = now if back >= -SET_SECONDS else Clock(now.start, now.seen, now.since_start, back, now.since_start)
    else:
        moved = (now.seen - before.seen) - (now.since_start - before.since_start)
        was_set = abs(moved) > SET_SECONDS
        found = Clock(
            now.start,
            now.seen,
            now.since_start,
            moved if was_set else before.moved_by,
            now.since_start if was_set else before.moved_at,
        )
    if before is None or found.moved_at != before.moved_at or _is_due(before, now):
        with suppress(OSError):  # a full disk must not end who looks
            write_whole(_file(settings), json.dumps(asdict(found)))
    return found


def _is_due(before: Clock, now: Clock) -> bool:
    return before.start != now.start or now.since_start - before.since_start >= _NOTED_EVERY_SECONDS


def _known(settings: Settings) -> Clock | None:
    try:
        return Clock(**(read_json(_file(settings)) or {}))
    except TypeError:
        return None


def _file(settings: Settings) -> Path:
    return settings.run_dir / "clock.json"


def _start_of_machine() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
