"""``financelake reset``: empties a lake's data folder, and its tables' place in a store, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.storage.store import LAYERS, asked, table_names
from financelake_assets.supervision import leftovers
from financelake_assets.supervision.supervisor import Supervisor

# only what a lake writes is ever deleted, whatever folder the settings name
FOLDERS = ("delta", "checkpoints", "models", "kafka", "spark", "dagster", "logs", "run", "secrets")


def contents(settings: Settings) -> list[str]:
    """What a lake contains: folders in the data folder, and the place of its tables if that is elsewhere."""
    folders = [str(path) for path in _folders(settings)]
    return folders if settings.store.url is None or not table_names(settings) else [*folders, settings.store.url]


def reset_lake(settings: Settings) -> None:
    """Delete a lake's data.

    Raises:
        FinanceLakeError: the lake runs.
        StoreError: the object store does not answer, or refuses this lake.
    """
    if Supervisor(settings).alive() or any(leftovers.of_lake(settings)):
        raise FinanceLakeError(f"The lake in {settings.data_dir} runs.", remedy="Stop it first: `financelake down`.")
    if settings.store.url is not None:
        with asked(settings) as files:
            for layer in LAYERS:
                files.delete([item["path"] for item in files.list(layer).collect()])
    for path in _folders(settings):
        shutil.rmtree(path)


def _folders(settings: Settings) -> list[Path]:
    return [path for name in FOLDERS if (path := settings.data_dir / name).exists()]
