"""A user's own files: text, JSON, Parquet, Arrow and Excel, plain, packed or in archives, one or a folder of them.

Input: text or typed columns. Output: every row of them. What can be read is typed; a row with a value that cannot be
is passed on with its text, for silver to say what is wrong with it. A file is looked through before any of it is
published; what could be read wrong is refused with the option that settles it. No network is ever used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from financelake_assets.config import get_settings
from financelake_assets.providers.base import Capabilities, Chunk, Part, ProviderError
from financelake_assets.providers.formats.gaps import Gaps
from financelake_assets.providers.formats.keys import FolderKeys
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.questions import Question, UnsureError
from financelake_assets.providers.formats.reading import find_out
from financelake_assets.providers.formats.remembered import (
    Entry,
    Remembered,
    Shape,
    settled_in,
    shape_of,
    with_settled,
    without_settled,
)
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.formats.sources import Source, find
from financelake_assets.providers.formats.survey import Survey, survey
from financelake_assets.providers.formats.tables import Table, open_table
from financelake_assets.providers.request import IngestRequest


@dataclass
class Looked:
    """What was found out of one file: how it is read and what is in it, or why it is refused."""

    source: Source
    table: Table | None = None
    reading: Reading | None = None
    survey: Survey | None = None
    questions: list[Question] = field(default_factory=list)

    @property
    def refusal(self) -> str | None:
        """Why nothing of it is published."""
        return "; ".join(str(one) for one in self.questions) or None


class FileProvider:
    """The files that a request names."""

    name = "csv"
    capabilities = Capabilities(history=True, live=False, network=False)

    def __init__(self, request: IngestRequest, remembered: Remembered | None = None, *, gaps: bool = False) -> None:
        """Find the files.

        Args:
            request: which, and how they are read.
            remembered: what was settled before of files of the same shape.
            gaps: note what is missing by the calendar.
        """
        self._request = request
        self._remembered = remembered
        self._gaps = gaps
        self._sources, self.left_out = find(request.path)

    def look(self) -> Iterator[Looked]:
        """Each file looked through, in order of names; nothing is published.

        A file whose rows would overwrite others of an earlier one is refused.
        """
        shared = FolderKeys() if len(self._sources) > 1 else None
        try:
            for source in self._sources:
                looked = look_at(source, self._request, self._remembered, gaps=self._gaps)
                if shared is not None:
                    _compare(looked, shared)
                yield looked
        finally:
            if shared is not None:
                shared.close()

    def history(self) -> Iterator[Part]:
        """One part a file, in order of names. A file that is refused is a part without rows that says why.

        Raises:
            ProviderError: the only file is refused.
        """
        alone = len(self._sources) == 1
        told = (f"left out: {', '.join(self.left_out)}",) if self.left_out else ()
        for looked in self.look():
            if looked.refusal is not None:
                if alone:
                    error = UnsureError(looked.refusal)
                    error.questions = tuple(looked.questions)
                    raise error
                yield Part(looked.source.label, iter(()), 0, told, refused=looked.refusal)
            else:
                yield self._part(looked, told)
            told = ()

    def settle(self) -> list[Entry]:
        """Remember what the request says of files that would be refused without it, and are not with it."""
        settled = settled_in(self._request)
        if not settled or self._remembered is None:
            return []
        kept: dict[Shape, Entry] = {}
        bare = without_settled(self._request)
        for source in self._sources:
            try:
                shape = shape_of(open_table(source))
            except ProviderError:
                continue
            if shape in kept or look_at(source, bare).refusal is None or look_at(source, self._request).refusal:
                continue
            kept[shape] = self._remembered.keep(shape, settled, source.name)
        return list(kept.values())

    def _part(self, looked: Looked, told: tuple[str, ...]) -> Part:
        table, reading, found = looked.table, looked.reading, looked.survey
        if table is None or reading is None or found is None:
            raise ProviderError(f"{looked.source.label} was not looked through")
        return Part(
            identity=_identity(looked.source, reading),
            chunks=_chunks(table, reading),
            total=found.messages,
            notes=(*told, *reading.notes(looked.source.label), *found.notes),
        )

    def live(self, start: int = 0) -> Iterator[Chunk]:  # noqa: ARG002  # the protocol's signature
        """Files do not go on."""
        raise ProviderError("files have no live part")


def from_request(request: IngestRequest) -> FileProvider:
    """The files that a request names, read with what was settled before."""
    return FileProvider(request, Remembered(get_settings().formats_path))


def look_at(
    source: Source, request: IngestRequest, remembered: Remembered | None = None, *, gaps: bool = False
) -> Looked:
    """Find out how a file is read, and look through all of it.

    Where it would be refused and a file of its shape was settled before, it is read as that one.
    """
    looked = _look_once(source, request, gaps=gaps)
    if looked.refusal is None or remembered is None or not remembered.path.is_file():
        return looked
    try:
        entry = remembered.of(shape_of(open_table(source)))
    except ProviderError as error:
        looked.questions.append(Question(str(error)))
        return looked
    if entry is None:
        return looked
    again = _look_once(source, with_settled(request, entry.settled), gaps=gaps)
    told = f"read as {entry.file or entry.name} was: {entry.shown()} (remembered as {entry.name} in {remembered.path})"
    if again.refusal is None and again.reading is not None:
        again.reading = replace(again.reading, notice=(*again.reading.notice, told))
    return again if len(again.questions) <= len(looked.questions) else looked


def _look_once(source: Source, request: IngestRequest, *, gaps: bool) -> Looked:
    looked = Looked(source)
    try:
        looked.table, looked.reading = find_out(source, request)
        looked.survey = survey(
            looked.table,
            looked.reading,
            accept_odd=request.accept_odd,
            sure=request.scale is not None or request.decimal is not None,
            gaps=Gaps(request.calendar) if gaps else None,
        )
        looked.questions = [Question(problem) for problem in looked.survey.problems]
    except UnsureError as error:
        looked.questions = list(error.questions)
    except ProviderError as error:
        looked.questions = [Question(str(error))]
    return looked


def _compare(looked: Looked, shared: FolderKeys) -> None:
    """Refuse a file whose rows would overwrite those of an earlier one; note rows that are in both."""
    if looked.refusal is not None or looked.table is None or looked.reading is None or looked.survey is None:
        return
    problem, note = shared.compare(looked.table, looked.reading, looked.survey.spans)
    if problem:
        looked.questions.append(Question(problem))
    if note:
        looked.survey.notes.append(f"{looked.source.label}: {note}")


def _chunks(table: Table, reading: Reading) -> Iterator[Chunk]:
    for piece in RowReader(reading, table).pieces():
        yield Chunk(piece.rows, piece.odd)


def _identity(source: Source, reading: Reading) -> str:
    """The contents and how they are read, not the name: a copy is the same load."""
    digest = hashlib.sha256(repr(reading).encode())
    digest.update(source.digest().encode())
    return f"csv-{digest.hexdigest()[:16]}"
