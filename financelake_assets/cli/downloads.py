"""Progress of downloads on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from financelake_assets.servers import jars


@contextmanager
def downloads(console: Console) -> Iterator[jars.Progress]:
    """A progress bar for each file that is downloaded."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
    )

    def track(name: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
        return _bar(bars, name, size)

    with bars:
        yield track


@contextmanager
def _bar(bars: Progress, name: str, size: int) -> Iterator[Callable[[int], None]]:
    task = bars.add_task(name, total=size or None)
    try:
        yield lambda arrived: bars.advance(task, arrived)
    finally:
        bars.remove_task(task)
