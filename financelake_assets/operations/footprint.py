"""Memory and processor time of processes; a page that several processes share counts once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil


def family(pid: int) -> list[psutil.Process]:
    """A process and all its running descendants; empty if the process has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Memory of some processes in bytes.

    On Linux this is the proportional set size: a page that several processes share counts once, split between them.
    Elsewhere it is the unique set size, the memory that would be free if the process ended, which is a little less.
    A process that has ended counts as 0.
    """
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            info = process.memory_full_info()
            total += getattr(info, "pss", info.uss)
    return total


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """Processor time of some processes in seconds since their start, with that of children which have ended."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            # user, system, and on Unix the same of children that have ended
            total += sum(process.cpu_times()[:4])
    return total
