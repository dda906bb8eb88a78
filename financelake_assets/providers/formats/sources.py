"""Where a file's rows come from: itself, compressed, in an archive, in a folder of partitions.

Input: a path. Output: ``Source``s, each one table with a name, told apart by their first bytes rather than by their
names; and what was left out, which nobody is to miss in silence.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyarrow as pa

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.formats import excel

SUFFIXES = (
    *(".csv", ".txt", ".tsv", ".parquet", ".pq", ".json", ".jsonl", ".ndjson", ".feather", ".arrow", ".ipc"),
    *(".xlsx", ".xlsm", ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz"),
)
_PACKED = (".gz", ".zst", ".bz2")
_DROPPINGS = (
    *("._*", ".*", "_*", "thumbs.db", "desktop.ini", "*.crc", "*.md", "*.part", "*.crdownload", "~$*", "*.sha256"),
    *("*.checksum",),
)
"""What file systems, programs and people leave beside data."""
_FOREIGN = (
    (b"\x00\x05\x16\x07", "holds macOS's notes on another file"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel file; save it as .xlsx or CSV"),
    (b"%PDF", "is a PDF; look for a download as CSV"),
    (b"SQLite format 3", "is an SQLite database; export the table as CSV"),
    (b"\x89HDF", "is an HDF5 file; write the frame with to_parquet() or to_csv()"),
    (b"7z\xbc\xaf", "is a 7z archive; unpack it"),
    (b"Rar!", "is a RAR archive; unpack it"),
    (b"\x80\x04\x95", "is a pickle, which can run code when it is read; write the frame with to_parquet()"),
    (b"\x80\x05\x95", "is a pickle, which can run code when it is read; write the frame with to_parquet()"),
)
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Source:
    """One table: a file, or a member of an archive."""

    path: Path
    name: str
    kind: str
    member: str | None = None
    partitions: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    sheet: str | None = None

    @property
    def label(self) -> str:
        """What to call it."""
        part = self.member or self.sheet
        return f"{self.path.name}: {part}" if part else self.path.name

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes, unpacked."""
        if self.member is None:
            with pa.input_stream(str(self.path), compression="detect") as stream:
                yield stream
        elif zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as packed:
                yield _unpacked(packed, self.member)
        else:
            with tarfile.open(self.path) as tar:
                member = tar.extractfile(self.member)
                if member is None:
                    raise ProviderError(f"{self.label} is not a file")
                with member as packed:
                    yield _unpacked(packed, self.member)

    @contextmanager
    def seekable(self) -> Iterator[Path]:
        """It as a file of its own, which some readers want."""
        with self.path.open("rb") as stream:
            packed = stream.read(4).startswith((b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd"))
        if self.member is None and not packed:
            yield self.path
            return
        with tempfile.NamedTemporaryFile(prefix="financelake-") as copy, self.open() as stream:
            while block := stream.read(_BLOCK):
                copy.write(block)
            copy.flush()
            yield Path(copy.name)

    def digest(self) -> str:
        """A hash of its contents, whatever its name."""
        digest = hashlib.sha256((self.sheet or "").encode())
        with self.open() as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()


def _unpacked(packed: IO[bytes], name: str) -> IO[bytes]:
    if not name.lower().endswith(_PACKED):
        return packed
    return io.BytesIO(pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), _codec(name)).read())


def _codec(name: str) -> str:
    return {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}[Path(name.lower()).suffix]


def find(path: Path | None) -> tuple[list[Source], list[str]]:
    """The tables of a file or a folder, and the names of what was left out of a folder.

    Raises:
        ProviderError: there is nothing to read.
    """
    if path is None:
        raise ProviderError("say which file or folder with --path")
    if not path.exists():
        raise ProviderError(f"{path} does not exist")
    if path.is_file():
        return _tables(path), []
    found: list[Source] = []
    left: list[str] = []
    for file, partitions in _walk(path, {}):
        name = file.name.lower()
        if any(fnmatch.fnmatch(name, dropping) for dropping in _DROPPINGS):
            continue
        if name.endswith((*SUFFIXES, *(f"{one}{packed}" for one in SUFFIXES for packed in _PACKED))):
            found += [Source(**{**one.__dict__, "partitions": partitions}) for one in _tables(file)]
        else:
            left.append(file.name)
    left += [
        f"{one.name}/" for one in sorted(path.iterdir()) if one.is_dir() and not _key(one) and one.name[0] not in "._"
    ]
    if not found:
        raise ProviderError(f"{path} holds no file with {', '.join(SUFFIXES)}")
    return found, left


