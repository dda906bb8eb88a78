"""The feeds of markets on the Lake view: shown where the lake follows any, and a change of state is a new snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash_app.data.lake_reader import LakeReader
from dash_app.views import lake as view
from financelake_assets.bronze.market_feed_state import MarketFeedState, state_file
from financelake_assets.config import Settings
from financelake_assets.own_process import say


def told(lake: Settings, state: str, per_second: float) -> None:
    symbol = {"interval": "1d", "live": True, "state": state, "bars": 3, "newest": "2026-03-04T00:00:00+00:00"}
    symbols: dict[str, Any] = {"BTC/USD": {**symbol, "last_trade": None, "problem": "no such pair"}}
    live = {"connected": True, "per_second": per_second, "trades": 1234, "reconnects": 2, "gaps": 0, "open": 0}
    say(
        state_file(lake, "kraken"),
        MarketFeedState("kraken", datetime.now(UTC).isoformat(), 1, "is slow", "Wait.", live, symbols),
    )


def test_feeds_and_symbols_are_shown_and_only_a_change_of_state_makes_a_snapshot(offline_lake: Settings) -> None:
    reader = LakeReader(offline_lake)
    reader.refresh()
    assert "Feeds of markets" not in str(view.page(reader.snapshot))

    offline_lake.universe_path.parent.mkdir(parents=True, exist_ok=True)
    offline_lake.universe_path.write_text("symbols: [{symbol: BTC/USD, provider: kraken}]")
    told(offline_lake, "loading", 2.5)
    assert reader.refresh()
    shown = str(view.page(reader.snapshot))
    for text in (
        "follows kraken",
        "1 loading",
        "1,234",
        "2.5",
        "is slow; Wait.",
        "no such pair",
        "2026-03-04",
        "1d, live",
    ):
        assert text in shown

    told(offline_lake, "loading", 9.0)
    assert not reader.refresh()
    told(offline_lake, "current", 9.0)
    assert reader.refresh()
    assert "1 current" in str(view.page(reader.snapshot))
