"""Bronze in Dagster: the sources of data, and one asset for each topic."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from financelake_assets.bronze.contents import contents
from financelake_assets.bronze.ingest import IngestRequest, ingest
from financelake_assets.bronze.offsets import Watermarks
from financelake_assets.config import ASSET_CLASSES, Settings
from financelake_assets.defs.bronze import feeds
from financelake_assets.defs.resources import RETRIES, LakeResource, TopicsResource
from financelake_assets.defs.table_assets import OWNERS
from financelake_assets.silver.checkpoint import consumed_offsets

PROVIDERS = [
    *feeds.MARKETS,
    *(
        dg.AssetSpec(
            ["providers", name],
            group_name="providers",
            kinds={kind},
            owners=OWNERS,
            description=description,
        )
        for name, kind, description in (
            ("replay", "file", "Real market history that comes with FinanceLake, replayed as if it were live."),
            ("csv", "csv", "A user's own CSV or Parquet files, by `financelake ingest`."),
        )
    ),
]


def topic_key(topic: str) -> dg.AssetKey:
    """Asset key of a topic: ``bronze.stock`` → ``bronze/stock``."""
    return dg.AssetKey(topic.split("."))


TOPICS = tuple(
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
)


TOPIC_KEYS = [spec.key for spec in TOPICS]


def topic_metadata(topic: str, watermarks: Watermarks) -> dict[str, Any]:
    """Watermarks and message count of a topic, as Dagster metadata."""
    partitions = watermarks[topic]
    return {
        "messages": sum(high - low for low, high in partitions.values()),
        "watermarks": {str(partition): {"low": low, "high": high} for partition, (low, high) in partitions.items()},
    }


@dg.multi_asset(specs=TOPICS, can_subset=True, name="bronze_topics")
def bronze_topics(
    context: dg.AssetExecutionContext, lake: LakeResource, topics: TopicsResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Create missing topics, correct the settings of the others, and report their contents."""
    found = {one.topic: one for one in topics.ensure()}
    watermarks = topics.watermarks()
    consumed = consumed_offsets(lake.settings)
    for topic in watermarks:
        if topic_key(topic) not in context.selected_asset_keys:
            continue
        inside = contents(lake.settings, topic, {"silver": consumed.get(topic, {})})
        reconciled = found[topic]
        for drift in reconciled.drift:
            context.log.warning(f"{topic}: {drift}")
        yield dg.MaterializeResult(
            asset_key=topic_key(topic),
            metadata={
                **topic_metadata(topic, watermarks),
                "created": reconciled.created,
                "changed": {name: f"{old} → {new}" for name, (old, new) in reconciled.changed.items()},
                "drift": list(reconciled.drift),
                "bytes_on_disk": inside.bytes_on_disk,
                "messages_per_second": inside.messages_per_second,
                "newest_event_time": inside.newest_event_time,
                "newest_produced_at": inside.newest_produced_at,
                "lag": dict(inside.lag),
                "samples": inside.samples,
            },
        )


# -- history, loaded and back-filled from Dagster's page ------------------------------------------------

FIRST_YEAR = 1986
YEARS = dg.TimeWindowPartitionsDefinition(start=str(FIRST_YEAR), cron_schedule="0 0 1 1 *", fmt="%Y", end_offset=1)
HISTORY = dg.MultiPartitionsDefinition(
    {"asset_class": dg.StaticPartitionsDefinition(list(ASSET_CLASSES)), "year": YEARS}
)


