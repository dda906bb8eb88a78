from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from financelake_assets.model.artifacts import ArtifactError, folder_of, verify
from financelake_assets.model.markets import Market, version_prefix

_VERSION = "rf-20260101t000000-0001"


@pytest.fixture
def digest(tmp_path: Path) -> str:
    """A version's files as ``write`` leaves them; gives the manifest's sum."""
    (tmp_path / _VERSION / "pipeline" / "data").mkdir(parents=True)
    files = {"pipeline/metadata": b"class", "pipeline/data/part-0": b"trees"}
    for name, content in files.items():
        (tmp_path / _VERSION / name).write_bytes(content)
    manifest = json.dumps({name: hashlib.sha256(content).hexdigest() for name, content in files.items()}).encode()
    (tmp_path / _VERSION / "manifest.json").write_bytes(manifest)
    return hashlib.sha256(manifest).hexdigest()


def test_untouched_files_are_accepted(tmp_path: Path, digest: str) -> None:
    verify(tmp_path, _VERSION, digest)


def test_a_changed_added_or_removed_file_is_refused(tmp_path: Path, digest: str) -> None:
    part = tmp_path / _VERSION / "pipeline" / "data" / "part-0"
    part.write_bytes(b"treez")
    with pytest.raises(ArtifactError, match="part-0"):
        verify(tmp_path, _VERSION, digest)
    part.write_bytes(b"trees")
    (part.parent / "part-1").write_bytes(b"more")
    with pytest.raises(ArtifactError, match="part-1"):
        verify(tmp_path, _VERSION, digest)
    (part.parent / "part-1").unlink()
    part.unlink()
    with pytest.raises(ArtifactError, match="part-0"):
        verify(tmp_path, _VERSION, digest)


def test_a_manifest_that_was_made_to_fit_is_refused(tmp_path: Path, digest: str) -> None:
    part = tmp_path / _VERSION / "pipeline" / "data" / "part-0"
    part.write_bytes(b"other")
    manifest = tmp_path / _VERSION / "manifest.json"
    sums = json.loads(manifest.read_bytes()) | {"pipeline/data/part-0": hashlib.sha256(b"other").hexdigest()}
    manifest.write_text(json.dumps(sums))
    with pytest.raises(ArtifactError, match="not the one that was registered"):
        verify(tmp_path, _VERSION, digest)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no files"):
        verify(tmp_path, "rf-none", "0" * 64)


@pytest.mark.parametrize("version", ["../elsewhere", "/etc", "", ".registry.lock", "a/b", "A"])
def test_a_version_cannot_lead_elsewhere(tmp_path: Path, version: str) -> None:
    with pytest.raises(ArtifactError, match="not a model version"):
        folder_of(tmp_path, version)


@pytest.mark.parametrize("further", [None, 20])
def test_the_versions_of_every_market_have_a_folder(tmp_path: Path, further: int | None) -> None:
    version = f"{version_prefix('my-model', Market('1d', further))}-20260101t000000-0001"
    assert folder_of(tmp_path, version) == tmp_path / version
