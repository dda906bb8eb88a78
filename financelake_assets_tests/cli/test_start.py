"""What the command line loads before it knows the command: nothing heavy, because each command would wait for it."""

from __future__ import annotations

import subprocess
import sys


def test_the_command_line_loads_nothing_heavy_before_it_knows_the_command() -> None:
    heavy = ["polars", "pyarrow", "duckdb", "deltalake", "pyspark", "dagster", "confluent_kafka", "pandas", "numpy"]
    code = f"import sys, financelake_assets.cli.app; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_status_needs_no_spark_client() -> None:
    code = "import sys, financelake_assets.operations.status; print('pyspark' in sys.modules, 'pandas' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]
