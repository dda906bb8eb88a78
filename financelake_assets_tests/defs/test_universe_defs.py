"""The universe file in Dagster: what is asked for by year and by calendar, and never beside the feed that loads it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest
from filelock import FileLock

from financelake_assets.bronze import feed_state
from financelake_assets.bronze.market_feed_state import MarketFeedState, state_file
from financelake_assets.bronze.universe_file import Entry
from financelake_assets.config import Settings, get_settings
from financelake_assets.defs.bronze.schedules import decided, needs, universe_refresh
from financelake_assets.defs.bronze.universe import bronze_refresh, bronze_universe_history, year_requests
from financelake_assets.defs.resources import LakeResource
from financelake_assets.feeds.catch_up import FeedRunsError, catch_up, feed_runs
from financelake_assets.own_process import say
from financelake_assets_tests.bronze.conftest import bronze_lake as bronze_lake
from financelake_assets_tests.bronze.observed import messages
from financelake_assets_tests.gold.lakes import append, market
from financelake_assets_tests.providers.exchange_server import ExchangeServer, random_walk, serve_exchanges

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)
UNIVERSE = """\
defaults: {provider: kraken, interval: 1h}
symbols:
  - {symbol: BTC/USD}
  - {symbol: FOO/USD}
  - {symbol: ETH/USD, interval: 1m, live: true}
  - {symbol: SOL/USD, interval: tick, live: true}
