"""The questions of ``financelake ingest FILE --dry-run`` at a real terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect
import pytest

from financelake_assets_tests.providers.test_remembered_formats import slashes

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no pseudo-terminal")


def _ask(folder: Path, *arguments: str) -> pexpect.spawn[str]:
    command = ["-m", "financelake_assets.cli", "ingest", *arguments, "--dry-run"]
    env = {**os.environ, "FINANCELAKE_DATA_DIR": str(folder / "lake"), "NO_COLOR": "1", "COLUMNS": "200"}
    return pexpect.spawn(
        sys.executable, command, cwd=str(folder), env=env, encoding="utf-8", timeout=120, dimensions=(50, 200)
    )


def test_what_is_asked_is_answered_used_and_remembered(tmp_path: Path) -> None:
    slashes(tmp_path, "Dow Jones.csv")
    child = _ask(tmp_path, "Dow Jones.csv")
    child.expect("is the day or the month first")
    child.expect("one of: %d/%m/%Y, %m/%d/%Y")
    child.expect("--time-format:")
    child.sendline("%m/%d/%Y")
    child.expect("say which with --symbol")
    child.expect("--symbol:")
    child.sendline("DJI")
    child.expect("first +2024-01-02T00:00:00Z")
    child.expect("remembered for files of this shape: time-format %m/%d/%Y")
    child.expect("financelake ingest 'Dow Jones.csv' --symbol DJI --time-format %m/%d/%Y")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "%m/%d/%Y" in (tmp_path / "lake" / "formats.yaml").read_text()

    slashes(tmp_path, "IBM.csv")
    child = _ask(tmp_path, "IBM.csv")
    child.expect("read as Dow Jones.csv was")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_an_answer_that_cannot_be_is_asked_again_and_an_empty_one_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "AAPL.csv"
    file.write_text("Time (EST),Close\n" + "".join(f"2024-01-02 09:{minute}:00,1.5\n" for minute in range(30, 40)))
    child = _ask(tmp_path, "AAPL.csv")
    child.expect("--timezone:")
    child.sendline("Mars/Olympus")
    child.expect("'Mars/Olympus' cannot be")
    child.expect("--timezone:")
    child.sendline("")
    child.expect("questions")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
