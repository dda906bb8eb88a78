"""What the alerter must not lose: how far each rule is, and the alerts that no address has taken yet.

Input: places, remembered rows and messages. Output: the same, after a kill at any moment. It is one SQLite file. A
rule's place and the alerts up to it are one transaction, so each alert is in the outbox once. An alert leaves the
outbox after its address has taken it: a kill between the two sends it again.
"""

from __future__ import annotations

import io
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from financelake_assets.alerting.messages import Chart, Message
from financelake_assets.config import Settings

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rules (
    name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, table_id TEXT NOT NULL, version INTEGER NOT NULL, seen BLOB
);
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL, alert TEXT NOT NULL, rule TEXT NOT NULL,
    title TEXT NOT NULL, text TEXT NOT NULL, since REAL NOT NULL, held INTEGER NOT NULL DEFAULT 0, chart TEXT,
    UNIQUE (address, alert)
);
"""
KEEP_SECONDS = 7 * 86_400.0
"""How long an alert waits for an address that takes none."""


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a rule is: the table by its id, the version up to which it was evaluated, and the remembered rows."""

    fingerprint: str
    table_id: str
    version: int
    seen: pl.DataFrame


@dataclass(frozen=True)
class Waiting:
    """An alert that an address has not taken. ``held``: quiet hours held it."""

    number: int
    message: Message
    held: bool


class Outbox:
    """The alerter's file. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        settings.run_dir.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._open = sqlite3.connect(place(settings), check_same_thread=False, timeout=30)
        self._open.execute("PRAGMA synchronous = FULL")
        self._open.executescript(_SCHEMA)
        columns = {row[1] for row in self._open.execute("PRAGMA table_info(outbox)")}
        if "chart" not in columns:  # an earlier release made the file
            self._open.execute("ALTER TABLE outbox ADD COLUMN chart TEXT")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._open.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._open:
            yield self._open

    def progress(self, rule: str) -> Progress | None:
        """How far a rule is; ``None`` where it has not begun."""
        with self._transaction() as db:
            row = db.execute(
                "SELECT fingerprint, table_id, version, seen FROM rules WHERE name = ?", (rule,)
            ).fetchone()
        if row is None:
            return None
        fingerprint, table_id, version, seen = row
        return Progress(fingerprint, table_id, version, pl.read_ipc(io.BytesIO(seen)))

    def advance(self, progress: dict[str, Progress], messages: Iterable[tuple[str, Message]]) -> None:
        """Note how far rules are, and what is to be sent to which address, together."""
        places = [
            (rule, one.fingerprint, one.table_id, one.version, _encoded(one.seen)) for rule, one in progress.items()
        ]
        now = time.time()
        rows = [(address, one.id, one.rule, one.title, one.text, now, _as_text(one.chart)) for address, one in messages]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO rules VALUES (?, ?, ?, ?, ?)", places)
            db.executemany(
                "INSERT OR IGNORE INTO outbox (address, alert, rule, title, text, since, chart) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def forget(self, rules: Sequence[str]) -> list[str]:
        """Drop everything of rules that are no longer declared; the names of those that had something."""
        with self._transaction() as db:
            known = {row[0] for row in db.execute("SELECT name FROM rules UNION SELECT rule FROM outbox")}
            gone = sorted(known - set(rules))
            for name in gone:
                db.execute("DELETE FROM rules WHERE name = ?", (name,))
                db.execute("DELETE FROM outbox WHERE rule = ?", (name,))
        return gone

    def waiting(self, address: str) -> list[Waiting]:
        """The alerts that an address has not taken, oldest first."""
        query = "SELECT number, held, chart, alert, rule, title, text FROM outbox WHERE address = ? ORDER BY number"
        with self._transaction() as db:
            rows = db.execute(query, (address,)).fetchall()
        return [
            Waiting(number, Message(alert, rule, title, text, _of_text(chart)), bool(held))
            for number, held, chart, alert, rule, title, text in rows
        ]

    def counts(self) -> dict[str, int]:
        """How many alerts wait, by the name of their address."""
        with self._transaction() as db:
            return dict(db.execute("SELECT address, count(*) FROM outbox GROUP BY address ORDER BY address"))

    def hold(self, numbers: Sequence[int]) -> None:
        """Note that quiet hours hold some alerts."""
        with self._transaction() as db:
            db.executemany("UPDATE outbox SET held = 1 WHERE number = ?", [(number,) for number in numbers])

    def taken(self, numbers: Sequence[int]) -> None:
        """Some alerts were taken by their address."""
        with self._transaction() as db:
            db.executemany("DELETE FROM outbox WHERE number = ?", [(number,) for number in numbers])

    def expire(self, now: float) -> int:
        """Drop alerts that have waited for a week; how many."""
        with self._transaction() as db:
            return db.execute("DELETE FROM outbox WHERE since < ?", (now - KEEP_SECONDS,)).rowcount


def place(settings: Settings) -> Path:
    """The alerter's file."""
    return settings.run_dir / "alerts.db"


def _as_text(chart: Chart | None) -> str | None:
    return None if chart is None else json.dumps([chart.symbol, chart.interval, chart.at.isoformat()])


def _of_text(text: str | None) -> Chart | None:
    if text is None:
        return None
    symbol, interval, at = json.loads(text)
    return Chart(symbol, interval, datetime.fromisoformat(at))


def _encoded(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_ipc(buffer)
    return buffer.getvalue()
