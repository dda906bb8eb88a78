"""``financelake ingest`` and Dagster's history loads: what a user asked for, published once, with progress.

Input: an ``IngestRequest``. Output: its rows on bronze, its symbols in the universe, and a result in numbers. A load
that was cut short goes on where it stopped when the same is asked for again; one that was finished publishes nothing.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import and_

import polars as pl
from filelock import FileLock, Timeout

from financelake_assets.bronze.load import Load
from financelake_assets.bronze.price_units import PriceUnits
from financelake_assets.bronze.topics import ensure_topics
from financelake_assets.bronze.trade_load import TradeLoad
from financelake_assets.config import ASSET_CLASSES, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.providers.base import Chunk, OddRow, Part, Provider, skip_rows
from financelake_assets.providers.exchanges.provider import ExchangeProvider, LiveReport
from financelake_assets.providers.registry import make_provider
from financelake_assets.providers.request import IngestRequest

__all__ = ["IngestProgress", "IngestRequest", "IngestResult", "ingest"]

GIVE_UP_SECONDS = 120.0


@dataclass(frozen=True)
class IngestProgress:
    """How far an ingestion is; ``total`` is ``None`` where nobody knows. ``note`` is news for the user, once.

    ``live`` says how following an exchange's trades goes.
    """

    load: str
    rows: int
    total: int | None
    note: str | None = None
    live: LiveReport | None = None


@dataclass
class IngestResult:
    """What an ingestion did: ``rows`` wanted, ``published`` now, ``known`` from before, ``dead`` as too large.

    ``newest`` is the latest event time of the rows wanted. ``units`` says in words what the prices of each symbol are
    in, where the provider tells.
    """

    provider: str
    loads: list[str] = field(default_factory=list)
    rows: int = 0
    published: int = 0
    known: int = 0
    odd: int = 0
    dead: int = 0
    symbols: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    newest: datetime | None = None
    units: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, chosen: Chunk) -> None:
        """Take note of rows that were wanted."""
        self.rows += len(chosen)
        self.odd += len(chosen.odd)
        if chosen.rows.is_empty():
            return
        self.symbols |= set(chosen.rows["symbol"].drop_nulls().unique())
        latest = chosen.rows["event_time"].max()
        if isinstance(latest, datetime):
            self.newest = latest if self.newest is None else max(self.newest, latest)


class LoadRunningError(FinanceLakeError, RuntimeError):
    """Another process is publishing the same rows."""


def ingest(
    request: IngestRequest,
    settings: Settings,
    progress: Callable[[IngestProgress], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> IngestResult:
    """Publish what was asked for.

    Args:
        request: provider and rows.
        settings: the lake; missing topics are created.
        progress: called at every chunk, and with a note at every guess.
        stopping: asked between chunks and while waiting for the broker; true ends it early, to be continued.

    Raises:
        ProviderError: the provider cannot give what was asked for.
        AssetClassError: a symbol is already known as something else.
        BrokerUnavailableError: the broker does not answer.
        DeliveryError: the broker went away for longer than two minutes; asking again continues.
        LoadRunningError: another process is publishing the same.
        Stopped: the caller asked to stop while the broker was away.
    """
    begun = time.monotonic()
    provider = make_provider(request)
    result = IngestResult(request.provider)
    ensure_topics(settings)
    units = PriceUnits(settings, provider)
    for part in provider.history():
        for note in part.notes:
            result.notes.append(note)
            progress(IngestProgress(part.identity, 0, part.total, note))
        if part.refused is not None:
            result.refused.append(part.refused)
            progress(IngestProgress(part.identity, 0, None, f"refused: {part.refused}"))
            continue
        _publish_part(part, request, settings, result, progress, stopping, units)
        if stopping():
            break
    if request.live and not stopping():
        _publish_live(provider, request, settings, result, progress, stopping, units)
    for note in units.reminders(result.symbols):
        result.notes.append(note)
        progress(IngestProgress("", result.rows, None, note))
    result.units = units.words
    result.seconds = time.monotonic() - begun
    return result


def refresh(request: IngestRequest, settings: Settings, load: Load, after: datetime) -> IngestResult:
    """Publish the bars that are newer than the newest one known, into a load that stays open for what is new.

    Args:
        request: provider, symbol and interval; its start is where to ask from.
        settings: the lake.
        load: of the feed that keeps bars up to date. A load of its own for each new bar would be a record for each.
        after: the start of the newest bar known.

    Raises:
        ProviderError, AssetClassError, DeliveryError, Stopped: as ``ingest``.
    """
    result = IngestResult(request.provider, [load.name])
    provider = make_provider(request)
    units = PriceUnits(settings, provider)
    for part in provider.history():
        result.notes += part.notes
        for chunk in part.chunks:
            chosen = select(chunk, request)
            fresh = Chunk(chosen.rows.filter(pl.col("event_time") > after), chosen.odd)
            result.count(fresh)
            result.published += load.publish(fresh)
            units.note(fresh)
    load.record()
    result.units = units.words
    return result


def _publish_part(
    part: Part,
    request: IngestRequest,
    settings: Settings,
    result: IngestResult,
    progress: Callable[[IngestProgress], None],
    stopping: Callable[[], bool],
    units: PriceUnits,
) -> None:
    name = part.identity + _selection_name(request)
    with (
        _only_one(settings, name),
        Load(settings, name, request.provider, give_up_seconds=GIVE_UP_SECONDS, stopping=stopping) as load,
    ):
        known = load.published
        result.loads.append(name)
        rows = 0
        if known:
            progress(IngestProgress(name, 0, part.total, f"{known} rows were published before"))

        def seen() -> Iterator[Chunk]:
            nonlocal rows
            for chunk in part.chunks:
                rows += len(chunk)
                chosen = select(chunk, request)
                result.count(chosen)
                yield chosen
                progress(IngestProgress(name, rows, part.total))

        for chunk in skip_rows(seen(), known):
            result.published += load.publish(chunk)
            units.note(chunk)
            if stopping():
                break
        load.record()
        result.known += known
        result.dead += load.deliveries.dead


def _publish_live(
    provider: Provider,
    request: IngestRequest,
    settings: Settings,
    result: IngestResult,
    progress: Callable[[IngestProgress], None],
    stopping: Callable[[], bool],
    units: PriceUnits,
) -> None:
    with _live_load(provider, request, settings, stopping) as load:
        report = None
        if isinstance(provider, ExchangeProvider) and isinstance(load, TradeLoad):
            provider.resume(load.ids)
            load.ids, report = provider.ids, provider.report
        result.loads.append(load.name)
        for chunk in provider.live():
            chosen = select(chunk, request)
            result.published += load.publish(chosen)
            units.note(chosen)
            result.count(chosen)
            progress(IngestProgress(load.name, result.rows, None, live=report))
            if stopping():
                break
        load.record()


@contextmanager
def _live_load(
    provider: Provider, request: IngestRequest, settings: Settings, stopping: Callable[[], bool]
) -> Iterator[Load | TradeLoad]:
    if isinstance(provider, ExchangeProvider):
        name = f"{request.provider}-trades"
        with _only_one(settings, name), TradeLoad(settings, name, request.provider, stopping=stopping) as trades:
            yield trades
        return
    # what happens now happens once: a load of its own each time
    name = f"{request.provider}-live-{time.time_ns()}"
    with Load(settings, name, request.provider, stopping=stopping) as load:
        yield load


def select(chunk: Chunk, request: IngestRequest) -> Chunk:
    """The rows of a chunk that a request's classes, symbols and times let through.

    What cannot be told of a row must not lose it, nor publish it with every part of a history: without a symbol it may
    be of any, without a class it counts to the first one, and without a time it is the newest.
    """
    conditions = []
    if request.asset_class:
        conditions.append(pl.col("asset_class") == request.asset_class)
    if request.only_class:
        stated = pl.col("asset_class")
        known = pl.when(stated.is_in(ASSET_CLASSES)).then(stated).otherwise(pl.lit(ASSET_CLASSES[0]))
        conditions.append(known == request.only_class)
    if request.symbols:
        conditions.append(pl.col("symbol").is_in(request.symbols))
    if request.start:
        conditions.append((pl.col("event_time") >= request.start).fill_null(request.end is None))
    if request.end:
        conditions.append(pl.col("event_time") < request.end)
    if not conditions:
        return chunk
    odd = tuple(row for row in chunk.odd if _lets_through(request, row))
    return Chunk(chunk.rows.filter(reduce(and_, conditions)), odd)


def _lets_through(request: IngestRequest, row: OddRow) -> bool:
    """As ``select`` for an odd row, whose values may be anything."""
    time, stated = row.get("event_time"), row.get("asset_class")
    if not isinstance(time, datetime):
        timely = request.end is None
    else:
        timely = (request.start is None or time >= request.start) and (request.end is None or time < request.end)
    known = stated if stated in ASSET_CLASSES else ASSET_CLASSES[0]
    symbol = not request.symbols or row.get("symbol") in (None, *request.symbols)
    return timely and symbol and request.only_class in (None, known)


def _selection_name(request: IngestRequest) -> str:
    """Part of a load's name: another selection of the same source is another load."""
    chosen = (request.asset_class, request.only_class, sorted(request.symbols), request.start, request.end)
    if not any(chosen):
        return ""
    return "-" + hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]


@contextmanager
def _only_one(settings: Settings, name: str) -> Iterator[None]:
    folder = settings.run_dir
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"load-{re.sub(r'[^A-Za-z0-9.-]', '_', name)}.lock", timeout=0):
            yield
    except Timeout as error:
        raise LoadRunningError(f"{name} is being published by another process; wait for it, or end it") from error
