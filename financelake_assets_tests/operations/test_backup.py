"""A backup of a lake whose query runs, and a lake made of it that goes on: nothing lost, nothing counted twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.bronze.topics import delete_topics, ensure_topics
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.operations.backup import MANIFEST, back_up, read_manifest, restore
from financelake_assets.silver.ledger import uncounted
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.faults.test_disk import small_disk
from financelake_assets_tests.silver.kafka import SYMBOLS, add_universe, bar, drain, mixture, produce, running, tables

__all__ = ["small_disk"]


def quiet(_: str) -> None:
    """Steps are for people."""


@pytest.fixture
def kept(offline_lake: Settings, tmp_path: Path) -> Path:
    """A backup of a small lake without servers."""
    add_universe(offline_lake)
    offline_lake.models_dir.joinpath("v1").mkdir(parents=True)
    (offline_lake.models_dir / "v1" / "part").write_text("a tree")
    back_up(offline_lake, tmp_path / "backup", quiet)
    return tmp_path / "backup"


def test_tables_and_models_are_what_they_were(kept: Path, offline_lake: Settings, tmp_path: Path):
    other = Settings(data_dir=tmp_path / "other")
    restore(other, kept, quiet)
    assert set(UNIVERSE.scan(other).collect()["symbol"]) == set(SYMBOLS)
    assert UNIVERSE.scan(other).collect().equals(UNIVERSE.scan(offline_lake).collect())
    assert (other.models_dir / "v1" / "part").read_text() == "a tree"


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_backup_is_refused_whole(kept: Path, tmp_path: Path, damage: str):
    victim = next(kept.rglob("*.parquet"))
    victim.write_bytes(b"") if damage == "changed" else victim.unlink()
    other = Settings(data_dir=tmp_path / "other")
    with pytest.raises(FinanceLakeError, match="missing or changed"):
        restore(other, kept, quiet)
    assert not (other.data_dir / "delta").exists()


@pytest.mark.parametrize("place", ["models/v1/more", "delta/silver/universe/_delta_log/00000000000000000099.json"])
@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_the_manifest_does_not_list_is_refused(kept: Path, tmp_path: Path, place: str, link: bool):
    stranger = kept / place
    stranger.parent.mkdir(parents=True, exist_ok=True)
    stranger.symlink_to("/etc/hostname") if link else stranger.write_text("{}")
    other = Settings(data_dir=tmp_path / "other")
    with pytest.raises(FinanceLakeError, match="not in its manifest"):
        restore(other, kept, quiet)
    assert not (other.data_dir / "delta").exists()
    assert not other.models_dir.exists()


def test_a_backup_that_was_cut_short_is_none(kept: Path, tmp_path: Path):
    (kept / MANIFEST).unlink()
    with pytest.raises(FinanceLakeError, match="no complete backup"):
        restore(Settings(data_dir=tmp_path / "other"), kept, quiet)


def test_nothing_is_overwritten(kept: Path, offline_lake: Settings):
    with pytest.raises(FinanceLakeError, match=r"models and .*/delta hold something already"):
        restore(offline_lake, kept, quiet)
    with pytest.raises(FinanceLakeError, match="not empty"):
        back_up(offline_lake, kept, quiet)


def test_what_is_no_lake_is_said(tmp_path: Path):
    with pytest.raises(FinanceLakeError, match="holds no tables"):
        back_up(Settings(data_dir=tmp_path / "nothing"), tmp_path / "backup", quiet)


def test_a_full_disk_is_named_and_leaves_no_backup_that_looks_whole(offline_lake: Settings, small_disk: Path):
    add_universe(offline_lake)
    offline_lake.models_dir.mkdir(parents=True)
    (offline_lake.models_dir / "large").write_bytes(os.urandom(32 << 20))
    with pytest.raises(FinanceLakeError, match=r"not complete: .*No space left"):
        back_up(offline_lake, small_disk / "backup", quiet)
    with pytest.raises(FinanceLakeError, match="no complete backup"):
        read_manifest(small_disk / "backup")


@pytest.mark.integration
def test_a_lake_made_of_a_backup_goes_on_with_the_same_topics_and_with_new_ones(lake: Settings, tmp_path: Path):
    add_universe(lake)
    produce(lake, mixture(120))
    with running(lake) as query:
        drain(lake, query)
        back_up(lake, tmp_path / "backup", quiet)
        produce(lake, mixture(60, first=120))
        drain(lake, query)
    other = lake.model_copy(update={"data_dir": tmp_path / "other"})
    restore(other, tmp_path / "backup", quiet)
    with running(other) as query:
        assert drain(other, query).balanced
    assert tables(other) == tables(lake)
    before = BARS.scan(other).collect().height
    delete_topics(other)
    ensure_topics(other)
    produce(other, [bar("AAPL", 300, 5.0)])
    (other.data_dir / "checkpoints").rename(tmp_path / "put aside")
    with running(other) as query:
        assert drain(other, query).balanced
    assert BARS.scan(other).collect().height == before + 1
    assert not any(uncounted(other).values())
