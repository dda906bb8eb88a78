"""A user's own files: text, JSON, Parquet, Arrow and Excel, plain, packed or in archives, one or a folder of them.

Enters: text or typed columns. Leaves: every row of them. What can be read is typed; a row with a value that cannot be
is passed on with its text, for silver to say what is wrong with it. A file is looked through before any of it is
published; what could be read wrong is refused with the option that settles it. No network is ever used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from financelake_assets.providers.base import Capabilities, Chunk, Part, ProviderError
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.questions import Question, UnsureError
from financelake_assets.providers.formats.reading import find_out
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.formats.sources import Source, find
from financelake_assets.providers.formats.survey import Survey, survey
from financelake_assets.providers.formats.tables import Table
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

    def __init__(self, request: IngestRequest) -> None:
        self._request = request
        self._sources, self.left_out = find(request.path)

    def look(self) -> Iterator[Looked]:
        """Each file looked through, in order of names; nothing is published."""
        for source in self._sources:
            yield look_at(source, self._request)

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
    """The files that a request names."""
    return FileProvider(request)


def look_at(source: Source, request: IngestRequest) -> Looked:
    """Find out how a file is read, and look through all of it."""
    looked = Looked(source)
    try:
        looked.table, looked.reading = find_out(source, request)
        looked.survey = survey(
            looked.table,
            looked.reading,
            accept_odd=request.accept_odd,
            sure=request.scale is not None or request.decimal is not None,
        )
        looked.questions = [Question(problem) for problem in looked.survey.problems]
    except UnsureError as error:
        looked.questions = list(error.questions)
    except ProviderError as error:
        looked.questions = [Question(str(error))]
    return looked


def _chunks(table: Table, reading: Reading) -> Iterator[Chunk]:
    for piece in RowReader(reading, table).pieces():
        yield Chunk(piece.rows, piece.odd)


def _identity(source: Source, reading: Reading) -> str:
    """The contents and how they are read, not the name: a copy is the same load."""
    digest = hashlib.sha256(repr(reading).encode())
    digest.update(source.digest().encode())
    return f"csv-{digest.hexdigest()[:16]}"
