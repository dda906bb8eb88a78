"""Bronze in Dagster: where data comes from, and one asset a topic."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from financelake_assets.automation.decisions import Watermarks
from financelake_assets.config import ASSET_CLASSES
from financelake_assets.resources.dagster import TopicsResource

OWNERS = ["team:data-platform"]

PROVIDERS = [
    dg.AssetSpec(
        ["providers", name],
        group_name="providers",
        kinds={kind},
        owners=OWNERS,
        description=description,
    )
    for name, kind, description in (
        ("replay", "file", "Real market history that comes with FinanceLake, played as if it were live."),
        ("yfinance", "api", "Yahoo Finance, for personal use; contacted only by `financelake ingest`."),
        ("csv", "csv", "A user's own CSV or Parquet files, by `financelake ingest`."),
    )
]


def topic_key(topic: str) -> dg.AssetKey:
    """Asset key of a topic: ``bronze.stock`` → ``bronze/stock``."""
    return dg.AssetKey(topic.split("."))


TOPICS = [
    dg.AssetSpec(
        ["bronze", asset_class],
        deps=[spec.key for spec in PROVIDERS],
        group_name="bronze",
        kinds={"kafka"},
        owners=OWNERS,
        description=f"Kafka topic bronze.{asset_class}: JSON bars and ticks keyed by symbol; transient and bounded.",
        metadata={"dagster/uri": f"kafka:bronze.{asset_class}"},
    )
    for asset_class in ASSET_CLASSES
]


def topic_metadata(topic: str, watermarks: Watermarks) -> dict[str, Any]:
    """Watermarks and message count of a topic, as Dagster metadata."""
    partitions = watermarks[topic]
    return {
        "messages": sum(high - low for low, high in partitions.values()),
        "watermarks": {str(partition): {"low": low, "high": high} for partition, (low, high) in partitions.items()},
    }


@dg.multi_asset(specs=TOPICS, can_subset=True, name="bronze_topics")
def bronze_topics(context: dg.AssetExecutionContext, topics: TopicsResource) -> Iterator[dg.MaterializeResult[None]]:
    """Create the topics that are missing, reconcile the others, and report their watermarks."""
    topics.ensure()
    watermarks = topics.watermarks()
    for topic in watermarks:
        if topic_key(topic) in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=topic_key(topic), metadata=topic_metadata(topic, watermarks))