def _walk(folder: Path, partitions: Mapping[str, str]) -> Iterator[tuple[Path, dict[str, str]]]:
    """Files of a folder and of its partitions (symbol=AAPL/year=2024), in order."""
    for entry in sorted(folder.iterdir()):
        if entry.is_file():
            yield entry, dict(partitions)
        elif entry.is_dir() and (key := _key(entry)):
            yield from _walk(entry, {**partitions, key[0]: key[1]})


def _key(folder: Path) -> tuple[str, str] | None:
    key, separator, value = folder.name.partition("=")
    return (key, value) if separator and key and value else None


def _tables(path: Path) -> list[Source]:
    """The tables in a file. One that cannot be read is a source with a problem, so that others can go on."""
    partitions = {key[0]: key[1] for one in path.absolute().parents if (key := _key(one))}
    try:
        kind = _kind(path)
        if kind == "zip":
            with zipfile.ZipFile(path) as archive:
                members = [one.filename for one in archive.infolist() if not one.is_dir()]
                if "[Content_Types].xml" in members:
                    return _sheets(path, partitions)
                if any(one.flag_bits & 1 for one in archive.infolist()):
                    raise ProviderError(f"{path.name} is a ZIP file with a password; unpack it")  # noqa: TRY301
                return _members(path, members)
        if kind == "tar":
            with tarfile.open(path) as tar:
                return _members(path, [one.name for one in tar.getmembers() if one.isfile()])
    except ProviderError as error:
        return [Source(path, path.name, "", problem=str(error))]
    except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError, pa.ArrowException) as error:
        return [Source(path, path.name, "", problem=f"{path} cannot be read: {error}")]
    return [Source(path, path.name, kind, partitions=partitions)]


def _sheets(path: Path, partitions: Mapping[str, str]) -> list[Source]:
    """An Excel file, or each of its sheets where several hold a table: a sheet's name is then that of its rows."""
    named = excel.tables_in(path.read_bytes())
    if len(named) < 2:
        return [Source(path, path.name, "xlsx", partitions=partitions, sheet=named[0] if named else None)]
    return [Source(path, f"{one}.xlsx", "xlsx", partitions=partitions, sheet=one) for one in named]


def _members(path: Path, members: list[str]) -> list[Source]:
    found = []
    for member in sorted(members):
        name = Path(member).name
        dropping = any(fnmatch.fnmatch(name.lower(), one) for one in _DROPPINGS)
        if dropping or member.startswith("__MACOSX/") or not name.lower().endswith((*SUFFIXES, *_PACKED)):
            continue
        source = Source(path, name, "", member)
        try:
            with source.open() as stream:
                kind = _kind_of(stream.read(512), source.label)
            if kind in ("zip", "tar"):
                raise ProviderError(f"{source.label} is an archive in an archive; unpack it")  # noqa: TRY301
        except (ProviderError, OSError, pa.ArrowException) as error:
            source = Source(path, name, "", member, problem=str(error))
        else:
            source = Source(path, name, kind, member)
        found.append(source)
    if not found:
        raise ProviderError(f"{path.name} holds no file with {', '.join(SUFFIXES)}")
    return found


def _kind(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(512)
    if start.startswith((b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ")):
        if tarfile.is_tarfile(path):
            return "tar"
        if start.startswith(b"\xfd7zXZ"):
            raise ProviderError(f"{path.name} is packed with xz; unpack it, or pack it with gzip or zstd")
        with Source(path, path.name, "text").open() as unpacked:
            start = unpacked.read(512)
        if path.suffix.lower() not in (".gz", ".bz2", ".zst"):
            raise ProviderError(f"{path.name} is compressed; name it so, for example {path.name}.gz")
    return _kind_of(start, path.name)


def _kind_of(start: bytes, label: str) -> str:
    for magic, what in _FOREIGN:
        if start.startswith(magic):
            raise ProviderError(f"{label} {what}")
    if start.startswith(b"PK\x03\x04"):
        return "zip"
    if start[257:262] == b"ustar":
        return "tar"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"ARROW1", b"FEA1")):
        return "arrow"
    head = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if label.lower().endswith((".parquet", ".pq")):
        raise ProviderError(f"{label} cannot be read: it is not Parquet")
    return "json" if head.startswith((b"{", b"[")) else "text"
