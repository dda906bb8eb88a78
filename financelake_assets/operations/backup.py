"""``financelake backup`` and ``restore``: the tables and the models of a lake, copied while it runs.

Input: a lake, or the folder of a backup. Output: the other one. A backup contains one version of each table with the
history that is still kept, the model files, and ``backup.json`` with the SHA-256 of every file. It contains no topics
and no checkpoints: a restored lake reads its topics from their beginning and skips messages that its tables have
counted.

Gold is copied before the model files, and silver last. So nothing in a backup refers to something that it lacks.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import DeltaTable
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers.jars import sha256
from financelake_assets.storage import store
from financelake_assets.supervision import leftovers
from financelake_assets.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

MANIFEST = "backup.json"

_LOG = "_delta_log"
_PLACE = "FINANCELAKE_DATA_DIR or FINANCELAKE_STORE__URL"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Manifest:
    """Contents of a backup: the version of each table, and the SHA-256 of each file by its path."""

    made_at: str
    made_by: str
    tables: dict[str, int]
    files: dict[str, str]


def back_up(settings: Settings, target: Path, say: Say) -> Manifest:
    """Copy a lake, which may be running, into a new folder.

    Raises:
        FinanceLakeError: the folder is not empty, there is no lake, or the disk is full.
    """
    if target.exists() and any(target.iterdir()):
        raise FinanceLakeError(f"{target} is not empty.", remedy="Name a new folder for each backup.")
    tables: dict[str, int] = {}
    try:
        found = store.table_names(settings)
        if not found:
            raise FinanceLakeError(f"{settings.tables} holds no tables.", remedy=f"Set {_PLACE} to the lake's.")
        for name in found:
            tables[name] = _copied(settings, name, target / "delta" / name)
            say(f"{name} as of version {tables[name]}")
            if name == "gold/models":
                _copy_models(settings, target)
        if not (target / "models").exists():
            _copy_models(settings, target)
        files = {str(file.relative_to(target)): sha256(file) for file in _files(target)}
        manifest = Manifest(datetime.now(UTC).isoformat(), version("financelake"), tables, files)
        (target / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1))
    except OSError as error:
        raise FinanceLakeError(
            f"The backup in {target} is not complete: {_reason(error)}.",
            remedy="Free space there, delete the folder, and begin again. The lake did not change.",
        ) from error
    return manifest


def restore(settings: Settings, source: Path, say: Say) -> Manifest:
    """Fill an empty lake with the tables and models of a backup.

    Raises:
        FinanceLakeError: the lake runs or is not empty, or the backup is incomplete.
    """
    if Supervisor(settings).alive() or any(leftovers.of_lake(settings)):
        raise FinanceLakeError(f"The lake in {settings.data_dir} runs.", remedy="Stop it first: `financelake down`.")
    taken = [str(settings.data_dir / name) for name in ("checkpoints", "models") if _any_file(settings.data_dir / name)]
    if store.table_names(settings):
        taken.append(settings.tables)
    if taken:
        raise FinanceLakeError(
            f"{' and '.join(taken)} hold something already.",
            remedy=f"Restore into another {_PLACE}, or empty this lake: `financelake reset`.",
        )
    manifest = read_manifest(source)
    damaged = [name for name, digest in manifest.files.items() if not _is_whole(source / name, digest)]
    if damaged:
        raise FinanceLakeError(
            f"{len(damaged)} files of {source} are missing or changed, among them {damaged[0]}. Nothing was restored.",
            remedy="Use another backup.",
        )
    strangers = [path for path in _restored(source) if path.relative_to(source).as_posix() not in manifest.files]
    links = [path for path in _restored(source) if path.is_symlink()]
    if strangers or links:
        raise FinanceLakeError(
            f"{len(strangers)} files of {source} are not in its manifest and {len(links)} are links, among them "
            f"{(strangers or links)[0].relative_to(source)}. Nothing was restored.",
            remedy="Find out where they come from, delete them, and restore again.",
        )
    if (source / "models").is_dir():
        shutil.copytree(source / "models", settings.models_dir, dirs_exist_ok=True)
    _upload(source / "delta", settings)
    say(f"restored {len(manifest.tables)} tables of {manifest.made_at[:19]} to {settings.tables}, and the models")
    return manifest


def read_manifest(source: Path) -> Manifest:
    """Read the manifest of a backup.

    Raises:
        FinanceLakeError: the folder contains no complete backup.
    """
    try:
        return Manifest(**json.loads((source / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise FinanceLakeError(f"{source} holds no complete backup: {error}.", remedy="Name another folder.") from error


class _ChangedError(FinanceLakeError):
    """A table changed while it was copied."""


@retry(stop=stop_after_attempt(3), retry=retry_if_exception_type(_ChangedError), reraise=True)
def _copied(settings: Settings, name: str, target: Path) -> int:
    """Copy a table's current version; retry if maintenance cleans up the log meanwhile. Returns the version."""
    shutil.rmtree(target, ignore_errors=True)
    table = DeltaTable(f"{settings.tables}/{name}", storage_options=store.delta_options(settings))
    try:
        _copy_table(settings, name, target, table)
        if DeltaTable(target).version() == table.version():
            return table.version()
    except FileNotFoundError as error:
        raise _too_fast(name) from error
    raise _too_fast(name)


