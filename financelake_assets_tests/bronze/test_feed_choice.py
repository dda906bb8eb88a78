"""What a lake feeds itself with, and that a replay and real symbols never share a lake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from financelake_assets.bronze.feed_choice import (
    MixedLakeError,
    chosen,
    followed_providers,
    loads_history,
    refuse_mixture,
    reports,
)
from financelake_assets.bronze.feed_state import FeedState, state_file
from financelake_assets.bronze.market_feed_state import MarketFeedState
from financelake_assets.bronze.market_feed_state import state_file as market_state_file
from financelake_assets.config import Settings
from financelake_assets.own_process import say
from financelake_assets.supervision import processes
from financelake_assets.supervision.launch import command_of

FOLLOWED = """\
defaults: {provider: kraken}
symbols:
  - {symbol: BTC/USD, live: true}
  - {symbol: AAPL, provider: yfinance, asset_class: stock}
  - {symbol: WTI, provider: replay, asset_class: commodity}
"""


def lake(folder: Path, text: str | None, provider: str = "auto") -> Settings:
    settings = Settings.model_validate({"data_dir": folder, "feed": {"provider": provider}})
    if text is not None:
        settings.universe_path.write_text(text)
    return settings


@pytest.mark.parametrize(
    ("text", "provider", "wanted", "followed"),
    [
        (None, "auto", "replay", ()),
        (FOLLOWED, "auto", "universe", ("kraken", "yfinance")),
        (FOLLOWED, "replay", "replay", ()),
        (FOLLOWED, "none", "none", ()),
        ("symbols: [{symbol: X, asset_class: stock}]", "auto", "replay", ()),
        ("symbols: [{symbol: X, asset_class: stock}]", "universe", "universe", ()),
        ("symbols: {", "auto", "universe", ()),
        ('symbols: [{symbol: X, provider: "a\\n[program:x]"}]', "auto", "replay", ()),
        ("symbols: [1, {provider: [a]}]", "auto", "universe", ()),
    ],
)
def test_a_lake_feeds_itself_with_one_of_them(
    tmp_path: Path, text: str | None, provider: str, wanted: str, followed: tuple[str, ...]
) -> None:
    settings = lake(tmp_path, text, provider)
    assert (chosen(settings), followed_providers(settings)) == (wanted, followed)


NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def told(settings: Settings, provider: str, ago: float = 1.0, **states: str) -> None:
    symbols: dict[str, Any] = {symbol: {"state": state} for symbol, state in states.items()}
    state = MarketFeedState(provider, (NOW - timedelta(seconds=ago)).isoformat(), 1, symbols=symbols)
    say(market_state_file(settings, provider), state)


def test_no_training_begins_while_a_feed_loads_history(tmp_path: Path) -> None:
    settings = lake(tmp_path, FOLLOWED)
    assert not loads_history(settings, NOW)
    assert reports(settings) == {}

    told(settings, "kraken", a="current", b="failed")
    assert not loads_history(settings, NOW), "a symbol that cannot be had is not waited for"
    told(settings, "yfinance", c="loading", d="current")
    assert loads_history(settings, NOW)
    assert reports(settings)["yfinance"].counts == {"loading": 1, "current": 1}
    told(settings, "yfinance", ago=3600, c="loading")
    assert not loads_history(settings, NOW), "a feed that is gone is not waited for"

    told(settings, "coinbase", e="loading")
    assert not loads_history(settings, NOW), "the lake does not follow it any more"
    told(settings, "yfinance", c="loading")
    settings.universe_path.write_text(FOLLOWED.replace("yfinance", "csv"))
    assert not loads_history(settings, NOW)


@pytest.mark.parametrize(("phase", "loads"), [("waiting", True), ("history", True), ("live", False), ("idle", False)])
def test_a_replay_that_loads_is_waited_for_as_well(tmp_path: Path, phase: Any, loads: bool) -> None:
    settings = lake(tmp_path, None)
    say(state_file(settings), FeedState(phase, "replay", 1, 2, NOW.isoformat(), 1))
    assert loads_history(settings, NOW) is loads


def test_each_followed_provider_has_a_process(tmp_path: Path) -> None:
    names = processes.of_lake(lake(tmp_path, FOLLOWED))
    assert {"feed-kraken", "feed-yfinance"} <= set(names)
    assert "feed" not in names
    make = command_of("feed-kraken")
    assert make is not None
    assert make(lake(tmp_path, FOLLOWED)).argv[-2:] == ("financelake_assets.feeds.market_feed", "kraken")
    assert command_of("nothing") is None


def test_a_changed_file_changes_the_choice(tmp_path: Path) -> None:
    settings = lake(tmp_path, FOLLOWED)
    assert followed_providers(settings) == ("kraken", "yfinance")
    settings.universe_path.write_text("symbols: [{symbol: BTC-USD, provider: coinbase}]")
    assert followed_providers(settings) == ("coinbase",)


def test_a_lake_that_has_played_the_replay_follows_no_real_symbols(tmp_path: Path) -> None:
    settings = lake(tmp_path, FOLLOWED)
    refuse_mixture(settings)
    say(state_file(settings), FeedState("live", "replay", 0, 100, "2026-01-01T00:00:00+00:00", 1))
    refuse_mixture(settings)
    say(state_file(settings), FeedState("live", "replay", 7, 100, "2026-01-01T00:00:00+00:00", 1))
    with pytest.raises(MixedLakeError, match="holds a replay") as raised:
        refuse_mixture(settings)
    assert "FINANCELAKE_DATA_DIR" in raised.value.remedy
    refuse_mixture(lake(tmp_path, FOLLOWED, "replay"))


def test_a_lake_that_has_followed_real_symbols_plays_no_replay(tmp_path: Path) -> None:
    settings = lake(tmp_path, None)
    say(market_state_file(settings, "kraken"), MarketFeedState("kraken", "2026-01-01T00:00:00+00:00", 1))
    assert chosen(settings) == "none"
    refuse_mixture(settings)
    with pytest.raises(MixedLakeError, match="holds real symbols"):
        refuse_mixture(lake(tmp_path, None, "replay"))


def test_a_file_that_is_gone_from_where_it_was_is_not_taken_for_none(tmp_path: Path) -> None:
    settings = lake(tmp_path, None)
    settings.universe_path.symlink_to(tmp_path / "moved.yaml")
    assert (chosen(settings), followed_providers(settings)) == ("universe", ())
