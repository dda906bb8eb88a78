"""A seeded market simulator, for load and for faults in known proportions. No row of it is real, and it says so.

Input: a seed, symbols and proportions. Output: the same rows every time: prices with regimes of volatility, fat tails
and jumps, trades that bounce between bid and ask, and as many gaps, repetitions, late and corrupted rows as asked for.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from financelake_assets.config import AssetClass
from financelake_assets.intervals import TICK
from financelake_assets.providers.base import Capabilities, Chunk, OddRow, Part, typed
from financelake_assets.providers.request import IngestRequest

Floats = npt.NDArray[np.float64]

SYMBOLS = ("SIM-A", "SIM-B", "SIM-C", "SIM-D")

_BLOCK_ROWS = 20_000
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_MINUTES = {"m": 1, "h": 60, "d": 1440, "w": 10_080}
_REGIMES = np.array([0.4, 1.0, 3.0])
_SWITCH = 0.002  # chance that a bar begins another regime
_JUMP = 0.0005
_HALF_SPREAD = 0.0002
_LATEST = 200  # rows by which a late one comes after its place
_CORRUPTIONS: tuple[OddRow, ...] = (
    {"close": "##.##"},
    {"event_time": "not a time"},
    {"close": None},
    {"volume": -1.0},
    {"close": float("nan")},
)


class SyntheticProvider:
    """A market that does not exist."""

    name = "synthetic"
    capabilities = Capabilities(history=True, live=True, network=False)

    def __init__(self, request: IngestRequest, wait: Callable[[float], object] = time.sleep) -> None:
        self._request = request
        self._symbols = request.symbols or SYMBOLS
        self._class: AssetClass = request.asset_class or "crypto"
        self._interval = request.interval or "1m"
        self._begin = request.start or _EPOCH
        self._step = timedelta(milliseconds=50) if self._interval == TICK else _length(self._interval)
        self._wait = wait

    def history(self) -> Iterator[Part]:
        """As many rows as asked for, before gaps and repetitions."""
        request = self._request
        faults = (request.gaps, request.duplicates, request.late, request.corrupted)
        told = (request.seed, request.rows, self._symbols, self._class, self._interval, self._begin, faults)
        identity = f"synthetic-{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}"
        yield Part(identity, self._blocks(request.rows), None if any(faults) else request.rows)

    def live(self, start: int = 0) -> Iterator[Chunk]:  # noqa: ARG002  # what happens now cannot be skipped
        """The same market played at ``rate`` rows a second with the times at which its rows are made."""
        at_once = max(1, round(self._request.rate * 0.02))
        rows = pl.concat([chunk.rows for chunk in self._blocks(self._request.rows)])
        begun = time.monotonic()
        for first in range(0, rows.height, at_once):
            if self._wait(max(0.0, begun + first / self._request.rate - time.monotonic())):
                return
            yield Chunk(rows.slice(first, at_once).with_columns(event_time=pl.lit(datetime.now(UTC))))

    def _blocks(self, count: int) -> Iterator[Chunk]:
        random = np.random.default_rng(self._request.seed)
        last = dict(zip(self._symbols, 50 * np.exp(random.normal(0, 1, len(self._symbols))), strict=True))
        per_symbol = -(-min(_BLOCK_ROWS, count) // len(self._symbols))
        step, left = 0, count
        while left > 0:
            rows = self._block(random, last, step, per_symbol).head(left)
            step, left = step + per_symbol, left - rows.height
            yield self._with_faults(random, rows)

    def _block(self, random: np.random.Generator, last: dict[str, float], step: int, count: int) -> pl.DataFrame:
        """The next bars of all symbols, in order of time; ``last`` is moved on to their last prices."""
        begin = self._begin + step * self._step
        times = pl.datetime_range(begin, begin + (count - 1) * self._step, self._step, time_unit="us", eager=True)
        frames = []
        for symbol in self._symbols:
            prices = _prices(random, last[symbol], count, self._step)
            frames.append(pl.DataFrame({"symbol": symbol, "event_time": times, **prices}))
            last[symbol] = float(prices["mid"][-1])
        rows = pl.concat(frames).sort("event_time", "symbol")
        if self._interval == TICK:
            bounce = np.where(random.random(rows.height) < 0.5, 1 + _HALF_SPREAD, 1 - _HALF_SPREAD)
            place = pl.int_range(step * len(self._symbols), step * len(self._symbols) + rows.height)
            rows = rows.with_columns(close=pl.col("mid") * bounce, trade_id=place.cast(pl.String))
            rows = rows.drop("open", "high", "low")
        return typed(rows.with_columns(asset_class=pl.lit(self._class), interval=pl.lit(self._interval)))

    def _with_faults(self, random: np.random.Generator, rows: pl.DataFrame) -> Chunk:
        request = self._request
        if request.gaps:
            rows = rows.filter(pl.Series(random.random(rows.height) >= request.gaps))
        if request.duplicates:
            rows = pl.concat([rows, rows.filter(pl.Series(random.random(rows.height) < request.duplicates))])
            rows = rows.sort("event_time", "symbol", maintain_order=True)
        if request.late:
            late = np.where(random.random(rows.height) < request.late, random.integers(1, _LATEST, rows.height), 0)
            rows = rows.with_columns(at=pl.Series(np.arange(rows.height) + late)).sort("at", maintain_order=True)
            rows = rows.drop("at")
        if not request.corrupted:
            return Chunk(rows)
        spoilt = pl.Series(random.random(rows.height) < request.corrupted)
        odd = [
            {**row, **_CORRUPTIONS[position % len(_CORRUPTIONS)]}
            for position, row in enumerate(rows.filter(spoilt).iter_rows(named=True))
        ]
        return Chunk(rows.filter(~spoilt), tuple(odd))


def from_request(request: IngestRequest) -> SyntheticProvider:
    """The market that a request describes."""
    return SyntheticProvider(request)


def _prices(random: np.random.Generator, last: float, count: int, step: timedelta) -> dict[str, Floats]:
    """Open, high, low, close, volume of one symbol, and the ``mid`` price that goes on."""
    usual = 0.0006 * (step / timedelta(minutes=1)) ** 0.5
    regime = _REGIMES[np.cumsum(random.random(count) < _SWITCH) % len(_REGIMES)]
    returns = usual * regime * random.standard_t(4, count) / np.sqrt(2)
    returns += np.where(random.random(count) < _JUMP, random.normal(0, 20 * usual, count), 0)
    close = last * np.exp(np.cumsum(returns))
    open_ = np.concatenate([[last], close[:-1]])
    reach = usual * regime * np.abs(random.normal(0, 0.5, (2, count)))
    volume = np.round(random.lognormal(3, 1, count) * regime, 4)
    rounded = {
        "open": open_,
        "high": np.maximum(open_, close) * (1 + reach[0]),
        "low": np.minimum(open_, close) * (1 - reach[1]),
        "close": close,
    }
    return {**{name: np.round(values, 6) for name, values in rounded.items()}, "volume": volume, "mid": close}


def _length(interval: str) -> timedelta:
    return timedelta(minutes=int(interval[:-1]) * _MINUTES[interval[-1]])