def _too_fast(name: str) -> _ChangedError:
    return _ChangedError(f"{name} changed faster than it could be copied.", remedy="Stop the lake and try again.")


def _copy_table(settings: Settings, name: str, target: Path, table: DeltaTable) -> None:
    """Copy the log up to the opened version, and every existing file; a file of that version must exist."""
    current = {uri.rsplit("/", 1)[1] for uri in table.file_uris()}
    with store.asked(settings) as files:
        for item in files.list(name).collect():
            place = Path(item["path"]).relative_to(name)
            if place.parts[0] == _LOG and not _up_to(place, table.version()):
                continue
            try:
                _download(files, item, target / place)
            except FileNotFoundError:
                if place.name in current:
                    raise  # otherwise it is an old file whose retention has passed


def _download(files: ObjectStore, item: ObjectMeta, target: Path) -> None:
    content = files.get(item["path"])
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as copy:
        for chunk in content:
            copy.write(chunk)
    made = item["last_modified"].timestamp()
    os.utime(target, (made, made))


def _up_to(log_file: Path, version: int) -> bool:
    return len(log_file.parts) == 2 and log_file.name[:20].isdigit() and int(log_file.name[:20]) <= version


def _upload(source: Path, settings: Settings) -> None:
    """Copy the tables of a backup to the lake, each log last, because an incomplete copy is then not a table."""
    if settings.store.url is None:
        shutil.copytree(source, settings.tables, dirs_exist_ok=True)
        return
    with store.asked(settings) as files:
        for path in sorted(_files(source), key=lambda file: (_LOG in file.parts, file)):
            files.put(path.relative_to(source).as_posix(), path)


def _copy_models(settings: Settings, target: Path) -> None:
    if settings.models_dir.is_dir():
        shutil.copytree(settings.models_dir, target / "models", dirs_exist_ok=True)


def _reason(error: OSError) -> str:
    """One sentence, even if shutil lists every failed file of a folder."""
    return str(error.args[0][0][2]) if isinstance(error, shutil.Error) else error.strerror or str(error)


def _is_whole(file: Path, digest: str) -> bool:
    return file.is_file() and sha256(file) == digest


def _any_file(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _restored(source: Path) -> Iterator[Path]:
    """All files that a restore copies: everything in the folders of tables and models, also links."""
    return (path for part in ("models", "delta") for path in (source / part).rglob("*") if _is_no_folder(path))


def _is_no_folder(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
