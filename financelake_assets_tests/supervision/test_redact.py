"""What another program prints arrives line by line, whole, and without this lake's secrets."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.supervision import redact

PRINTS = "print('starting with url sc://localhost/;token=the-long-token', flush=True)"
BECOMES = f"""
import os, sys
from financelake_assets.config import get_settings
from financelake_assets.supervision.redact import output_through_here
output_through_here(get_settings(), os.environ)
os.execv(sys.executable, [sys.executable, "-c", {PRINTS!r}])
"""


def test_every_secret_of_every_group_is_known_and_short_ones_are_left(tmp_path: Path):
    lake = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "kafka": {"password": "of-kafka-1"},
            "spark": {"token": "of-spark-2", "cluster_secret": "short"},
            "alerts": {"urls": ["json://of-alerts-3"]},
        }
    )
    assert set(redact.secrets(lake)) == {b"of-kafka-1", b"of-spark-2", b"json://of-alerts-3"}


def test_a_secret_within_a_longer_one_leaves_nothing_of_it():
    target = io.BytesIO()
    redact.copy(io.BytesIO(b"a secret-and-more b\nno newline: secret-and"), target, [b"secret-and", b"secret-and-more"])
    assert target.getvalue() == b"a ********** b\nno newline: **********"


def test_a_program_that_takes_the_place_of_the_process_prints_no_secret(tmp_path: Path):
    variables = {"FINANCELAKE_SPARK__TOKEN": "the-long-token", "FINANCELAKE_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-c", BECOMES]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    assert done.stdout == "starting with url sc://localhost/;token=**********\n"
