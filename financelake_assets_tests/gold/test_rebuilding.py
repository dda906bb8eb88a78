"""Time travel on real tables: what was predicted comes out again to the last bit, whatever came after it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from financelake_assets import lake
from financelake_assets.config import Settings, get_settings
from financelake_assets.gold.explain import NoPredictionError, explain
from financelake_assets.gold.rebuilding import Rebuilt, rebuild
from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.model import registry
from financelake_assets.model.record import ModelRecord
from financelake_assets.query.errors import VersionGoneError
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.cli.main_command import run
from financelake_assets_tests.gold import forests
from financelake_assets_tests.gold.frames import day
from financelake_assets_tests.gold.lakes import append, content, correct, market, score_changes

FIRST, LAST = 70, 74
"""The days that come one by one, behind a history that comes at once."""


def corrected(settings: Settings, number: int) -> int:
    """A day of Apple gets another close, and gold sees it."""
    bars = market(number, number + 1).filter(pl.col("symbol") == "AAPL")
    now = pl.lit(datetime.now(UTC)).alias("processed_at")
    version = correct(settings, bars.with_columns(pl.col("close") * 1.01, pl.col("high") * 1.02, now))
    score_changes(settings, version)
    return version


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[int]]:
    """A lake that was scored day by day, corrected, followed by more, and compacted; the version of each day."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("travelled"))
    forests.registered(settings)
    score_changes(settings, append(settings, market(0, FIRST)))
    versions = []
    for number in range(FIRST, LAST):
        versions.append(append(settings, market(number, number + 1)))
        score_changes(settings, versions[-1])
    corrected(settings, FIRST + 1)
    score_changes(settings, append(settings, market(LAST, LAST + 2)))
    BARS.ensure(settings).optimize.compact()
    PREDICTIONS.ensure(settings).optimize.compact()
    return settings, versions


@pytest.fixture
def travelled(whole: tuple[Settings, list[int]], tmp_path: Path) -> tuple[Settings, list[int]]:
    """A copy of it."""
    settings, versions = whole
    shutil.copytree(settings.data_dir, tmp_path / "lake")
    return settings.model_copy(update={"data_dir": tmp_path / "lake"}), versions


def _in_one_line(said: str) -> str:
    return " ".join(said.split())


def again(settings: Settings, as_of: int | None = None, **more: object) -> Rebuilt:
    record: ModelRecord = registry.get(settings, "rf-1")
    return rebuild(settings, record, lake.table("silver.bars", as_of=as_of, settings=settings), **more)  # type: ignore[arg-type]


def test_each_version_gives_its_predictions_to_the_last_bit(travelled: tuple[Settings, list[int]]) -> None:
    settings, versions = travelled
    stored = content(PREDICTIONS, settings)
    for number, version in enumerate(versions, FIRST):
        found = again(settings, version)
        assert found.differing.is_empty()
        own = stored.filter(pl.col("event_time") <= day(number))
        assert found.lacking == stored.height - own.height
        assert_frame_equal(found.rows, own.sort(*BARS.key), check_exact=True, check_row_order=False)
    assert stored["widening"].n_unique() > 5, "the intervals adapt, each from the one before"


def test_with_the_bars_as_they_are_those_that_rest_on_the_correction_are_others(
    travelled: tuple[Settings, list[int]],
) -> None:
    settings, _ = travelled
    found = again(settings)
    assert found.lacking == 0
    assert set(found.differing["symbol"]) == {"AAPL"}
    # what was made after the correction was made of these bars
    assert set(found.differing["event_time"]) == {day(number) for number in range(FIRST + 1, LAST)}
    assert found.differing.row(0, named=True)["column"] == "close"
    assert again(settings, symbols=["WTI"]).differing.is_empty()
    assert again(settings, start=day(LAST)).differing.is_empty()
    assert again(settings, end=day(FIRST + 1)).differing.is_empty()


def test_another_champion_in_between_changes_nothing(travelled: tuple[Settings, list[int]]) -> None:
    settings, versions = travelled
    newest = BARS.ensure(settings).version()
    forests.registered(settings, "rf-2", seed=9, promoted=1, silver_version=newest)
    score_changes(settings, append(settings, market(LAST + 2, LAST + 4)))
    for version, as_of in (("rf-2", None), ("rf-1", versions[-1])):
        bars = lake.table("silver.bars", as_of=as_of, settings=settings)
        found = rebuild(settings, registry.get(settings, version), bars)
        assert found.differing.is_empty()
        assert set(found.rows["model_version"]) == {version}