class HistoryConfig(dg.Config):
    """Which history a run loads; the fields are those of ``financelake ingest``."""

    provider: str = Field("replay", description="replay, csv, synthetic, yfinance, or a provider of another package")
    path: str | None = Field(None, description="csv: a file or folder below <data_dir>/import or dagster.import_dirs")
    asset_class: str | None = Field(None, description="csv: the asset class of the symbols, if the guess is wrong")
    interval: str | None = Field(None, description="1d, 1h, 1m …, or tick")
    symbol: str | None = Field(None, description="csv: the symbol of a file without a symbol column")
    symbols: list[str] = Field([], description="only these symbols; needed for yfinance")
    columns: dict[str, str] = Field({}, description="csv: field → the file's column")
    timezone: str | None = Field(None, description="csv: the zone of times that name none; UTC where nothing tells it")
    time_format: str | None = Field(None, description="csv: strptime format of the times, where the guess is wrong")
    decimal: str | None = Field(None, description="csv: the decimal sign, where the file leaves it open")
    thousands: str | None = Field(None, description="csv: the thousands' separator")
    scale: float | None = Field(None, description="csv: what prices are multiplied with")
    format: str | None = Field(None, description="csv: one of `financelake formats`")


@dg.asset(
    key=["bronze", "history"],
    deps=[spec.key for spec in PROVIDERS],
    group_name="bronze",
    kinds={"kafka", "python"},
    owners=OWNERS,
    partitions_def=HISTORY,
    # one run publishes all the years of a back-fill, because the start of a run takes longer than the load of a year
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="bronze_history",
    retry_policy=RETRIES,
)
def bronze_history(
    context: dg.AssetExecutionContext, config: HistoryConfig, lake: LakeResource
) -> dg.MaterializeResult[None]:
    """A provider's history on the topics, by asset class and year; rows that are there are not published again."""
    refuse_path(config.path, lake.settings)
    totals = {"rows": 0, "published": 0, "known": 0, "odd": 0, "dead": 0}
    symbols: set[str] = set()
    refused: dict[str, None] = {}
    newest = YEARS.get_partition_keys()[-1]
    for key in context.partition_keys:
        # each partition is a separate load, so that any back-fill finds what another one has published
        result = ingest(history_request(config, key, newest), lake.settings)
        for note in result.notes:
            context.log.info(note)
        for one in result.refused:
            context.log.error(f"refused: {one}")
        context.log.info(f"{key}: {result.published} published, {result.known} known before")
        totals = {name: count + getattr(result, name) for name, count in totals.items()}
        symbols |= result.symbols
        refused |= dict.fromkeys(result.refused)
    if refused:
        raise dg.Failure(
            f"{len(refused)} files were refused and are not published; {totals['published']} rows of others are. "
            + "; ".join(refused),
            metadata={**totals, "symbols": sorted(symbols), "refused": list(refused)},
            allow_retries=False,
        )
    return dg.MaterializeResult(metadata={**totals, "symbols": sorted(symbols)})


def refuse_path(path: str | None, settings: Settings) -> None:
    """Refuse a file that runs may not load, because every visitor of Dagster's page could then read any file.

    Raises:
        dg.Failure: the path, after following its links, is in none of the allowed folders.
    """
    if path is None:
        return
    allowed = [
        folder.expanduser().resolve() for folder in (settings.data_dir / "import", *settings.dagster.import_dirs)
    ]
    if not any(Path(path).resolve().is_relative_to(folder) for folder in allowed):
        raise dg.Failure(
            f"A run may not load {path}. Put the file into {settings.data_dir / 'import'}, name its folder in "
            "FINANCELAKE_DAGSTER__IMPORT_DIRS, or load it with `financelake ingest`.",
            allow_retries=False,
        )


def history_request(config: HistoryConfig, partition: str, newest: str) -> IngestRequest:
    """The request to the provider for a partition, such as ``crypto|2015``; the newest year has no end."""
    asset_class, start, end = span_of(partition, newest)
    return IngestRequest.model_validate(
        {
            # what is not said is left out: a zone that is said, even UTC, overrules what a file says of its own
            **config.model_dump(exclude_none=True),
            "only_class": asset_class,
            "start": start,
            "end": end,
        }
    )


def span_of(partition: str, newest: str) -> tuple[str, datetime, datetime | None]:
    """Asset class, begin and end of a partition of ``HISTORY``, such as ``crypto|2015``; the newest year has no end."""
    asset_class, year = partition.split("|")
    end = None if year == newest else datetime(int(year) + 1, 1, 1, tzinfo=UTC)
    return asset_class, datetime(int(year), 1, 1, tzinfo=UTC), end
