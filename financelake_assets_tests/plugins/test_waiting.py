"""The live query and the repair of history with features of other series: late ones are waited for, nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from financelake_assets import lake as reading
from financelake_assets.config import Settings
from financelake_assets.gold import waiting
from financelake_assets.gold.featured import featured
from financelake_assets.gold.history import repair
from financelake_assets.gold.query import Scorer
from financelake_assets.gold.recent_others import RecentOthers
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.gold.silver_changes import Versions
from financelake_assets.model import artifacts, forest, other_reading, overview, registry
from financelake_assets.model.features import FEATURES
from financelake_assets.model.forest import Forest
from financelake_assets.model.outputs import RAW, RAW_SIZE, RAW_UP
from financelake_assets.model.schema import MODELS
from financelake_assets.plugins import installed
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.gold.frames import MADE_AT, frame
from financelake_assets_tests.gold.lakes import append, correct
from financelake_assets_tests.gold.test_book_store import add
from financelake_assets_tests.model import market
from financelake_assets_tests.model.records import record
from financelake_assets_tests.plugins.site import Site

NEAR = """
@feature(
    version="1",
    lookback=0,
    columns=("trend", "moved"),
    others={"daily": Other(interval="1d", bars=2), "btc": Other("BTC-USD", bars=2)},
)
def near(bars, daily, btc):
    trend = daily.select("known_at", trend=pl.col("log_return").rolling_sum(3))
    moved = btc.select("known_at", moved=pl.col("log_return").rolling_sum(3))
    known = bars.join_asof(trend, on="known_at").join_asof(moved, on="known_at")
    return known.select(pl.col("trend", "moved").fill_null(0.0))
"""
DAYS = 8
HISTORY = 24 * DAYS
ADAPTED = ("lower", "upper", "widening")
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class Sees(Forest):
    """A forest that says what the features of the plug-in are."""

    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        seen = pl.col("trend") * 1e3 + pl.col("moved") * 1e4 if "trend" in rows.columns else pl.col("log_return")
        said = rows.select(said=seen.sin())["said"]
        return pl.DataFrame({RAW: said, RAW_UP: 0.5 + said * 0.4, RAW_SIZE: 1 + said.abs()})


def silver(rows: pl.DataFrame, written: datetime = MADE_AT) -> pl.DataFrame:
    place = {"messages": 1, "topic": "bronze.crypto", "partition": 0, "offset": 0, "provider": "test"}
    when = {"ingested_at": written, "processed_at": written}
    told = rows.with_columns(**{name: pl.lit(value) for name, value in {**place, **when}.items()})
    return pl.concat([BARS.empty, told], how="diagonal_relaxed").select(BARS.schema.names).cast(BARS.empty.schema)  # type: ignore[arg-type]


def hours(symbol: str, first: int, last: int) -> pl.DataFrame:
    """Hours of a symbol, from the first to the last (not included): written now."""
    seed = {"ETH": 1, "BTC-USD": 2}[symbol]
    whole = market.of_interval(market.bars(symbol, market.moves(2 * HISTORY, seed), "crypto"), "1h")
    return silver(whole.slice(first, last - first), datetime.now(UTC) + timedelta(hours=1))


def days(symbol: str, first: int, last: int) -> pl.DataFrame:
    whole = market.bars(symbol, market.moves(40, 7), "crypto")
    return silver(whole.slice(first, last - first), datetime.now(UTC) + timedelta(hours=1))


@pytest.fixture
def lake(offline_lake: Settings, site: Site, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake of hours and days of two symbols, whose champion of hours knows the days and Bitcoin's hours too."""
    site.feature("near", NEAR)
    (plugin,) = installed.features(())
    both = ("ETH", "BTC-USD")
    old = [part for symbol in both for part in (hours(symbol, 0, HISTORY), days(symbol, 0, DAYS - 1))]
    version = append(offline_lake, pl.concat(old).with_columns(processed_at=pl.lit(MADE_AT)))
    made: dict[str, Any] = {
        "silver_version": version,
        "trained_at": datetime.now(UTC),
        "features": (*FEATURES, *plugin.columns),
        "plugins": {"near": plugin.facts},
    }
    add(MODELS, offline_lake, frame(MODELS, [record("rf", "1h", 0, **made).row()]))
    monkeypatch.setattr(artifacts, "verify", lambda *_: None)
    monkeypatch.setattr(forest, "read", lambda _: Sees({}, 0.0, (), None))  # type: ignore[arg-type]
    return offline_lake


