"""``financelake ingest`` as a user types it, on a real broker: a file, the packaged history, a universe file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets_tests.bronze.conftest import bronze_lake as bronze_lake
from financelake_assets_tests.bronze.observed import messages

pytestmark = pytest.mark.integration

CASES = Path(__file__).parents[1] / "providers" / "cases"
UNIVERSE = """\
symbols:
  - {symbol: FB, asset_class: stock}
  - {symbol: WTI, asset_class: commodity}
"""


def run(lake: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "FINANCELAKE_DATA_DIR": str(lake.data_dir),
        "FINANCELAKE_KAFKA__BOOTSTRAP": lake.kafka_bootstrap,
    }
    command = [sys.executable, "-m", "financelake_assets.cli", "ingest", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def keys(lake: Settings) -> Counter[str]:
    return Counter(message.key().decode() for message in messages(lake))


def test_a_users_csv_is_published_once(bronze_lake: Settings, tmp_path: Path) -> None:
    file = tmp_path / "acme.csv"
    file.write_text("Date,Last,Vol.\n" + "".join(f"0{day}/03/2024,{day}.5,{day}\n" for day in range(1, 8)))
    options = ("--path", str(file), "--interval", "1d", "--asset-class", "stock", "--time-format", "%d/%m/%Y")
    first = run(bronze_lake, *options, "--map", "close=Last", "--json")
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert (result["published"], result["known"], result["symbols"]) == (7, 0, ["ACME"])
    again = json.loads(run(bronze_lake, *options, "--map", "close=Last", "--json").stdout)
    assert (again["published"], again["known"]) == (0, 7)
    assert keys(bronze_lake) == {"ACME": 7}
    settled = json.loads(run(bronze_lake, "--path", str(file), "--asset-class", "stock", "--json").stdout)
    assert (settled["published"], settled["known"]) == (0, 7)
    assert any("read as acme.csv was: columns close=Last, time-format %d/%m/%Y" in note for note in settled["notes"])


def test_a_folder_with_a_bad_file_is_published_without_it_and_the_exit_code_says_so(bronze_lake: Settings) -> None:
    done = run(bronze_lake, str(CASES / "41-one-empty-of-three"))
    assert done.returncode == 1
    assert "1 files were refused and are not published:\n  DELISTED.csv is empty" in done.stderr
    found = [json.loads(message.value()) for message in messages(bronze_lake)]
    assert Counter(one["symbol"] for one in found) == {"AAPL": 8, "MSFT": 8}
    assert {one["interval"] for one in found} == {"1d"}
    first = min(found, key=lambda one: (one["symbol"], one["event_time"]))
    assert (first["event_time"], first["close"]) == ("2024-01-02T00:00:00.000000Z", 185.5)


def test_a_universe_file_says_what_is_asked_of_whom(bronze_lake: Settings, tmp_path: Path) -> None:
    file = tmp_path / "universe.yaml"
    file.write_text(UNIVERSE)
    done = run(bronze_lake, "--universe", str(file), "--start", "2013-01-01", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [result["symbols"] for result in results] == [["WTI"], ["FB"]]
    assert set(keys(bronze_lake)) == {"FB", "WTI"}
    file.write_text(UNIVERSE.replace("stock", "share"))
    wrong = run(bronze_lake, "--universe", str(file))
    assert wrong.returncode != 0
    assert "line 2, asset_class: Input should be 'stock', 'crypto' or 'commodity'" in " ".join(wrong.stderr.split())


def test_what_cannot_be_asked_is_told_and_nothing_is_contacted(bronze_lake: Settings) -> None:
    for arguments, told in (
        (("--provider", "yfinance"), "say which symbols with --symbols"),
        (("--provider", "bloomberg"), "no provider 'bloomberg'"),
        ((), "say which file or folder with --path"),
    ):
        done = run(bronze_lake, *arguments)
        assert done.returncode != 0
        assert told in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
