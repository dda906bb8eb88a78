"""A feed as the lake's supervisor runs it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from financelake_assets.config import Settings


def variables_of(settings: Settings, **more: str) -> dict[str, str]:
    """The environment that tells a process which lake it is of; ``more`` are settings without their prefix."""
    own = {"DATA_DIR": str(settings.data_dir), "KAFKA__BOOTSTRAP": settings.kafka_bootstrap, **more}
    return {**os.environ, **{f"FINANCELAKE_{name}": value for name, value in own.items()}}


def log_of(settings: Settings) -> Path:
    """What the feed prints."""
    return settings.data_dir / "feed.log"


@contextmanager
def feed_process(settings: Settings, *module: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module with its arguments; it is killed at the end if it still runs."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with log_of(settings).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], env=variables_of(settings, **more), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