class Live:
    """The query's batches, one a commit; with ``restarts`` each by a new process."""

    def __init__(self, lake: Settings, restarts: bool = False) -> None:
        self._lake, self._restarts, self._scorer = lake, restarts, Scorer(lake)

    def comes(self, *rows: pl.DataFrame) -> None:
        """A commit of silver, and the batch of it."""
        version = append(self._lake, pl.concat(rows))
        self._scorer = Scorer(self._lake) if self._restarts else self._scorer
        self._scorer.write_batch(Versions(version, version))


def scored(lake: Settings, symbol: str = "ETH") -> list[int]:
    """The numbers of the hours that have a signal."""
    times = SIGNALS.scan(lake).filter(pl.col("symbol") == symbol).collect()["event_time"].sort()
    return [int((time - market.START) / timedelta(hours=1)) for time in times]


def predictions(lake: Settings) -> pl.DataFrame:
    return PREDICTIONS.scan(lake).drop("as_of").collect().sort("symbol", "event_time")


def note(lake: Settings) -> str:
    return str(overview.of_lake(lake, registry.versions(lake), datetime.now(UTC))["1h"]["note"])


@pytest.mark.parametrize("restarts", [False, True])
def test_a_bar_waits_for_the_other_series_and_then_knows_what_a_training_knows(lake: Settings, restarts: bool) -> None:
    live = Live(lake, restarts)
    live.comes(hours("ETH", HISTORY, HISTORY + 1))
    assert scored(lake) == []
    assert "waits for other series: ETH 1d, whose newest finished bar began 2015-01-07 00:00" in note(lake)
    live.comes(days("ETH", DAYS - 1, DAYS))
    assert "waits for other series: BTC-USD 1h, whose newest finished bar began 2015-01-08 23:00" in note(lake)
    live.comes(hours("ETH", HISTORY + 1, HISTORY + 2))
    live.comes(hours("BTC-USD", HISTORY, HISTORY + 1))
    assert scored(lake) == [HISTORY]
    assert scored(lake, "BTC-USD") == [], "its own day is not there yet"
    live.comes(days("BTC-USD", DAYS - 1, DAYS))
    assert scored(lake, "BTC-USD") == [HISTORY]
    # the hour that is missing never comes, and the next one shows it
    live.comes(hours("BTC-USD", HISTORY + 2, HISTORY + 3))
    assert scored(lake) == [HISTORY, HISTORY + 1]
    assert scored(lake, "BTC-USD") == [HISTORY, HISTORY + 2]
    assert "waits" not in note(lake)

    # what a training on all of it has is what each bar was predicted from
    made = predictions(lake)
    plugins = installed.features(())
    whole = featured(lake, registry.versions(lake)[0], plugins, made.select(BARS.key)).sort("symbol", "event_time")
    assert made.height == 4
    expected = (whole["trend"] * 1e3 + whole["moved"] * 1e4).sin() * whole["bar_volatility"]
    assert made["predicted_return"].to_list() == pytest.approx(expected.to_list(), rel=1e-9)
    told = pl.concat(reading.features(symbol, "1h", settings=lake) for symbol in ("ETH", "BTC-USD"))
    both = whole.join(told, on=list(BARS.key))
    assert both.height == 4
    assert both["moved"].to_list() == pytest.approx(both["moved_right"].to_list(), rel=1e-9)
    assert both["trend"].to_list() == pytest.approx(both["trend_right"].to_list(), rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
def test_however_late_the_others_are_the_predictions_are_the_same(lake: Settings, tmp_path: Path, seed: int) -> None:
    """Four series, each in order of time, in any order among each other, and all of it at once."""
    chunks = range(HISTORY, HISTORY + 30, 6)
    queues = [[days(symbol, number, number + 1) for number in (7, 8)] for symbol in ("ETH", "BTC-USD")]
    queues += [[hours(symbol, number, number + 6) for number in chunks] for symbol in ("ETH", "BTC-USD")]
    bulk = lake.model_copy(update={"data_dir": tmp_path / "bulk"})
    shutil.copytree(lake.data_dir, bulk.data_dir)
    Live(bulk).comes(*(part for queue in queues for part in queue))
    turns = [queue for queue in queues for _ in queue]
    live = Live(lake)
    for place in np.random.default_rng(seed).permutation(len(turns)):
        live.comes(turns[place].pop(0))
    whole = predictions(bulk)
    assert whole.height == 60
    # intervals adapt to the predictions before, so they depend on the order
    assert_frame_equal(predictions(lake).drop(ADAPTED), whole.drop(ADAPTED), rel_tol=1e-9)


def test_a_repair_leaves_bars_that_wait_and_scores_them_later(lake: Settings) -> None:
    append(lake, hours("ETH", HISTORY, HISTORY + 3))
    append(lake, days("ETH", DAYS - 1, DAYS))
    append(lake, hours("BTC-USD", HISTORY, HISTORY + 2))
    assert repair(lake, *ALWAYS).signals == 2
    append(lake, pl.concat([hours("BTC-USD", HISTORY + 2, HISTORY + 3), days("BTC-USD", DAYS - 1, DAYS)]))
    assert repair(lake, *ALWAYS).signals == 4
    assert repair(lake, *ALWAYS).signals == 0


def test_a_symbol_that_the_lake_has_not_halts_its_market_and_says_so(lake: Settings, site: Site) -> None:
    site.feature("near", NEAR.replace("BTC-USD", "XMR"))
    (plugin,) = installed.features(())
    made = {"silver_version": 0, "trained_at": datetime.now(UTC), "plugins": {"near": plugin.facts}}
    wanting = record("rf-2", "1h", 1, **made, features=(*FEATURES, *plugin.columns)).row()
    add(MODELS, lake, frame(MODELS, [wanting, record("rf-3", "1d", 1, features=FEATURES).row()]))
    live = Live(lake)
    live.comes(hours("ETH", HISTORY, HISTORY + 1), days("ETH", DAYS - 1, DAYS))
    said = "stands still, no new signals: the plug-in near 1 needs bars of XMR 1h, and silver has no finished one"
    assert said in note(lake)
    assert set(SIGNALS.scan(lake).collect()["interval"]) == {"1d"}, "the other market goes on"


def test_so_many_bars_wait_at_most_and_the_others_are_left_to_a_repair(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST", 5)
    live = Live(lake)
    live.comes(days("ETH", 7, 10), days("BTC-USD", 7, 10))
    for number in range(HISTORY, HISTORY + 15):
        live.comes(hours("ETH", number, number + 1))
    live.comes(hours("BTC-USD", HISTORY, HISTORY + 16))
    assert scored(lake) == list(range(HISTORY + 10, HISTORY + 15))
    repair(lake, *ALWAYS)
    assert scored(lake) == list(range(HISTORY, HISTORY + 15))


def key_batches() -> st.SearchStrategy[list[list[tuple[str, int]]]]:
    keys = st.tuples(st.sampled_from(["ETH", "BTC-USD"]), st.integers(100, HISTORY + 40))
    return st.lists(st.lists(keys, min_size=1, max_size=4, unique=True), min_size=1, max_size=5)


def own(keys: list[tuple[str, int]]) -> Iterator[pl.DataFrame]:
    for symbol, number in keys:
        yield hours(symbol, number - 90, number + 1)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(key_batches())
def test_memory_and_table_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, site: Site, work: list[list[tuple[str, int]]]
) -> None:
    site.feature("near", NEAR)
    plugins = installed.features(())
    lake = Settings(data_dir=tmp_path_factory.mktemp("others"))
    append(lake, pl.concat([hours(name, 0, HISTORY + 41) for name in ("ETH", "BTC-USD")]))
    append(lake, pl.concat([days(name, 0, DAYS) for name in ("ETH", "BTC-USD")]))
    kept = RecentOthers(OpenTables(lake))
    for number, keys in enumerate(work):
        changed = pl.concat(hours(name, at, at + 1) for name, at in keys).with_columns(close=1_000.0 + number, high=1e5)
        correct(lake, changed)
        kept.take(changed)
        bars = pl.concat(own(keys)).unique(list(BARS.key)).sort(BARS.key)
        ours, theirs = kept.beside(plugins, bars), other_reading.beside(lake, BARS.scan(lake), plugins, bars)
        assert ours.until == theirs.until
        for series, rows in theirs.series.items():
            assert_frame_equal(ours.series[series].tail(rows.height)[1:], rows[1:])


def test_memory_has_an_end(lake: Settings) -> None:
    """Half a year of hours passes; of each series is kept what the newest bars need, and at most as much again."""
    kept, plugins = RecentOthers(OpenTables(lake)), installed.features(())
    btc = silver(market.of_interval(market.bars("BTC-USD", market.moves(4_000, 2), "crypto"), "1h"))
    eth = silver(market.of_interval(market.bars("ETH", market.moves(4_000, 1), "crypto"), "1h"))
    needed = 70 + 24 * 14 + 3 * 2
    for number in range(72, 4_000, 24):
        kept.take(btc.slice(number, 24))
        found = kept.beside(plugins, eth.slice(number - 70, 70))
        assert found.series["BTC-USD", "1h"].height <= 2 * (needed + 24)
    assert kept._kept["BTC-USD", "1h"].rows.height <= 2 * (needed + 24)
