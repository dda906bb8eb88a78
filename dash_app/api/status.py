"""What the API says of the lake: its tables, its feed, its champions.

Input: the page's snapshot. Output: JSON. It asks no broker and no Spark; ``financelake status --json`` does.
"""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from dash_app.data.champion import champions, leading
from dash_app.data.lake_reader import Snapshot

_CHAMPION = ("model_version", "status", "verdict", "trained_at", "promoted_at", "interval", "horizon")


def status(snapshot: Snapshot) -> bytes:
    """The lake at one moment."""
    return orjson.dumps(snapshot.once("status of the API", lambda: _status(snapshot)), option=orjson.OPT_UTC_Z)


def _status(snapshot: Snapshot) -> dict[str, object]:
    record = leading(snapshot)
    return {
        "loaded": snapshot.loaded,
        "as_of": datetime.now(UTC),
        "newest_bar": snapshot.newest,
        "feed": {"phase": snapshot.feed.phase, "progress": snapshot.feed.progress},
        "tables": [
            {
                "name": table.name.replace("/", "."),
                "rows": table.rows,
                "version": table.version,
                "bytes": table.size,
                "newest": table.newest,
            }
            for table in snapshot.inventory.tables
        ],
        "model": None if record is None else {name: record[name] for name in _CHAMPION},
        "models": [{name: row[name] for name in _CHAMPION} for row in champions(snapshot).values()],
        "problems": snapshot.problems,
    }