"""


def write(settings: Settings, text: str = UNIVERSE) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.universe_path.write_text(text)


def hourly(newest: datetime, symbol: str = "BTC/USD") -> pl.DataFrame:
    """One bar of an hour in silver."""
    bar = market(0, 1).filter(pl.col("asset_class") == "crypto")
    return bar.with_columns(symbol=pl.lit(symbol), interval=pl.lit("1h"), event_time=pl.lit(newest))


def spoke(settings: Settings, at: datetime) -> None:
    say(state_file(settings, "kraken"), MarketFeedState("kraken", at.isoformat(), 1))


def test_a_tick_starts_a_run_for_each_provider_that_needs_one_and_says_why_it_starts_none() -> None:
    told = {"kraken": 2, "yfinance": "no bar is due", "somebodys": "it has no partition"}
    runs = decided(told, "2026-03-04T15:30")  # type: ignore[arg-type]
    assert isinstance(runs, list)
    assert [(run.partition_key, run.run_key) for run in runs] == [("kraken", "2026-03-04T15:30/kraken")]
    none = decided({"yfinance": "no bar is due"}, "2026-03-04T15:30")
    assert isinstance(none, dg.SkipReason)
    assert none.skip_message == "yfinance: no bar is due"
    assert isinstance(decided({}, "2026-03-04T15:30"), dg.SkipReason)


def test_bars_are_due_by_the_calendar_and_not_while_the_feed_runs(offline_lake: Settings) -> None:
    assert needs(offline_lake, NOW) == {}
    write(offline_lake)
    append(offline_lake, hourly(NOW.replace(hour=13, minute=0)))
    append(offline_lake, hourly(NOW.replace(hour=14, minute=0), "FOO/USD"))
    assert needs(offline_lake, NOW) == {"kraken": 1}, "what is made of live trades is left to the feed"
    assert needs(offline_lake, NOW - timedelta(hours=1)) == {"kraken": "no bar is due"}
    running = {"kraken": "its feed runs, and refreshes its symbols itself"}
    with FileLock(offline_lake.run_dir / "feed-kraken.lock"):
        assert needs(offline_lake, NOW) == running
        with pytest.raises(FeedRunsError, match="feed-kraken runs"):
            catch_up(offline_lake, "kraken", NOW)
    spoke(offline_lake, NOW - timedelta(seconds=20))
    assert needs(offline_lake, NOW) == running, "as of a feed on another machine"
    assert not feed_runs(offline_lake, "kraken", NOW + timedelta(minutes=2))


def test_a_partition_asks_for_each_symbol_of_its_class_from_its_start_on() -> None:
    entries = [
        Entry(symbol="AAPL", asset_class="stock", provider="yfinance", start=datetime(2015, 6, 1, tzinfo=UTC)),
        Entry(symbol="VOD.L", asset_class="stock", provider="yfinance", calendar="XLON"),
        Entry.model_validate({"symbol": "BTC/USD", "provider": "kraken"}),
        Entry.model_validate({"symbol": "ETH/USD", "provider": "kraken", "interval": "1m", "live": True}),
    ]
    asked = [
        {one.symbols[0]: (str(one.start)[:10], str(one.end)[:10]) for one in year_requests(entries, key, "2026")}
        for key in ("stock|2014", "stock|2015", "stock|2016", "crypto|2026")
    ]
    assert asked == [
        {"VOD.L": ("2014-01-01", "2015-01-01")},
        {"AAPL": ("2015-06-01", "2016-01-01"), "VOD.L": ("2015-01-01", "2016-01-01")},
        {"AAPL": ("2016-01-01", "2017-01-01"), "VOD.L": ("2016-01-01", "2017-01-01")},
        {"BTC/USD": ("2026-01-01", "None")},
    ]


def test_the_schedule_says_why_it_starts_no_run(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write(offline_lake)
    append(offline_lake, hourly(NOW))
    spoke(offline_lake, datetime.now(UTC) + timedelta(minutes=5))
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(offline_lake.data_dir))
    get_settings.cache_clear()
    context = dg.build_schedule_context(scheduled_execution_time=NOW, resources={"lake": LakeResource()})
    told = universe_refresh(context)
    get_settings.cache_clear()
    assert isinstance(told, dg.SkipReason)
    assert told.skip_message == "kraken: its feed runs, and refreshes its symbols itself"


# -- on a broker, with an exchange on loopback ----------------------------------------------------------


@pytest.fixture
def exchange(bronze_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExchangeServer]:
    with serve_exchanges("BTC/USD") as served:
        hour = int(time.time()) // 3_600 * 3_600
        served.candles[("BTC", "USD"), 3_600] = random_walk(1, hour - 50 * 3_600, 51, 3_600)
        own = {
            "DATA_DIR": str(bronze_lake.data_dir),
            "KAFKA__BOOTSTRAP": bronze_lake.kafka_bootstrap,
            "FEED__KRAKEN_REST": served.rest,
            "FEED__REQUESTS_PER_MINUTE": "60000",
        }
        for name, value in own.items():
            monkeypatch.setenv(f"FINANCELAKE_{name}", value)
        get_settings.cache_clear()
        yield served
        get_settings.cache_clear()


def run(asset: dg.AssetsDefinition, partition: str) -> dict[str, Any]:
    result = dg.materialize([asset], resources={"lake": LakeResource()}, partition_key=partition)
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


@pytest.mark.integration
def test_a_refresh_loads_what_is_due_names_what_cannot_be_had_and_refuses_beside_the_feed(
    bronze_lake: Settings, exchange: ExchangeServer
) -> None:
    write(bronze_lake)
    hour = datetime.fromtimestamp(int(time.time()) // 3_600 * 3_600, UTC)
    told = run(bronze_refresh, "kraken")
    assert (told["published"], told["symbols"]) == (50, {"BTC/USD": 50})
    assert set(told["problems"]) == {"FOO/USD"}
    append(bronze_lake, hourly(hour - timedelta(hours=3)))
    assert run(bronze_refresh, "kraken")["published"] == 2, "only what is newer than silver's newest bar"
    append(bronze_lake, hourly(hour - timedelta(hours=1)))
    append(bronze_lake, hourly(hour - timedelta(hours=1), "FOO/USD"))
    asked = len(exchange.asked)
    assert run(bronze_refresh, "kraken")["published"] == 0
    assert len(exchange.asked) == asked, "nothing is due, so nobody is asked"
    assert len(messages(bronze_lake)) == 52
    with FileLock(bronze_lake.run_dir / "feed-kraken.lock"), pytest.raises(dg.Failure, match="Nothing was loaded"):
        run(bronze_refresh, "kraken")


@pytest.mark.parametrize(("asset", "key"), [(bronze_refresh, "kraken"), (bronze_universe_history, "crypto|2026")])
def test_a_lake_that_holds_a_replay_takes_no_real_symbols(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch, asset: dg.AssetsDefinition, key: str
) -> None:
    write(offline_lake)
    say(feed_state.state_file(offline_lake), feed_state.FeedState("live", "replay", 5, 5, NOW.isoformat(), 1))
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(offline_lake.data_dir))
    get_settings.cache_clear()
    with pytest.raises(dg.Failure, match="holds a replay"):
        run(asset, key)
    feed_state.state_file(offline_lake).unlink()
    write(offline_lake, "symbols: {")
    with pytest.raises(dg.Failure, match="is not YAML"):
        run(asset, key)
    get_settings.cache_clear()


@pytest.mark.integration
def test_a_year_of_the_universe_is_a_partition_and_is_not_published_twice(
    bronze_lake: Settings, exchange: ExchangeServer
) -> None:
    write(bronze_lake, UNIVERSE.replace("  - {symbol: FOO/USD}\n", ""))
    year = datetime.now(UTC).year
    told = run(bronze_universe_history, f"crypto|{year}")
    assert told["symbols"] == {"BTC/USD": told["published"]}
    values = [json.loads(message.value()) for message in messages(bronze_lake)]
    assert 0 < len(values) == told["published"] <= 50
    assert {value["event_time"][:4] for value in values} == {str(year)}
    assert run(bronze_universe_history, f"crypto|{year}")["published"] == 0
