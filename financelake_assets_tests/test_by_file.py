"""Tests of the scheduler of the tests' workers: a crash is one failure, and the run ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FILES = 5


def test_a_run_ends_after_a_worker_has_crashed(tmp_path: Path) -> None:
    for number in range(FILES):
        (tmp_path / f"test_{number}.py").write_text("import os\ndef test_a(): pass\ndef test_b(): pass\n")
    with (tmp_path / "test_1.py").open("a") as file:
        file.write("def test_crash(): os._exit(3)\ndef test_after(): pass\n")
    options = ["-p", "financelake_assets_tests.by_file", "-p", "no:schemathesis", "-p", "no:cacheprovider", "-q"]
    command = [sys.executable, "-m", "pytest", *options, "-n", "2", "--dist", "loadfile", str(tmp_path)]
    ran = subprocess.run(
        [*command, "--rootdir", str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert f"1 failed, {2 * FILES + 1} passed" in ran.stdout
    assert "crashed while running" in ran.stdout
    assert "test_1.py::test_crash" in ran.stdout
