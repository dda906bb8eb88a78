"""What Dagster is told of the feeds of markets: numbers, problems, and freshness by the calendar; no server needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from financelake_assets.bronze.market_feed_state import MarketFeedState, SymbolState, state_file
from financelake_assets.bronze.universe import Universe
from financelake_assets.config import Settings
from financelake_assets.defs.bronze import feeds
from financelake_assets.defs.bronze.assets import PROVIDERS
from financelake_assets.own_process import say
from financelake_assets.providers.base import Instrument
from financelake_assets.providers.registry import names
from financelake_assets_tests.gold.lakes import append, market

KRAKEN = dg.AssetKey(["providers", "kraken"])


def followed(lake: Settings, *providers: str) -> None:
    lake.universe_path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"  - {{symbol: BTC/USD{n}, provider: {name}, asset_class: crypto}}" for n, name in enumerate(providers)]
    lake.universe_path.write_text("\n".join(["symbols:", *lines]))
    for name in providers:
        symbols: dict[str, Any] = {
            "BTC/USD": vars(SymbolState("1h", True, "current", 7)),
            "FOO/USD": vars(SymbolState("1d", False, "failed", problem="unknown")),
        }
        live = {"connected": True, "per_second": 2.5, "trades": 9, "reconnects": 1, "gaps": 0}
        said = MarketFeedState(name, datetime.now(UTC).isoformat(), 1, live=live, symbols=symbols)
        say(state_file(lake, name), said)


def test_each_followed_feed_is_told_of_with_its_numbers_and_problems(offline_lake: Settings) -> None:
    assert feeds.events(offline_lake, {}, 1_000.0) == {}
    followed(offline_lake, "kraken", "somebodys")
    found = feeds.events(offline_lake, {}, 1_000.0)
    assert list(found) == ["providers/kraken"], "Dagster has no asset for a provider of another package"
    observation, check = found["providers/kraken"]
    assert isinstance(observation, dg.AssetObservation)
    metadata = {name: value.value for name, value in observation.metadata.items()}
    assert metadata.pop("updated_at")
    assert metadata == {
        "connected": True,
        "per_second": 2.5,
        "trades": 9,
        "reconnects": 1,
        "gaps": 0,
        "symbols_current": 1,
        "symbols_failed": 1,
        "bars": 7,
        "problems": {"FOO/USD": "unknown"},
    }
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert (check.asset_key, check.passed) == (KRAKEN, True)
    assert feeds.events(offline_lake, {"providers/kraken": 900.0}, 1_000.0) == {}
    assert set(feeds.events(offline_lake, {"providers/kraken": 600.0}, 1_000.0)) == {"providers/kraken"}


def test_a_feed_whose_bars_are_overdue_by_the_calendar_is_not_fresh(offline_lake: Settings) -> None:
    followed(offline_lake, "kraken", "yfinance")
    on_time = pl.col("event_time") + timedelta(days=1)
    append(offline_lake, market(0, 3).with_columns(provider=pl.lit("kraken"), ingested_at=on_time))
    Universe(offline_lake, "kraken").add([Instrument("BTC-USD", "crypto")])
    found = feeds.events(offline_lake, {}, 1_000.0)
    passed = {
        name: [one.passed for one in events if isinstance(one, dg.AssetCheckEvaluation)]
        for name, events in found.items()
    }
    assert passed == {"providers/kraken": [False], "providers/yfinance": [True]}


def test_every_provider_has_an_asset() -> None:
    assert {spec.key.path[-1] for spec in PROVIDERS} == set(names()) - {"synthetic"}
