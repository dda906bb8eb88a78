"""The silver tables, declared once. Bars are unique by (symbol, interval, event_time).

Every message on bronze ends in exactly one place: one that brought something new is counted in ``messages`` of the
row of ``bars`` or ``ticks`` that it made or corrected, one that repeated it in that table's total of duplicates, any
other is a row of ``quarantine``. The totals lie in each table's log (``writing.py``), where the ledger reads them.
"""

from __future__ import annotations

import pyarrow as pa

from financelake_assets.storage.delta import TIMESTAMP, TableSpec, columns

LINEAGE = {"topic": pa.string(), "partition": pa.int32(), "offset": pa.int64(), "topic_id": pa.string()}
"""The broker's id of a topic tells it from one that was deleted and made again under its name."""

BARS = TableSpec(
    layer="silver",
    name="bars",
    key=("symbol", "interval", "event_time"),
    description="Typed, validated bars, unique by symbol, interval and event_time (UTC start of the bar).",
    schema=columns(
        {
            "symbol": pa.string(),
            "asset_class": pa.string(),
            "interval": pa.string(),
            "event_time": TIMESTAMP,
            "open": pa.float64(),
            "high": pa.float64(),
            "low": pa.float64(),
            "close": pa.float64(),
            "adj_close": pa.float64(),
            "volume": pa.float64(),
            "dividend": pa.float64(),
            "split": pa.float64(),
            "imputed": pa.string(),
            "messages": pa.int64(),
            "trades": pa.int64(),
            "late_trades": pa.int64(),
            # of a bar that the lake built of smaller ones: of how many
            "parts": pa.int64(),
            **LINEAGE,
            "provider": pa.string(),
            "ingested_at": TIMESTAMP,
            "processed_at": TIMESTAMP,
        },
        required=("symbol", "interval", "event_time"),
    ),
    properties={"delta.enableChangeDataFeed": "true"},
    # what cleaning has judged; a bar that breaks one of these is an error in the code, and must not be written
    constraints={
        "price_range": "high >= open AND high >= close AND low <= open AND low <= close",
        "volume_not_negative": "volume IS NULL OR volume >= 0",
    },
)

TICKS = TableSpec(
    layer="silver",
    name="ticks",
    key=("symbol", "event_time", "trade_id"),
    description="Single trades, unique by symbol, event_time and trade_id; the source of the 1m bars.",
    schema=columns(
        {
            "symbol": pa.string(),
            "asset_class": pa.string(),
            "event_time": TIMESTAMP,
            "trade_id": pa.string(),
            "price": pa.float64(),
            "size": pa.float64(),
            "messages": pa.int64(),
            **LINEAGE,
            # of the last topic, made again, that carried a trade without an id once more
            "repeated_on": pa.string(),
            "provider": pa.string(),
            "ingested_at": TIMESTAMP,
            "processed_at": TIMESTAMP,
        },
        required=("symbol", "event_time", "trade_id"),
    ),
    constraints={"size_not_negative": "size IS NULL OR size >= 0"},
)

QUARANTINE = TableSpec(
    layer="silver",
    name="quarantine",
    key=("topic", "partition", "offset", "topic_id"),
    description="Messages that could not become a bar: the raw bytes, the reason and where they came from. Of more "
    "than 1 MiB only the beginning is kept, with the size and hash of all.",
    schema=columns(
        {
            "raw": pa.binary(),
            "raw_size": pa.int64(),
            "raw_sha256": pa.string(),
            "reason": pa.string(),
            **LINEAGE,
            "key": pa.binary(),
            "provider": pa.string(),
            "ingested_at": TIMESTAMP,
            "quarantined_at": TIMESTAMP,
        }
    ),
    time_column="quarantined_at",
)

REPLAYS = TableSpec(
    layer="silver",
    name="replays",
    key=("topic", "partition", "offset", "topic_id"),
    description="Quarantined messages that were sent to bronze again; one without replayed_as was not confirmed.",
    schema=columns(
        {
            **LINEAGE,
            "claim": pa.string(),
            "claimed_at": TIMESTAMP,
            "replayed_as": pa.string(),
        },
        required=("topic", "partition", "offset"),
    ),
    time_column="claimed_at",
)

FINDINGS = TableSpec(
    layer="silver",
    name="findings",
    key=("symbol", "interval", "event_time", "kind"),
    description="What is wrong with a series, not with a message: missing bars by the calendar, prices that jump.",
    schema=columns(
        {
            "symbol": pa.string(),
            "asset_class": pa.string(),
            "interval": pa.string(),
            "event_time": TIMESTAMP,
            "kind": pa.string(),
            "until": TIMESTAMP,
            "missing": pa.int64(),
            "move": pa.float64(),
            "typical": pa.float64(),
        },
        required=("symbol", "interval", "event_time", "kind"),
    ),
)

SOURCES = TableSpec(
    layer="silver",
    name="sources",
    key=("topic", "topic_id", "partition"),
    description="Where silver began to read: one row a partition of every topic that there was under a name.",
    schema=columns(
        {
            "topic": pa.string(),
            "topic_id": pa.string(),
            "partition": pa.int32(),
            "first_offset": pa.int64(),
            "began_at": TIMESTAMP,
        },
        required=("topic", "topic_id", "partition", "first_offset", "began_at"),
    ),
    time_column="began_at",
)
