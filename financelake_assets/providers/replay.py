"""The packaged real history: its past at once, its last part as if it happened now.

Input: ``data/*.csv.gz`` (see ``data/PROVENANCE.md``). Output: every row exactly as its source published it, oddities
included. Each symbol's last days are its live part; the live parts of all symbols are played side by side, although
they lie years apart. Event times are kept.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib.resources import files

import polars as pl

from financelake_assets.providers.base import NUMBERS, Capabilities, Chunk, Instrument, Part, ProviderError, typed
from financelake_assets.providers.request import IngestRequest

INTERVAL = "1d"

_CHUNK_ROWS = 2_000
_SHORTEST_PAUSE = 0.02


class ReplayProvider:
    """Real daily bars of stocks, crypto and commodities that come with the package."""

    name = "replay"
    capabilities = Capabilities(history=True, live=True, network=False)

    def __init__(
        self, live_days: int = 0, bars_per_second: float = 0.0, wait: Callable[[float], object] = time.sleep
    ) -> None:
        """Play the packaged data.

        Args:
            live_days: how many of each symbol's last days are its live part.
            bars_per_second: speed of the live part over all symbols; 0 is as fast as possible.
            wait: waits for so many seconds; a true answer ends the live part.
        """
        self._live_days = live_days
        self._rate = bars_per_second
        self._wait = wait

    def universe(self) -> list[Instrument]:
        """Every symbol in the packaged data."""
        return sorted(Chunk(self._rows).instruments())

    @property
    def total(self) -> int:
        """How many rows there are, history and live part."""
        return self._rows.height

    @property
    def live_rows(self) -> int:
        """How many rows ``live`` yields."""
        return self._present.height

    def history(self) -> Iterator[Part]:
        """Each symbol's history but its live part, in order of time."""
        digest = hashlib.sha256(f"{self._live_days}".encode())
        for file in _data_files():
            digest.update(file)
        # the data and where they are split; the speed does not change what is played
        identity = f"replay-{digest.hexdigest()[:12]}"
        yield Part(identity, map(Chunk, self._past.iter_slices(_CHUNK_ROWS)), self._past.height)

    def live(self, start: int = 0) -> Iterator[Chunk]:
        """The live parts of all symbols side by side, at the chosen speed; the bars of a day come together."""
        left = self._present.slice(start)
        at_once = _CHUNK_ROWS if self._rate == 0 else round(self._rate * _SHORTEST_PAUSE)
        begun, first, count = time.monotonic(), 0, 0
        for bars_of_day in left.group_by("into", maintain_order=True).len()["len"]:
            count += bars_of_day
            if count < at_once and first + count < left.height:
                continue
            # from the beginning, not from the last day: pauses that last too long do not add up
            due = begun + first / self._rate if self._rate else begun
            if self._wait(max(0.0, due - time.monotonic())):
                return
            yield Chunk(left.slice(first, count).drop("into"))
            first, count = first + count, 0

    @cached_property
    def _rows(self) -> pl.DataFrame:
        frames = [pl.read_csv(data, schema_overrides=dict.fromkeys(NUMBERS, pl.Float64())) for data in _data_files()]
        time_of_day = pl.col("date").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC").alias("event_time")
        return typed(pl.concat(frames).with_columns(time_of_day, interval=pl.lit(INTERVAL)))

    @cached_property
    def _split(self) -> pl.DataFrame:
        """All rows with ``into``: how far into its symbol's live part a row lies; negative or zero before it."""
        end = pl.col("event_time").max().over("symbol")
        return self._rows.with_columns(into=pl.col("event_time") - (end - pl.duration(days=self._live_days)))

    @cached_property
    def _past(self) -> pl.DataFrame:
        past = self._split.filter(pl.col("into") <= pl.duration(days=0)).sort("event_time", "symbol")
        return past.drop("into")

    @cached_property
    def _present(self) -> pl.DataFrame:
        return self._split.filter(pl.col("into") > pl.duration(days=0)).sort("into", "symbol")


def from_request(request: IngestRequest) -> ReplayProvider:
    """The packaged data as plain history."""
    if request.live:
        raise ProviderError("the replay is played live by `financelake up`; ingest takes its history")
    if request.interval not in (None, INTERVAL):
        raise ProviderError(f"the packaged history has bars of {INTERVAL}, not of {request.interval}")
    return ReplayProvider()


def _data_files() -> list[bytes]:
    folder = files("financelake_assets.providers").joinpath("data")
    named = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".csv.gz")}
    return [named[name].read_bytes() for name in sorted(named)]
