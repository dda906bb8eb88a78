"""Client of the continuous queries: starts, finds, stops and describes them.

Input: settings and a query's name. Output: a query that runs in the Spark Connect server's fixed session, whichever
process started it. Starting is idempotent: a running query is adopted, another one continues from its checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from financelake_assets.config import Settings
from financelake_assets.gold import query as gold
from financelake_assets.silver import query as silver
from financelake_assets.spark_sessions import streams_session
from financelake_assets.streams.failures import last_failure
from financelake_assets.streams.progress import rates
from financelake_assets.streams.stalls import _started_file, open_batch_of


@dataclass(frozen=True)
class ContinuousQuery:
    """How to start one continuous query, and what it waits for."""

    name: str
    start: Callable[[SparkSession, Settings], StreamingQuery]
    waits_for: Callable[[Settings], str | None]


QUERIES: dict[str, ContinuousQuery] = {
    silver.QUERY: ContinuousQuery(silver.QUERY, silver.start, lambda _: None),
    gold.QUERY: ContinuousQuery(gold.QUERY, gold.start, gold.waits_for),
}


class Streams:
    """A client of the session that owns the continuous queries. It can be kept for long, and reconnects by itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: SparkSession | None = None

    @contextmanager
    def _connected(self) -> Iterator[SparkSession]:
        """The session; dropped after an error, because a restarted server does not know old clients."""
        if self._session is None:
            self._session = streams_session(self._settings)
        try:
            yield self._session
        except Exception:
            self._session = None
            raise

    def active(self) -> dict[str, StreamingQuery]:
        """This lake's running queries by name."""
        with self._connected() as spark:
            return {query.name: query for query in spark.streams.active if query.name in QUERIES}

    def ensure(self, name: str) -> bool:
        """Make sure that the query runs; true if it had to be started.

        Raises:
            Exception: Spark's error, if the query could not be started.
        """
        running = self.active()
        if name in running:
            return False
        with self._connected() as spark:
            QUERIES[name].start(spark, self._settings)
        started = _started_file(self._settings, name)
        started.parent.mkdir(parents=True, exist_ok=True)
        started.touch()
        return True

    def hold(self, name: str) -> bool:
        """Stop the query and keep it stopped until ``release``; true if it was running."""
        _hold_file(self._settings, name).parent.mkdir(parents=True, exist_ok=True)
        _hold_file(self._settings, name).touch()
        return self.stop(name)

    def release(self, name: str) -> bool:
        """End the hold of a query and start it; true if it had to be started."""
        _hold_file(self._settings, name).unlink(missing_ok=True)
        return self.ensure(name)

    def stop(self, name: str) -> bool:
        """Stop the query after the micro-batch's current step; true if it was running."""
        query = self.active().get(name)
        if query is None:
            return False
        query.stop()
        return True

    def reports(self) -> list[dict[str, Any]]:
        """Spark's newest progress reports of all running queries, oldest first."""
        return [json.loads(report.json) for query in self.active().values() for report in query.recentProgress]

    def status(self) -> list[dict[str, Any]]:
        """One entry for each query: name, whether it runs, what it waits for, and its last progress."""
        running = self.active()
        return [_describe(name, running.get(name), self._settings) for name in QUERIES]


def held(settings: Settings, name: str) -> bool:
    """Whether an operator stopped the query on purpose."""
    return _hold_file(settings, name).exists()


def _hold_file(settings: Settings, name: str) -> Path:
    return settings.run_dir / f"stream-{name}.held"


def stream_status(settings: Settings) -> list[dict[str, Any]]:
    """The state of each continuous query, for ``financelake status``."""
    return Streams(settings).status()


def _describe(name: str, query: StreamingQuery | None, settings: Settings) -> dict[str, Any]:
    progress = _progress(query) if query is not None else {}
    failure, batch = last_failure(settings, name), open_batch_of(settings, name) if query is not None else None
    return {
        "name": name,
        "running": query is not None,
        "waits_for": None if query is not None else _waits_for(settings, name),
        "batch_id": progress.get("batchId"),
        **rates(progress),
        "batch_duration_ms": progress.get("durationMs", {}).get("triggerExecution"),
        "last_progress_at": progress.get("timestamp"),
        "open_batch_seconds": None if batch is None else round(batch.seconds, 1),
        "failures": failure.count,
        "error": failure.error if query is None else None,
    }


def _waits_for(settings: Settings, name: str) -> str | None:
    if held(settings, name):
        return "an operator to start it again"
    on_demand = None if settings.streams.continuous else "enough new messages"
    return QUERIES[name].waits_for(settings) or on_demand


def _progress(query: StreamingQuery) -> dict[str, Any]:
    progress = query.lastProgress
    return dict(json.loads(progress.json)) if progress is not None else {}


# -- a batch that does not end ----------------------------------------------------------------------------


# -- failures, stored for `status` -----------------------------------------------------------------------
