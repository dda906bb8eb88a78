"""Metrics of a lake for Prometheus: ``python -m financelake_assets.operations.exporter`` serves them at ``/metrics``.

Input: topics, checkpoints and the tables' logs, read at every scrape, without Spark. Output: gauges. If a part cannot
be read, its metrics are missing and its ``financelake_readable`` is 0, so that a failed read never looks like a zero.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from datetime import datetime

import polars as pl
import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from financelake_assets import logs
from financelake_assets.bronze import feed_choice
from financelake_assets.bronze.feed_state import read_state
from financelake_assets.bronze.market_feed_state import STATES
from financelake_assets.bronze.offsets import lag
from financelake_assets.bronze.topics import watermarks
from financelake_assets.catalogue import TABLES
from financelake_assets.config import Settings, get_settings
from financelake_assets.model import registry
from financelake_assets.silver.checkpoint import consumed_offsets
from financelake_assets.silver.ledger import read_ledger
from financelake_assets.streams.progress import PHASES, PROGRESS

log = structlog.get_logger()


class LakeCollector(Collector):
    """Reads the lake at each scrape."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All metrics that can be read now."""
        readable = GaugeMetricFamily(
            "financelake_readable", "Whether a part of the lake could be read", labels=["part"]
        )
        for part, read in _PARTS.items():
            try:
                found = list(read(self._settings))
            except Exception as error:  # a scrape must describe a broken lake too
                log.warning("a part of the lake cannot be read", part=part, problem=str(error))
                readable.add_metric([part], 0)
            else:
                readable.add_metric([part], 1)
                yield from found
        yield readable


def topics(settings: Settings) -> Iterator[GaugeMetricFamily]:
    """The first and the next offset of each bronze partition, and silver's lag."""
    labels = ["topic", "partition"]
    low = GaugeMetricFamily("financelake_topic_low_offset", "First offset that the topic still has", labels=labels)
    high = GaugeMetricFamily("financelake_topic_high_offset", "Offset of the next message", labels=labels)
    behind = GaugeMetricFamily("financelake_topic_lag", "Messages that silver has not committed", labels=labels)
    marks = watermarks(settings)
    waiting = lag(consumed_offsets(settings), marks)
    for topic, partitions in marks.items():
        for partition, (first, following) in partitions.items():
            place = [topic, str(partition)]
            low.add_metric(place, first)
            high.add_metric(place, following)
            behind.add_metric(place, waiting[topic][partition])
    yield from (low, high, behind)


def tables(settings: Settings) -> Iterator[GaugeMetricFamily]:
    """Rows, version and newest event of each table."""
    rows = GaugeMetricFamily("financelake_table_rows", "Rows", labels=["table"])
    version = GaugeMetricFamily("financelake_table_version", "Delta version", labels=["table"])
    newest = GaugeMetricFamily(
        "financelake_table_newest_timestamp_seconds", "Newest event, in seconds since the epoch", labels=["table"]
    )
    for table in TABLES:
        facts = table.facts(settings)
        if facts is None:
            continue
        rows.add_metric([table.full_name], facts.rows)
        version.add_metric([table.full_name], facts.version)
        if facts.newest is not None:
            newest.add_metric([table.full_name], facts.newest.timestamp())
    yield from (rows, version, newest)


def ledger(settings: Settings) -> Iterator[GaugeMetricFamily]:
    """Messages by their place in the ledger; missing ones are a fault."""
    found = read_ledger(settings, patience_seconds=5)
    counts = GaugeMetricFamily("financelake_ledger_messages", "Messages by place in the ledger", labels=["place"])
    for place in ("consumed", "silver", "duplicates", "quarantine", "missing"):
        counts.add_metric([place], getattr(found, place))
    yield counts