def test_what_was_changed_in_gold_is_found(travelled: tuple[Settings, list[int]]) -> None:
    settings, versions = travelled
    where = f"symbol = 'WTI' AND event_time = '{day(FIRST + 1).isoformat()}'"
    PREDICTIONS.ensure(settings).update(predicate=where, updates={"upper": "upper + 0.0000001"})
    (found,) = again(settings, versions[-1]).differing.to_dicts()
    assert (found["symbol"], found["column"], found["corrected"]) == ("WTI", "upper", False)
    assert float(found["stored"]) == pytest.approx(float(found["rebuilt"]) + 1e-7)


def test_why_tells_of_the_bars_as_they_were(travelled: tuple[Settings, list[int]]) -> None:
    settings, versions = travelled
    then = lake.table("silver.bars", as_of=versions[2], settings=settings)
    found = explain(settings, "AAPL", bars=then)
    assert found.event_time == day(FIRST + 2)
    assert found.made_of_these_bars
    assert not explain(settings, "AAPL", at=day(FIRST + 2)).made_of_these_bars
    with pytest.raises(NoPredictionError, match="among the bars that silver had then"):
        explain(settings, "AAPL", at=day(LAST), bars=then)
    with pytest.raises(NoPredictionError) as said:
        explain(settings, "APPL")
    assert "Did you mean AAPL?" in said.value.remedy


@pytest.fixture
def called(travelled: tuple[Settings, list[int]], monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, list[int]]:
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(travelled[0].data_dir))
    get_settings.cache_clear()
    return travelled


def test_the_command_says_it_and_writes_the_rows(
    called: tuple[Settings, list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings, versions = called
    file = tmp_path / "rebuilt.parquet"
    more = ("--symbol", "AAPL", "--as-of", str(versions[0]), "-f", "parquet", "-o", str(file))
    assert run(monkeypatch, "model", "rebuild", "rf-1", *more) == 0
    rows = pl.read_parquet(file)
    said = _in_one_line(capsys.readouterr().err)
    assert f"{rows.height} predictions, made again of silver.bars as of {versions[0]}, are the same" in said
    assert_frame_equal(rows, again(settings, versions[0], symbols=["AAPL"]).rows)

    assert run(monkeypatch, "model", "rebuild", "rf-1") == 1
    said = _in_one_line(capsys.readouterr().err)
    assert "of AAPL 1d at 2024-03-12 00:00: close is" in said
    assert "written after they were made" in said
    assert "--as-of" in said
    assert run(monkeypatch, "why", "AAPL", "--as-of", str(versions[0])) == 0
    assert "bar of 2024-03-11" in capsys.readouterr().out


def test_what_is_not_there_is_said_with_the_remedy(
    called: tuple[Settings, list[int]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, versions = called
    for arguments, said in (
        (("model", "rebuild", "rf-1", "--symbol", "APPL"), "Did you mean AAPL?"),
        (("model", "rebuild", "rf-9"), "the registry has rf-1"),
        (("model", "rebuild", "rf-1", "--as-of", "999"), "has no version 999 yet"),
        (("model", "rebuild", "rf-1", "--start", "2030-01-01"), "it has some of: AAPL, BTC-USD, WTI"),
        (("features", "APPL"), "Did you mean AAPL?"),
    ):
        assert run(monkeypatch, *arguments) == 1
        assert said in _in_one_line(capsys.readouterr().err)
    table = BARS.ensure(settings)
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(VersionGoneError):
        again(settings, versions[0])
    assert run(monkeypatch, "model", "rebuild", "rf-1", "--as-of", str(versions[0])) == 1
    assert "are kept" in _in_one_line(capsys.readouterr().err)


def test_a_card_as_it_was(
    called: tuple[Settings, list[int]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, _ = called
    assert run(monkeypatch, "model", "show", "rf-1") == 0
    before = capsys.readouterr().out
    forests.registered(settings, "rf-2", promoted=1)
    registry.retire(settings, "rf-1", "replaced by rf-2")
    assert run(monkeypatch, "model", "show", "rf-1") == 0
    assert capsys.readouterr().out != before
    assert run(monkeypatch, "model", "show", "rf-1", "--as-of", "1") == 0
    assert capsys.readouterr().out == before
    assert run(monkeypatch, "model", "show", "rf-2", "--as-of", "1") == 1
    assert "the registry had rf-1 at version 1 of gold.models" in _in_one_line(capsys.readouterr().err)
