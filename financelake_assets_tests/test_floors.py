"""The floors hold: the contracts pass, and each fails when an import that it forbids is put in on purpose."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLANTED = {
    "The floors": ("financelake_assets/bronze/offsets.py", "from financelake_assets.silver import cleaning"),
    "No circles": ("financelake_assets/servers/jars/__init__.py", "from financelake_assets.servers import kafka"),
    "The domain knows no Dagster": ("financelake_assets/gold/signals.py", "import dagster"),
    "Pure logic": ("financelake_assets/model/labels.py", "import pyspark"),
}


def contracts(folder: Path) -> str:
    """What import-linter says of the packages in a folder."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    return done.stdout


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    for name in ("financelake_assets", "dash_app"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "data/*.gz"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_contracts_hold(copied: Path) -> None:
    assert "0 broken" in contracts(copied)


@pytest.mark.parametrize("name", PLANTED)
def test_a_forbidden_import_breaks_its_contract(copied: Path, name: str) -> None:
    place, line = PLANTED[name]
    file = copied / place
    before = file.read_text()
    try:
        file.write_text(before + f"\n{line}\n")
        said = contracts(copied)
    finally:
        file.write_text(before)
    assert any(told.startswith(name) and "BROKEN" in told for told in said.splitlines()), said
