"""``financelake bench``: the benchmarks of a checkout, described by the first line of their docstrings."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from financelake_assets.errors import FinanceLakeError

FOLDER = Path(__file__).parents[2] / "benchmarks"


def available() -> dict[str, str]:
    """Name and description of each benchmark.

    Raises:
        FinanceLakeError: this is not a checkout.
    """
    scripts = sorted(FOLDER.glob("[a-z]*.py"))
    if not scripts:
        raise FinanceLakeError(
            "The installed package does not contain the benchmarks.", remedy="Run them in a checkout."
        )
    return {script.stem: (ast.get_docstring(ast.parse(script.read_text())) or "").split("\n")[0] for script in scripts}


def run(name: str, arguments: list[str]) -> int:
    """Run a benchmark with this interpreter; return its exit code.

    Raises:
        FinanceLakeError: there is no such benchmark.
    """
    known = available()
    if name not in known:
        raise FinanceLakeError(f"There is no benchmark {name}.", remedy=f"The benchmarks are: {', '.join(known)}.")
    return subprocess.run([sys.executable, FOLDER / f"{name}.py", *arguments], check=False).returncode  # noqa: S603
