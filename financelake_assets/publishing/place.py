"""How far a table is published: what the publisher stores in Kafka beside the rows.

A place names the table and the topic by their ids: a table or a topic that was made again begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True)
class Place:
    """Every commit before ``version`` is published, and the first ``rows`` rows of that one.

    ``whole``: not the rows of a commit are meant, but all rows of that version; so a table begins whose log no longer
    has its first commits.
    """

    table: str
    topic: str
    version: int
    rows: int = 0
    whole: bool = False

    def encoded(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decoded(cls, text: bytes) -> Place:
        """From JSON.

        Raises:
            msgspec.ValidationError: it is no place.
        """
        return msgspec.json.decode(text, type=cls)
