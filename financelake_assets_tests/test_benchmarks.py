"""The benchmarks start: each can be imported, so what it measures still exists under the name that it uses."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(file.stem for file in FOLDER.glob("[a-z]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_finds_all_that_it_imports(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    known = set(sys.modules)
    try:
        assert importlib.import_module(name).__doc__
    finally:
        for module in {name, "_lake", "_servers"} - known:
            sys.modules.pop(module, None)
