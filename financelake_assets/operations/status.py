"""State of a lake: processes, topics, streams, tables, ledger and model in one plain dictionary.

Input: settings. Output: the object that ``financelake status --json`` prints. A part that cannot be read has an
``error`` with the reason; it never looks like an empty answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from financelake_assets.bronze import market_feed_state
from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.feed_choice import followed_providers
from financelake_assets.bronze.feed_state import read_state
from financelake_assets.bronze.offsets import lag
from financelake_assets.bronze.topics import GOLD, watermarks
from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.gold import alerter_state, publisher_state
from financelake_assets.model import overview, registry
from financelake_assets.model.champions import leading
from financelake_assets.operations import deployment, footprint
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.ledger import read_ledger
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.store import StoreError, asked
from financelake_assets.supervision import processes, watchdog
from financelake_assets.supervision.processes import ProcessState
from financelake_assets.supervision.supervisor import Supervisor


def status(settings: Settings) -> dict[str, Any]:
    """The state of a lake.

    Returns:
        ``healthy``, ``processes``, ``topics``, ``streams``, ``tables``, ``ledger``, ``model``, ``markets``, ``feed``,
        ``feeds``, ``published``, ``alerts`` and ``urls``.
    """
    running = process_status(settings)
    topics = topic_status(settings, running)
    streams = stream_status(settings, running)
    away = store_error(settings)  # checked once, not again for each table
    of_tables = _part if away is None else lambda _: away
    ledger = of_tables(lambda: read_ledger(settings, patience_seconds=5).as_dict())
    return {
        "healthy": is_healthy(running, topics, streams, ledger),
        "data_dir": str(settings.data_dir),
        # only the person who deployed the processes knows their addresses
        "urls": {}
        if deployment.elsewhere(settings)
        else {"dashboard": settings.dashboard_url, "dagster": settings.dagster_url},
        "processes": running,
        "topics": topics,
        "streams": streams,
        "tables": {table.full_name: of_tables(partial(table_status, settings, table)) for table in TABLES},
        "ledger": ledger,
        "model": of_tables(lambda: model_status(settings)),
        "markets": of_tables(lambda: overview.of_lake(settings, registry.versions(settings), datetime.now(UTC))),
        "feed": feed_status(settings),
        "feeds": feeds_status(settings),
        "published": published_status(settings),
        "alerts": alerts_status(settings),
    }


def store_error(settings: Settings) -> dict[str, str] | None:
    """Why the object store of the tables does not answer; ``None`` if it does, or if there is none."""
    if settings.store.url is None:
        return None
    try:
        with asked(settings) as files:
            files.list_with_delimiter()
    except StoreError as error:
        return {"error": str(error)}
    return None


def is_healthy(
    running: dict[str, Any], topics: dict[str, Any], streams: dict[str, Any], ledger: dict[str, Any]
) -> bool:
    """Whether every process is healthy, every stream runs or waits for a good reason, and the ledger balances."""
    if "error" in topics or "error" in ledger or not running:
        return False
    behind = any(partition["lag"] for partitions in topics.values() for partition in partitions.values())
    return (
        all(process["healthy"] for process in running.values())
        and all(stream.get("running") or stream.get("waits_for") for stream in streams.values())
        and (ledger["balanced"] or behind)
    )


def process_status(settings: Settings) -> dict[str, Any]:
    """Each supervised process: state, health, restarts, age and memory with its children (shared pages counted once).

    If the processes run elsewhere: those servers that can be asked, and whether they answer.
    """
    if deployment.elsewhere(settings):
        # the check of the object store writes to it; the tables' status shows whether it can be read
        checks = deployment.checks(settings).items()
        servers = [(name, check) for name, check in checks if check != deployment.object_store]
        return {name: _server_status(name, check, settings) for name, check in servers}
    states, seen = Supervisor(settings).states(), watchdog.read_health(settings)
    # a lake that runs may lack a process that a new setting or a first rule alert asks for
    why = "was asked for after the start: `financelake up` starts it" if states else "the lake does not run"
    known = processes.of_lake(settings)
    # the lake may have been started with other settings than those of this command
    others = {name: processes.Process(name, name, 0, None, 0) for name in states if name not in known}
    described = {}
    for name, process in {**known, **others}.items():
        state = states.get(name, ProcessState(name, "STOPPED", 0, 0.0, why))
        problem = process.problem(state)
        health = seen.get(name, watchdog.ProcessHealth())
        described[name] = {
            "title": process.title,
            "state": state.state.lower(),
            "healthy": problem is None,
            "problem": problem,
            "restarts": health.restarts,
            "pid": state.pid or None,
            "uptime_seconds": round(time.time() - state.started_at) if state.pid else None,
            "memory_mb": _memory_mb(state.pid) if state.pid else None,
        }
    return described


def _server_status(name: str, check: Callable[[Settings], str], settings: Settings) -> dict[str, Any]:
    unknown = dict.fromkeys(("restarts", "pid", "uptime_seconds", "memory_mb"))
    try:
        check(settings)
    except FinanceLakeError as problem:
        return {"title": name, "state": "away", "healthy": False, "problem": str(problem), **unknown}
    return {"title": name, "state": "answers", "healthy": True, "problem": None, **unknown}


def _memory_mb(pid: int) -> int | None:
    members = footprint.family(pid)
    return round(footprint.memory_bytes(members) / 2**20) if members else None


def topic_status(settings: Settings, running: dict[str, Any]) -> dict[str, Any]:
    """Low and high watermark, the first offset that silver has not committed, and the lag, by topic and partition."""
    broker = running.get("broker")
    if broker is not None and not broker["healthy"]:  # another lake's broker may answer on the same port
        return {"error": f"Kafka: {broker['problem']}"}
    return _part(lambda: _topics(settings))


def _topics(settings: Settings) -> dict[str, Any]:
    marks, consumed = watermarks(settings), consumed_offsets(settings)
    behind = lag(consumed, marks)
    return {
        topic: {
            str(partition): {
                "low": low,
                "high": high,
                "consumed": consumed.get(topic, {}).get(partition, 0),
                "lag": behind[topic][partition],
            }
            for partition, (low, high) in partitions.items()
        }
        for topic, partitions in marks.items()
    }


def stream_status(settings: Settings, running: dict[str, Any]) -> dict[str, Any]:
    """Each continuous query by name; the reason for each if the Spark server does not answer."""
    from financelake_assets.streams import client as streams

    spark = running.get("spark")
    if spark is not None and not spark["healthy"]:
        return {name: {"running": False, "error": f"Spark: {spark['problem']}"} for name in streams.QUERIES}
    try:
        return {entry.pop("name"): entry for entry in streams.stream_status(settings)}
    except Exception as error:  # shown, not swallowed: status must describe a broken lake too
        return {name: {"running": False, "error": str(error)} for name in streams.QUERIES}


def table_status(settings: Settings, table: TableSpec) -> dict[str, Any]:
    """Rows, Delta version and newest time of a table; all empty before the first write."""
    facts = table.facts(settings)
    if facts is None:
        return {"rows": 0, "version": None, "newest_event_time": None}
    newest = facts.newest.isoformat() if facts.newest else None
    return {"rows": facts.rows, "version": facts.version, "newest_event_time": newest}


def model_status(settings: Settings) -> dict[str, Any]:
    """The champion of the settings' interval, or else the one promoted last; empty before the first training."""
    record = leading(registry.versions(settings), settings.model)
    return {} if record is None else json.loads(json.dumps(asdict(record), default=str))


def feed_status(settings: Settings) -> dict[str, Any]:
    """The last report of the lake's own feed; empty if it has not run."""
    state = read_state(settings)
    return {} if state is None else asdict(state)


def feeds_status(settings: Settings) -> dict[str, Any]:
    """By provider, the last report of the feed that follows its symbols; empty where the lake follows none."""
    return {
        provider: {"problem": "has not started"} if state is None else asdict(state)
        for provider in followed_providers(settings)
        for state in [market_feed_state.read_state(settings, provider)]
    }


def published_status(settings: Settings) -> dict[str, Any]:
    """By topic of gold, the version of its table up to which it is complete, and a problem; empty if it never ran."""
    state = publisher_state.read_state(settings)
    if state is None:
        return {}
    return {topic: {"version": state.versions.get(topic), "problem": state.problems.get(topic)} for topic in GOLD}


def alerts_status(settings: Settings) -> dict[str, Any]:
    """The last report of the alerter: how far each rule is, which alerts wait, and problems; empty if it never ran."""
    state = alerter_state.read_state(settings)
    return {} if state is None else asdict(state)


def _part(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except (BrokerUnavailableError, OSError, RuntimeError, ValueError) as error:
        return {"error": str(error)}
