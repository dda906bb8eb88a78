"""The universe file in Dagster: its history by asset class and year, and its refresh by provider.

Input: the universe file. Output: its symbols' bars on bronze, by the code of ``ingest`` and of the feeds. A symbol that
cannot be had leaves the others unharmed; the run fails if none can.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.feed_choice import MixedLakeError, refuse_mixture
from financelake_assets.bronze.ingest import IngestRequest, ingest
from financelake_assets.bronze.producer import DeliveryError
from financelake_assets.bronze.universe_file import Entry, UniverseFileError, read_universe_file, remember
from financelake_assets.config import Settings
from financelake_assets.defs.bronze.assets import HISTORY, YEARS, span_of
from financelake_assets.defs.bronze.feeds import MARKETS
from financelake_assets.defs.resources import RETRIES, LakeResource
from financelake_assets.defs.table_assets import OWNERS
from financelake_assets.errors import FinanceLakeError
from financelake_assets.feeds.bars import request_of
from financelake_assets.feeds.catch_up import FeedRunsError, catch_up, is_left_to_feed

PROVIDER = dg.StaticPartitionsDefinition([spec.key.path[-1] for spec in MARKETS])


@dg.asset(
    key=["bronze", "universe_history"],
    deps=[spec.key for spec in MARKETS],
    group_name="bronze",
    kinds={"kafka", "python"},
    owners=OWNERS,
    partitions_def=HISTORY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="bronze_history",
    retry_policy=RETRIES,
)
def bronze_universe_history(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[None]:
    """The history of the universe file's symbols, by asset class and year, each asked of its provider.

    A feed loads history by itself; this is for lakes without one, and for years that are to be asked for again. Silver
    counts bars that it has as duplicates. What is made of live trades is left to its feed.
    """
    entries = _entries(lake.settings)
    remember(lake.settings, entries)
    newest = YEARS.get_partition_keys()[-1]
    published: dict[str, int] = {}
    problems: dict[str, str] = {}
    for key in context.partition_keys:
        for request in year_requests(entries, key, newest):
            (symbol,) = request.symbols
            try:
                result = ingest(request, lake.settings)
            except (BrokerUnavailableError, DeliveryError):
                raise
            except FinanceLakeError as error:
                problems[f"{symbol} {key}"] = str(error)
                context.log.warning(f"{key}: {error}")
                continue
            published[symbol] = published.get(symbol, 0) + result.published
            for note in result.notes:
                context.log.info(note)
    return _result(published, problems)


def year_requests(entries: list[Entry], partition: str, newest: str) -> list[IngestRequest]:
    """What to ask for of a partition such as ``crypto|2015``, a request each symbol; the newest year has no end.

    No symbol is asked for years before its start.
    """
    asset_class, begin, end = span_of(partition, newest)
    return [
        request_of(entry, max(begin, entry.start or begin), end)
        for entry in entries
        if entry.asset_class == asset_class
        and not is_left_to_feed(entry)
        and (entry.start is None or end is None or entry.start < end)
    ]


@dg.asset(
    key=["bronze", "refresh"],
    deps=[spec.key for spec in MARKETS],
    group_name="bronze",
    kinds={"kafka", "python"},
    owners=OWNERS,
    partitions_def=PROVIDER,
    pool="bronze_history",
    retry_policy=RETRIES,
)
def bronze_refresh(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[None]:
    """The bars of the universe file's symbols that are due by their calendars, by provider, where no feed runs.

    While it loads, the provider's feed does not start; while the feed runs, it refuses.
    """
    _entries(lake.settings)
    try:
        found = catch_up(lake.settings, context.partition_key)
    except FeedRunsError as error:
        raise dg.Failure(f"{error}. Nothing was loaded.", allow_retries=False) from error
    for note in found.notes:
        context.log.info(note)
    for symbol, problem in found.problems.items():
        context.log.warning(f"{symbol}: {problem}")
    return _result(found.published, found.problems, {"units": found.units})


def _entries(settings: Settings) -> list[Entry]:
    """The universe file's symbols, where the lake may have them; asking again would not help if it may not."""
    try:
        refuse_mixture(settings)
        return read_universe_file(settings.universe_path)
    except (MixedLakeError, UniverseFileError) as error:
        raise dg.Failure(" ".join(filter(None, (str(error), error.remedy))), allow_retries=False) from error


def _result(
    published: Mapping[str, int], problems: Mapping[str, str], more: Mapping[str, Any] | None = None
) -> dg.MaterializeResult[None]:
    metadata = {
        "published": sum(published.values()),
        "symbols": dict(published),
        "problems": dict(problems),
        **(more or {}),
    }
    if problems and not published:
        raise dg.Failure("No symbol could be had: " + "; ".join(problems.values()), metadata, allow_retries=False)
    return dg.MaterializeResult(metadata=metadata)
