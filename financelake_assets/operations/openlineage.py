"""Sends a lake's lineage to a file or to an OpenLineage server: each commit of a table, and each Dagster run.

Input: the tables' logs, and runs. Output: events, and how far they are sent. An event is sent at least once, and what
could not be sent is sent later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import structlog
from openlineage.client import event_v2 as ol
from openlineage.client.transport.file import FileConfig, FileTransport
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport

from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings
from financelake_assets.operations.openlineage_events import JobRun, of_commit, of_run
from financelake_assets.query import commits
from financelake_assets.storage.delta import TableSpec

_HTTP_SECONDS = 5.0
_LONGEST_SECONDS = 20.0

log = structlog.get_logger()

Places = Mapping[str, tuple[str, int]]
"""By table, its id in Delta and the last version that was sent."""


class Transport(Protocol):
    """Takes events; raises where one could not be delivered."""

    def emit(self, event: ol.RunEvent) -> object:
        """Deliver one."""


class Sent(NamedTuple):
    """How far it is: the tables' places, until when runs are sent, how many events went out, and what stopped it."""

    tables: dict[str, tuple[str, int]]
    runs_until: float
    events: int
    problem: str | None


def transport_of(settings: Settings) -> Transport | None:
    """Where the settings want the events; ``None`` where they want none."""
    lineage = settings.lineage
    if lineage.url is not None:
        config = HttpConfig(url=lineage.url, timeout=_HTTP_SECONDS)
        if lineage.api_key is not None:
            config.auth = ApiKeyTokenProvider({"api_key": lineage.api_key.get_secret_value()})
        return HttpTransport(config)
    if lineage.file is not None:
        lineage.file.parent.mkdir(parents=True, exist_ok=True)
        return FileTransport(FileConfig(log_file_path=str(lineage.file), append=True))
    return None


def send(
    settings: Settings,
    transport: Transport,
    places: Places,
    runs: Iterable[tuple[float, JobRun]],
    runs_until: float,
    clock: Callable[[], float] = time.monotonic,
) -> Sent:
    """Send what is new, for at most twenty seconds; the next call goes on there.

    Args:
        settings: the lake.
        transport: where to.
        places: of the call before.
        runs: those that changed since the call before, in the order of their change, each with its time.
        runs_until: of the call before.
        clock: seconds, for the limit.
    """
    tables, events, until = dict(places), 0, clock() + _LONGEST_SECONDS
    try:
        for spec in TABLES:
            for event, place in _of_table(spec, settings, tables.get(spec.full_name)):
                transport.emit(event)
                tables[spec.full_name], events = place, events + 1
                if clock() > until:
                    return Sent(tables, runs_until, events, None)
        for changed, run in runs:
            for event in of_run(run, settings):
                transport.emit(event)
                events += 1
            runs_until = max(runs_until, changed)
            if clock() > until:
                break
    except Exception as error:  # the client raises its own library's errors; what is not sent stays to be sent
        return Sent(tables, runs_until, events, f"{type(error).__name__}: {error}")
    return Sent(tables, runs_until, events, None)


def _of_table(
    spec: TableSpec, settings: Settings, place: tuple[str, int] | None
) -> Iterator[tuple[ol.RunEvent, tuple[str, int]]]:
    """The commits after a place; of a table that is new to the reader, the newest alone."""
    table = spec.open(settings)
    if table is None:
        return
    table_id, newest = str(table.metadata().id), table.version()
    first = newest if place is None or place[0] != table_id else place[1] + 1
    for version in range(first, newest + 1):
        commit = commits.commit(spec, settings, version)
        if commit is None:
            log.warning("a commit is no longer kept, so its lineage is not sent", table=spec.full_name, version=version)
            continue
        yield of_commit(spec, settings, commit, table_id), (table_id, version)
