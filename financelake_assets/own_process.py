"""A process of a lake of which there is one: it runs alone, ends when told to, and says how far it is.

Input: settings, and what makes the runner. Output: an exit code, and a state in the folder ``run``.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog
from filelock import FileLock, Timeout

from financelake_assets import logs
from financelake_assets.config import Settings, get_settings
from financelake_assets.files import write_whole

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = structlog.get_logger()


class Runner(Protocol):
    """What such a process does."""

    def run(self) -> None:
        """Work until told to stop."""

    def stop(self) -> None:
        """Ask ``run`` to end; a signal handler calls it."""


def run_alone(name: str, make: Callable[[Settings], Runner]) -> int:
    """Run a lake's only process of this name until SIGTERM or SIGINT; the exit code is 3 when one runs already."""
    settings = get_settings()
    logs.set_up(settings)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.run_dir / f"{name}.lock", timeout=0):
            runner = make(settings)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: runner.stop())
            runner.run()
    except Timeout:
        log.warning(f"this lake's {name} runs already", data_dir=str(settings.data_dir))
        return 3
    log.info(f"the {name} has ended")
    return 0


def say(file: Path, state: DataclassInstance) -> None:
    """Write how far a process is. A full disk must not end it: what it publishes goes to the broker."""
    try:
        write_whole(file, json.dumps(asdict(state)))
    except OSError as error:
        log.warning(f"the {file.stem} cannot say how far it is", error=str(error))
