"""The command that starts one process: arguments, environment and working folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from financelake_assets.config import Settings, settings_file

PROCESS_VARIABLE = "FINANCELAKE_PROCESS"
"""Set in every process of a lake to its name; with ``FINANCELAKE_DATA_DIR`` it tells whose a left-over process is."""

_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # nine processes that compile all they import take half a minute to start


PYTHON = (sys.executable, "-P")
"""Python without the working folder on its path: a lake's processes work in the data folder, which holds no code."""


@dataclass(frozen=True)
class Command:
    """A command line with what it adds to the inherited environment."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)


def joined(class_path: Sequence[Path]) -> str:
    """A Java class path as one argument."""
    return ":".join(str(path) for path in class_path)


def lake_environment(settings: Settings) -> dict[str, str]:
    """The environment variables that make a process one of this lake, wherever it is started from."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith("SUPERVISOR_") and key != _NO_BYTECODE
    }
    ours = {"FINANCELAKE_DATA_DIR": str(settings.data_dir), "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    # by default OpenMP's threads spin while they wait: a fit then takes the cores from the streams, and longer itself
    ours["OMP_WAIT_POLICY"] = inherited.get("OMP_WAIT_POLICY", "PASSIVE")
    if (file := settings_file.find()) is not None:  # a process of the lake has another working folder
        ours[settings_file.VARIABLE] = str(file)
    if "PYTHONPATH" in inherited:  # an empty or relative entry of it would mean the data folder too
        entries = inherited["PYTHONPATH"].split(os.pathsep)
        inherited["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in entries if entry)
    return {**inherited, **ours}
