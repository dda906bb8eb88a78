from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from financelake_assets.operations.footprint import family, memory_bytes, processor_seconds

SIZE = 64 * 2**20


@pytest.fixture
def sharing() -> Iterator[psutil.Process]:
    """A process with a child; both have touched the same 64 MiB."""
    code = f"""
import mmap, os, time
shared = mmap.mmap(-1, {SIZE})
shared.write(b"x" * {SIZE})
if os.fork() == 0:
    sum(shared[::4096])
    print("ready", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield psutil.Process(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the proportional set size")
def test_a_page_that_two_processes_share_counts_once(sharing: psutil.Process) -> None:
    both = family(sharing.pid)
    assert len(both) == 2
    assert SIZE <= memory_bytes(both) < 2 * SIZE


def test_a_process_that_has_ended_takes_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ended = psutil.Process(process.pid)
    assert memory_bytes([ended]) > 0
    process.communicate(b"\n")
    assert family(process.pid) == []
    assert memory_bytes([ended]) == 0
    assert processor_seconds([ended]) == 0


def test_work_of_children_that_have_ended_is_counted() -> None:
    own = [psutil.Process()]
    before = processor_seconds(own)
    subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
    assert processor_seconds(own) > before
