"""Repairs: what is to be changed in a refused message so that it can be sent again, as pure functions over its bytes.

Input: the raw bytes and a repair. Output: the bytes to send, and the topic and key that they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from financelake_assets.bronze.topics import BRONZE, topic_of
from financelake_assets.errors import FinanceLakeError


class RepairError(FinanceLakeError, ValueError):
    """A quarantined message cannot be repaired in this way, or is not there."""


@dataclass(frozen=True)
class Repair:
    """How to mend a message: JSON fields to set or take away, or other bytes altogether."""

    fields: Mapping[str, object] = field(default_factory=dict)
    without: Sequence[str] = ()
    bytes_instead: bytes | None = None

    def mend(self, raw: bytes | None) -> bytes:
        """The bytes to send.

        Raises:
            RepairError: fields are to be changed, but the message is not a JSON object.
        """
        if self.bytes_instead is not None:
            return self.bytes_instead
        if raw is None:
            raise RepairError("the message has no value; give it one with --file")
        if not self.fields and not self.without:
            return raw
        value = _json_object(raw)
        if value is None:
            raise RepairError("the message is not a JSON object; send other bytes with --file")
        kept = {name: content for name, content in value.items() if name not in self.without}
        return json.dumps({**kept, **self.fields}, separators=(",", ":"), ensure_ascii=False).encode()


def topic_and_key(value: bytes, topic: str, key: bytes | None) -> tuple[str, bytes]:
    """Where a repaired message belongs: by its own asset class and symbol where it names them, else as it came."""
    fields = _json_object(value) or {}
    stated = topic_of(str(fields.get("asset_class")))
    symbol = fields.get("symbol")
    return (
        stated if stated in BRONZE else topic,
        symbol.strip().upper().encode() if isinstance(symbol, str) and symbol.strip() else (key or b""),
    )


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
