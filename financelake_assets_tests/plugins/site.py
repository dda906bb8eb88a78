"""Packages with plug-ins, installed as a wheel would be: a module, and its entry points in metadata."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import invalidate_caches
from pathlib import Path

import pytest

from financelake_assets.plugins import calling, examined, installed

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"
FEATURES, LABELS = "financelake.features", "financelake.labels"
SIGNALS, COSTS, MODELS = "financelake.signals", "financelake.costs", "financelake.models"
HEADER = """import time
import polars as pl
from financelake_assets.plugins import Other, cost, feature, label, model, rule
"""


class Site:
    """A folder of installed packages."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, monkeypatch
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))
        # Python tells a module from its compiled form by size and second: two versions of a test have the same
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        self.restart()

    def install(self, module: str, code: str, points: Mapping[str, Mapping[str, str]]) -> None:
        """Install a package of one module, or another version of it.

        Args:
            module: its name.
            code: of the module.
            points: by group, the entry points' names with their values.
        """
        metadata = self._folder / f"{module}-1.0.dist-info"
        metadata.mkdir(exist_ok=True)
        (self._folder / f"{module}.py").write_text(code)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
        groups = ("\n".join([f"[{group}]", *(f"{a} = {b}" for a, b in own.items())]) for group, own in points.items())
        (metadata / "entry_points.txt").write_text("\n".join(groups) + "\n")
        self._patch.delitem(sys.modules, module, raising=False)
        self.restart()

    def feature(self, name: str, code: str) -> None:
        """Install a package with one feature, whose module has the name of it and of its function."""
        self.install(name, HEADER + code, {FEATURES: {name: f"{name}:{name}"}})

    def rule(self, name: str, code: str) -> None:
        """The same with a rule."""
        self.install(name, HEADER + code, {SIGNALS: {name: f"{name}:{name}"}})

    def cost(self, name: str, code: str) -> None:
        """The same with a cost."""
        self.install(name, HEADER + code, {COSTS: {name: f"{name}:{name}"}})

    def label(self, name: str, code: str) -> None:
        """The same with a label."""
        self.install(name, HEADER + code, {LABELS: {name: f"{name}:{name}"}})

    def model(self, name: str, code: str) -> None:
        """The same with a model."""
        self.install(name, HEADER + code, {MODELS: {name: f"{name}:{name}"}})

    def uninstall(self, module: str) -> None:
        """Remove a package."""
        for file in (self._folder / f"{module}-1.0.dist-info").iterdir():
            file.unlink()
        (self._folder / f"{module}-1.0.dist-info").rmdir()
        (self._folder / f"{module}.py").unlink()
        self._patch.delitem(sys.modules, module, raising=False)
        self.restart()

    def documented(self, *modules: str) -> None:
        """Install the examples of docs/plugins.md: those modules, or all."""
        for module, code, points in documented():
            if module in modules or not modules:
                self.install(module, code, points)

    @staticmethod
    def restart() -> None:
        """What a process remembers is forgotten, as if it had started now."""
        invalidate_caches()
        for memory in (installed._LOADED, installed._IN_USE, examined._PROBLEMS, calling._HANGING):
            memory.clear()  # type: ignore[attr-defined]


def documented() -> list[tuple[str, str, dict[str, dict[str, str]]]]:
    """The examples of docs/plugins.md: module, code and entry points."""
    text = DOCS.read_text("utf-8")
    codes = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", text, re.DOTALL))
    found = []
    for group, points in re.findall(r'\[project.entry-points."([\w.]+)"\]\n(.*?)```', text, re.DOTALL):
        ((name, module, function),) = re.findall(r'(\w+) = "(\w+):(\w+)"', points)
        found.append((module, codes[module], {group: {name: f"{module}:{function}"}}))
    return found
