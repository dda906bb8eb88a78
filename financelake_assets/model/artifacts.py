"""Model files on disk: written completely or not at all, and read only if every byte is as it was written.

Input: a fitted model and a version. Output: ``<models_dir>/<version>`` with a manifest of SHA-256 sums. The registry
stores the manifest's own sum. Loading a model runs code that its files define, so unverified files are not loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel
    from pyspark.sql import SparkSession

PIPELINE = "pipeline"
_MANIFEST = "manifest.json"
_VERSION = re.compile(r"[a-z0-9][a-z0-9+-]{0,99}")


class ArtifactError(FinanceLakeError, ValueError):
    """A model's files are missing, changed, or outside the registry's models folder."""


def write(save: Callable[[Path], None], models_dir: Path, version: str) -> str:
    """Save a fitted model and return the SHA-256 of its manifest.

    Args:
        save: writes the model's files into a folder.
        models_dir: of the lake.
        version: the name of its folder there.
    """
    folder = folder_of(models_dir, version)
    partial = folder.with_name(f".{version}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save(partial)
    manifest = json.dumps(_sums(partial), indent=1, sort_keys=True).encode()
    (partial / _MANIFEST).write_bytes(manifest)
    partial.rename(folder)
    return hashlib.sha256(manifest).hexdigest()


def read(spark: SparkSession, models_dir: Path, version: str, manifest_sha256: str) -> PipelineModel:
    """Load a pipeline after checking it.

    Raises:
        ArtifactError: see ``verify``.
    """
    from pyspark.ml import PipelineModel

    from financelake_assets.spark_sessions import activated

    verify(models_dir, version, manifest_sha256)
    with activated(spark):
        return PipelineModel.load(str(pipeline_of(models_dir, version)))


def verify(models_dir: Path, version: str, manifest_sha256: str) -> None:
    """Check that a version's files are exactly those that were saved.

    Raises:
        ArtifactError: the folder or its manifest is absent, or a file was changed, added or removed.
    """
    folder = folder_of(models_dir, version)
    try:
        manifest = (folder / _MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"model {version} has no files in {models_dir}; train a model or roll back") from error
    if hashlib.sha256(manifest).hexdigest() != manifest_sha256:
        raise ArtifactError(f"the manifest of model {version} is not the one that was registered")
    known, found = json.loads(manifest), _sums(folder)
    wrong = sorted(name for name in known.keys() | found.keys() if known.get(name) != found.get(name))
    if wrong:
        raise ArtifactError(f"files of model {version} differ from its manifest: {', '.join(wrong[:5])}")


def folder_of(models_dir: Path, version: str) -> Path:
    """The folder of a version's files.

    Raises:
        ArtifactError: the version is not a name that the registry gives, so the path could lead elsewhere.
    """
    if not _VERSION.fullmatch(version):
        raise ArtifactError(f"{version!r} is not a model version")
    return models_dir / version


def pipeline_of(models_dir: Path, version: str) -> Path:
    """The folder of MLlib's files of a version; see ``folder_of``."""
    return folder_of(models_dir, version) / PIPELINE


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
