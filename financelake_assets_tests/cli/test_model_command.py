from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from financelake_assets.config import Settings, get_settings
from financelake_assets.model.schema import MODELS
from financelake_assets_tests.cli.main_command import run
from financelake_assets_tests.gold import lakes
from financelake_assets_tests.model.records import record


@pytest.fixture
def empty(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(offline_lake.data_dir))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.usefixtures("empty")
def test_an_empty_registry_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run(monkeypatch, "model", "list") in (0, None)
    assert "No champion: there are no signals" in capsys.readouterr().err


@pytest.mark.usefixtures("empty")
def test_overfitting_by_choice_is_not_known_without_trials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(monkeypatch, "model", "trials") in (0, None)
    said = " ".join(capsys.readouterr().err.split())
    assert "overfitting is not known: the daily returns of 0 strategies are kept" in said


@pytest.mark.usefixtures("empty")
def test_an_unknown_version_is_refused_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(monkeypatch, "model", "rollback", "rf-none") == 1
    said = capsys.readouterr().err
    assert "no model rf-none" in said
    assert "financelake model list" in said


@pytest.mark.usefixtures("empty")
def test_a_training_of_what_is_no_interval_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(monkeypatch, "train", "--interval", "7m") == 1
    assert "There are 1m, 2m, 5m" in " ".join(capsys.readouterr().err.split())


def test_the_market_of_each_version_and_what_a_market_lacks_are_listed(
    offline_lake: Settings, empty: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "200")
    daily, hourly = record("rf-1", promoted=0), record("rf-2", "1h", promoted=1)
    rows = [one.row() for one in (daily, hourly)]
    write_deltalake(MODELS.ensure(offline_lake), pa.Table.from_pylist(rows, schema=MODELS.schema), mode="append")
    lakes.append(offline_lake, lakes.market(0, 70).with_columns(interval=pl.lit("1w")))
    assert run(monkeypatch, "model", "list") in (0, None)
    said = capsys.readouterr()
    listed = [line.split() for line in said.out.splitlines()]
    for version, interval in (("rf-1", "1d"), ("rf-2", "1h")):
        assert any({version, interval, "champion"} <= set(line) for line in listed)
    assert "no model yet: 27 of 500 labelled bars; no bar came since 2024-03-10" in " ".join(said.out.split())
    assert "rollback VERSION" in said.err
