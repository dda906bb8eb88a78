"""The watchdog: restarts processes that do not answer, processes that the supervisor gave up, and the supervisor.

Input: the supervisor's states and the probes. Output: ``<data_dir>/run/health.json`` for ``status``, and restarts with
a back-off that doubles. The watchdog is itself a supervised process. When the supervisor is gone, it becomes
``financelake up --detach``, which ends the remaining processes and starts a new supervisor.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

from financelake_assets.config import Settings, get_settings
from financelake_assets.files import read_json, write_whole
from financelake_assets.servers.command import PROCESS_VARIABLE, PYTHON
from financelake_assets.supervision import clock, processes
from financelake_assets.supervision.processes import Process, ProcessState
from financelake_assets.supervision.supervisor import Supervisor, folder, log_file, wanted

INTERVAL_SECONDS = 3.0
STARTING_SECONDS = 60.0
"""How long after its start a process may fail to answer."""
PATIENCE = 3
"""After this many failed probes in a row a process counts as hung."""
LONGEST_BACK_OFF_SECONDS = 300.0
WELL_AFTER_SECONDS = 120.0
"""After a process has been healthy for this long, its earlier failures no longer lengthen the back-off."""


class Action(Enum):
    """What to do about a process."""

    NOTHING = "nothing"
    START = "start"
    RESTART = "restart"


@dataclass(frozen=True)
class ProcessHealth:
    """The watchdog's record of a process. Times are seconds since the epoch."""

    problem: str | None = None
    failed_probes: int = 0
    restarts: int = 0
    pid: int = 0
    in_a_row: int = 0
    acted_at: float = 0.0

    def back_off_seconds(self) -> float:
        """Time to wait from the last action to the next: 0, 10, 20, 40 … at most 300 s."""
        return 0.0 if self.in_a_row == 0 else min(LONGEST_BACK_OFF_SECONDS, 5.0 * 2.0**self.in_a_row)


def judge(health: ProcessHealth, state: ProcessState, problem: str | None, now: float) -> tuple[ProcessHealth, Action]:
    """Decide about a process from its record, the supervisor's view of it, and the result of its probe.

    Args:
        health: the record.
        state: the supervisor's view now.
        problem: why the probe failed, or ``None``.
        now: seconds since the epoch.

    Returns:
        The new record, and the action. A process that a user stopped stays stopped.
    """
    if health.pid and state.pid and state.pid != health.pid:
        health = replace(health, restarts=health.restarts + 1)
    health = replace(health, pid=state.pid or health.pid)
    # a time to come is one before the clock was set back
    due = now >= health.acted_at + health.back_off_seconds() or now < health.acted_at
    if state.state in ("FATAL", "EXITED", "UNKNOWN"):
        health = replace(health, problem=f"it stopped: {state.said}", failed_probes=0)
        return _acted(health, now, Action.START) if due else (health, Action.NOTHING)
    if not state.running:
        return replace(health, problem=None, failed_probes=0), Action.NOTHING
    if problem is None:
        in_a_row = 0 if now - max(health.acted_at, state.started_at) > WELL_AFTER_SECONDS else health.in_a_row
        return replace(health, problem=None, failed_probes=0, in_a_row=in_a_row), Action.NOTHING
    if 0 <= now - state.started_at < STARTING_SECONDS:
        return replace(health, problem=f"starting: {problem}", failed_probes=0), Action.NOTHING
    health = replace(health, problem=problem, failed_probes=health.failed_probes + 1)
    if health.failed_probes < PATIENCE or not due:
        return health, Action.NOTHING
    return _acted(health, now, Action.RESTART)


def _acted(health: ProcessHealth, now: float, action: Action) -> tuple[ProcessHealth, Action]:
    return replace(health, in_a_row=health.in_a_row + 1, acted_at=now, failed_probes=0), action


def health_file(settings: Settings) -> Path:
    """The file with the watchdog's observations."""
    return folder(settings) / "health.json"


def read_health(settings: Settings) -> dict[str, ProcessHealth]:
    """The watchdog's last observation of each process; empty before its first round."""
    entries = (read_json(health_file(settings)) or {}).get("processes", {})
    return {name: ProcessHealth(**entry) for name, entry in entries.items()}


def look(
    settings: Settings, supervisor: Supervisor, watched: dict[str, Process], known: dict[str, ProcessHealth]
) -> dict[str, ProcessHealth]:
    """One round: probe every process, act if needed, and store the observations."""
    moved = clock.look(settings)
    if moved.moved_within(2 * INTERVAL_SECONDS):
        print(f"the clock was set by {moved.moved_by:+.0f} s", flush=True)  # noqa: T201
    states = supervisor.states()
    present = {name: process for name, process in watched.items() if name in states}
    with ThreadPoolExecutor(max_workers=len(watched)) as pool:
        found = pool.map(lambda process: process.problem(states[process.name]), present.values())
        problems = dict(zip(present, found, strict=True))
    seen = {}
    for name in present:
        seen[name], action = judge(known.get(name, ProcessHealth()), states[name], problems[name], time.time())
        if action is Action.NOTHING:
            continue
        print(f"{action.value} {name}: {seen[name].problem}", flush=True)  # noqa: T201  # the watchdog's own log
        if action is Action.RESTART:
            supervisor.stop_process(name)
        supervisor.start_process(name)
    _write(settings, seen)
    return seen


def _write(settings: Settings, seen: dict[str, ProcessHealth]) -> None:
    free_gb = shutil.disk_usage(settings.data_dir).free / 1e9
    content = {
        "updated_at": time.time(),
        "disk_free_gb": round(free_gb, 1),
        "processes": {name: asdict(health) for name, health in seen.items()},
    }
    try:
        write_whole(health_file(settings), json.dumps(content))
    except OSError as error:  # a full disk must not end the process that restarts the others
        print(f"cannot write {health_file(settings)}: {error}", flush=True)  # noqa: T201


def _write_to_own_log(settings: Settings) -> None:
    """Send the output to the log file: writing to the pipe of a supervisor that is gone would end this process."""
    with log_file(settings, "watchdog").open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())


def main() -> None:
    """Watch until the process is told to end."""
    settings, parent = get_settings(), os.getppid()
    supervisor = Supervisor(settings)
    watched = {name: process for name, process in processes.of_lake(settings).items() if name != "watchdog"}
    known = read_health(settings)
    while True:
        if os.getppid() != parent:
            if not wanted(settings):
                return
            _write_to_own_log(settings)
            print("the supervisor is gone, starting the lake again", flush=True)  # noqa: T201
            os.environ.pop(PROCESS_VARIABLE)  # otherwise `up` would end this process as a remaining one
            os.execv(sys.executable, [*PYTHON, "-m", "financelake_assets.cli", "up", "--detach"])  # noqa: S606
        known = look(settings, supervisor, watched, known)
        time.sleep(INTERVAL_SECONDS)


if __name__ == "__main__":
    main()
