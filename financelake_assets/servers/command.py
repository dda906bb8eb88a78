"""The command that starts one process: arguments, environment and working folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from financelake_assets.config import Settings

PROCESS_VARIABLE = "FINANCELAKE_PROCESS"
"""Set in every process of a lake to its name; with ``FINANCELAKE_DATA_DIR`` it tells whose a left-over process is."""

_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # nine processes that compile all they import take half a minute to start


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
    return {**inherited, "FINANCELAKE_DATA_DIR": str(settings.data_dir), "PYTHONUNBUFFERED": "1"}
