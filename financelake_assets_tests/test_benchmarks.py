"""Each benchmark runs to its end with sizes so small that its numbers mean nothing."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(file.stem for file in FOLDER.glob("[a-z]*.py"))
TINY = {
    "actions": "",
    "bronze": "--rows 2000 --rounds 1",
    "dashboard": "--rows 5000 --clients 2 --seconds 3 --commits 2",
    "faults": "--small --rounds 1",
    "feed": "--rate 200 --symbols 2 --cuts 2 --longest 0.5 --between 0.5 --quiet 1 --backlog 500",
    "files": "--rows 5000 --rounds 1",
    "first_signal": "",
    "footprint": "--live-days 30 --settle 1 --seconds 3",
    "latency": "--rate 50 --symbols 3 --warm-up 2 --seconds 5",
    "market": "--live 5 --away 5",
    "model_choices": "--only alone",
    "orchestration": "--rounds 1",
    "power": "--runs 4 --days 300 --json",
    "publishing": "--commits 3",
    "r2_study": "--json",
    "scale": "--rows 2000 --rounds 1",
    "scaling": "--sizes 1000,2000 --rounds 1",
    "silver": "--rows 2000 --rounds 1 --batch 500 --rate 50 --seconds 3",
    "train": "--rows 3000",
}

SMALL = {"FINANCELAKE_MODEL__TREES": "2", "FINANCELAKE_MODEL__FOLDS": "2"}
"""A forest that is there before a short replay is over, also on a busy machine."""


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_finds_all_that_it_imports(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    known = set(sys.modules)
    try:
        assert importlib.import_module(name).__doc__
    finally:
        for module in {name, "_lake", "dashboard", "first_signal"} - known:
            sys.modules.pop(module, None)


@pytest.mark.bench
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_to_its_end(name: str) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), *TINY[name].split()]
    # Chromium takes no long path for its files
    with tempfile.TemporaryDirectory(prefix="b") as folder:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=540,
            env={**os.environ, **SMALL, "TMPDIR": folder},
        )
    assert done.returncode == 0, done.stderr[-4000:]
    last = done.stdout.strip().splitlines()[-1]
    assert json.loads(done.stdout if done.stdout.startswith(("{\n", "[\n")) else last)
