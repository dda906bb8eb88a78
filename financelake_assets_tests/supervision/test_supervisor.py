"""A real supervisor, none of whose processes is started, takes up that the lake follows other providers."""

from __future__ import annotations

from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.supervision.supervisor import Supervisor


def test_a_running_supervisor_learns_which_feeds_the_lake_has(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.universe_path.write_text("symbols: [{symbol: BTC/USD, provider: kraken}]")
    supervisor = Supervisor(settings)
    supervisor.start()
    try:
        assert "feed-kraken" in supervisor.states()
        assert supervisor.take_up() == ([], [])
        settings.universe_path.write_text("symbols: [{symbol: BTC-USD, provider: coinbase}]")
        assert supervisor.take_up() == (["feed-coinbase"], ["feed-kraken"])
        states = supervisor.states()
        assert states["feed-coinbase"].state == "STOPPED"
        assert "feed-kraken" not in states
        assert supervisor.take_up() == ([], [])
        settings.universe_path.unlink()
        assert supervisor.take_up() == (["feed"], ["feed-coinbase"])
    finally:
        supervisor.shut_down()
