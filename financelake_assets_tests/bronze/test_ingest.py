from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.ingest import IngestProgress, IngestRequest, LoadRunningError, ingest
from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.universe import known_symbols
from financelake_assets.config import Settings
from financelake_assets.providers.base import ProviderError
from financelake_assets_tests.bronze.observed import each_once, messages
from financelake_assets_tests.shared_servers import free_ports

pytestmark = pytest.mark.integration


def _bars(folder: Path, name: str = "ACME.csv", rows: int = 5_000) -> Path:
    file = folder / name
    lines = "".join(f"{1_500_000_000 + 60 * row},{row + 1},{row % 7}\n" for row in range(rows))
    file.write_text("time,close,volume\n" + lines)
    return file


def test_a_users_file_is_published_once_however_often_it_is_asked_for(bronze_lake: Settings, tmp_path: Path) -> None:
    request = IngestRequest(path=_bars(tmp_path))
    heard: list[IngestProgress] = []
    first = ingest(request, bronze_lake, heard.append)
    assert (first.rows, first.published, first.known, first.symbols) == (5_000, 5_000, 0, {"ACME"})
    assert any("close=close" in (one.note or "") for one in heard)
    assert heard[-1].rows == 5_000
    again = ingest(request, bronze_lake)
    assert (again.published, again.known) == (0, 5_000)
    assert each_once(bronze_lake, first.loads[0], 5_000)
    assert known_symbols(UNIVERSE.ensure(bronze_lake)) == {"ACME": "stock"}
    assert first.symbols == {"ACME"}


def test_a_load_that_was_stopped_goes_on_where_it_was(bronze_lake: Settings, tmp_path: Path) -> None:
    request = IngestRequest(path=_bars(tmp_path, rows=400_000))
    chunks = 0

    def stop_after_two(_: IngestProgress) -> None:
        nonlocal chunks
        chunks += 1

    first = ingest(request, bronze_lake, stop_after_two, stopping=lambda: chunks >= 4)
    assert 0 < first.published < 400_000
    second = ingest(request, bronze_lake)
    assert (second.known, second.published) == (first.published, 400_000 - first.published)
    assert each_once(bronze_lake, first.loads[0], 400_000)


def test_bad_values_reach_bronze_as_they_were(bronze_lake: Settings, tmp_path: Path) -> None:
    file = tmp_path / "ACME.csv"
    file.write_text("time,close\n2020-01-01,1\n2020-01-02,abc\n2020-01-03,NaN\n2020-01-04,2,3,4\n")
    result = ingest(IngestRequest(path=file, interval="1d", accept_odd=True), bronze_lake)
    assert (result.published, result.odd) == (4, 2)
    closes = [json.loads(message.value()).get("close") for message in messages(bronze_lake)]
    assert sorted(map(str, closes)) == ["1.0", "NaN", "None", "abc"]


def test_another_selection_of_the_same_source_is_another_load(bronze_lake: Settings) -> None:
    some = ingest(IngestRequest(provider="replay", symbols=("aapl",), start="2013-01-01"), bronze_lake)
    others = ingest(IngestRequest(provider="replay", symbols=("FB",), end="2012-06-01"), bronze_lake)
    assert (some.symbols, others.symbols) == ({"AAPL"}, {"FB"})
    assert (some.published, others.published) == (41, 9)
    assert some.loads != others.loads
    assert {message.key() for message in messages(bronze_lake)} == {b"AAPL", b"FB"}


def test_the_same_rows_are_published_by_one_process_at_a_time(bronze_lake: Settings, tmp_path: Path) -> None:
    request = IngestRequest(path=_bars(tmp_path))
    inside, over = threading.Event(), threading.Event()

    def hold(progress: IngestProgress) -> None:
        if progress.rows:  # the guesses are told before it begins to publish
            inside.set()
            over.wait(30)

    slow = threading.Thread(target=ingest, args=(request, bronze_lake, hold))
    slow.start()
    try:
        assert inside.wait(120)
        with pytest.raises(LoadRunningError, match="is being published by another process"):
            ingest(request, bronze_lake)
    finally:
        over.set()
        slow.join()


def test_problems_are_told_before_anything_is_published(bronze_lake: Settings, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="does not exist"):
        ingest(IngestRequest(path=tmp_path / "none.csv"), bronze_lake)
    with pytest.raises(ProviderError, match="no provider 'bloomberg'; there are binance, coinbase, csv, kraken"):
        ingest(IngestRequest(provider="bloomberg"), bronze_lake)
    (port,) = free_ports(1)
    absent = Settings.model_validate({"data_dir": tmp_path / "absent", "kafka": {"port": port}})
    with pytest.raises(BrokerUnavailableError, match="financelake up"):
        ingest(IngestRequest(path=_bars(tmp_path)), absent)
    assert messages(bronze_lake) == []
