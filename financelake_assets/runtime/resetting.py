"""``financelake reset``: a lake's data folder made empty, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.runtime import leftovers
from financelake_assets.runtime.errors import RuntimeProblem
from financelake_assets.runtime.supervision import Supervisor

# only what a lake writes is ever deleted, whatever folder the settings name
FOLDERS = ("delta", "checkpoints", "models", "kafka", "spark", "dagster", "logs", "run")


def contents(settings: Settings) -> list[Path]:
    """The folders of a lake that exist in the data folder."""
    return [path for name in FOLDERS if (path := settings.data_dir / name).exists()]


def reset_lake(settings: Settings) -> None:
    """Delete a lake's data.

    Raises:
        RuntimeProblem: the lake runs.
    """
    if Supervisor(settings).alive() or any(leftovers.of_lake(settings)):
        raise RuntimeProblem(f"The lake in {settings.data_dir} runs.", remedy="Stop it first: `financelake down`.")
    for path in contents(settings):
        shutil.rmtree(path)