def streams(settings: Settings) -> Iterator[GaugeMetricFamily]:
    """The newest micro-batch of each continuous query, as the sensor stored it."""
    newest = PROGRESS.scan(settings).sort("at").group_by("query").last().collect()
    figures = {
        "financelake_stream_rows_per_second": ("processed_rows_per_second", "Rows per second of the newest batch"),
        "financelake_stream_batch_rows": ("input_rows", "Rows of the newest batch"),
        "financelake_stream_batch_milliseconds": ("trigger_ms", "Duration of the newest batch"),
    }
    for metric, (column, text) in figures.items():
        yield _by_query(metric, text, newest, column)
    phases = GaugeMetricFamily(
        "financelake_stream_phase_milliseconds", "Duration of the newest batch by phase", labels=["query", "phase"]
    )
    for row in newest.iter_rows(named=True):
        for phase in PHASES:
            if row[phase] is not None:
                phases.add_metric([row["query"], phase.removesuffix("_ms")], row[phase])
    yield phases
    at = newest.with_columns(pl.col("at").dt.epoch("s").alias("seconds"))
    yield _by_query("financelake_stream_batch_timestamp_seconds", "When the newest batch began", at, "seconds")


def _by_query(metric: str, text: str, newest: pl.DataFrame, column: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric, text, labels=["query"])
    for row in newest.filter(pl.col(column).is_not_null()).iter_rows(named=True):
        family.add_metric([row["query"]], row[column])
    return family


def model(settings: Settings) -> Iterator[GaugeMetricFamily]:
    """Time of each champion's training; absent before the first training."""
    trained = GaugeMetricFamily(
        "financelake_champion_trained_timestamp_seconds",
        "When each market's champion was trained",
        labels=["interval", "model_version"],
    )
    for market, champion in registry.champions(settings).items():
        trained.add_metric([market.name, champion.model_version], champion.trained_at.timestamp())
    yield trained


def feed(settings: Settings) -> Iterator[GaugeMetricFamily]:
    """Progress of the lake's own feed, and the time of its last report."""
    state = read_state(settings)
    if state is None:
        return
    for name, value in (
        ("published_rows", state.published),
        ("total_rows", state.total),
        ("said_timestamp_seconds", datetime.fromisoformat(state.updated_at).timestamp()),
    ):
        yield GaugeMetricFamily(f"financelake_feed_{name}", "Of the lake's own feed", value=value)


_OF_FOLLOWING = {
    "connected": "Whether live trades are being read",
    "per_second": "Trades a second, over the last seconds",
    "trades": "Trades since the feed's start",
    "reconnects": "Connections that were made again since the feed's start",
    "gaps": "Holes that were found in the numbers of trades",
    "missed": "Trades in these holes",
    "filled": "Missed trades that came later",
    "open": "Holes that are being filled",
    "absent": "Numbers for which the exchange has no trade",
}


def feeds(settings: Settings) -> Iterator[GaugeMetricFamily]:
    """How each feed of a market does; absent where the lake follows none."""
    found = feed_choice.reports(settings)
    said = GaugeMetricFamily("financelake_feeds_said_timestamp_seconds", "Of a feed's last report", labels=["provider"])
    states = GaugeMetricFamily("financelake_feeds_symbols", "Symbols by state", labels=["provider", "state"])
    for provider, state in found.items():
        said.add_metric([provider], datetime.fromisoformat(state.updated_at).timestamp())
        for name, count in {**dict.fromkeys(STATES, 0), **state.counts}.items():
            states.add_metric([provider, name], count)
    yield from (said, states)
    for name, text in _OF_FOLLOWING.items():
        family = GaugeMetricFamily(f"financelake_feeds_{name}", text, labels=["provider"])
        for provider, state in found.items():
            if name in state.live:
                family.add_metric([provider], float(state.live[name]))
        yield family


_PARTS: dict[str, Callable[[Settings], Iterator[GaugeMetricFamily]]] = {
    "topics": topics,
    "tables": tables,
    "ledger": ledger,
    "streams": streams,
    "model": model,
    "feed": feed,
    "feeds": feeds,
}


def serve(settings: Settings) -> Callable[[], None]:
    """Serve metrics in a thread; call the returned function to stop."""
    known = CollectorRegistry(auto_describe=False)
    known.register(LakeCollector(settings))
    server, thread = start_http_server(settings.metrics.port + settings.port_offset, settings.host, registry=known)

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return stop


def main() -> None:
    """Serve metrics until the process is told to end."""
    settings, over = get_settings(), threading.Event()
    logs.set_up(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    stop = serve(settings)
    log.info("serving metrics of the lake", port=settings.metrics.port + settings.port_offset)
    over.wait()
    stop()


if __name__ == "__main__":
    main()
