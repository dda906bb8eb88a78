"""What Dagster runs by itself, because the data moved: evaluated as its daemon does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import dagster as dg

from financelake_assets.definitions import defs
from financelake_assets.defs.gold.assets import gold_backtest, gold_report

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Hours:
    """A daemon that looks when it is told to, at an instance that remembers."""

    def __init__(self, asset: dg.AssetsDefinition = gold_report) -> None:
        self._asset = asset
        self.instance = dg.DagsterInstance.ephemeral()
        self._cursor = None

    def look(self, minutes: int) -> int:
        """How many assets are asked for, so many minutes after noon."""
        with ThreadPoolExecutor(1) as thread:  # it runs an event loop, and the browser's tests have one in this thread
            result = thread.submit(
                dg.evaluate_automation_conditions,
                defs=defs,
                instance=self.instance,
                asset_selection=dg.AssetSelection.assets(self._asset),
                cursor=self._cursor,
                evaluation_time=NOON + timedelta(minutes=minutes),
            ).result()
        self._cursor = result.cursor
        return int(result.total_requested)

    def move(self, *names: str, partition: str | None = None) -> None:
        """The sensors tell that tables were written, or a run that it has written a market's rows."""
        for name in names:
            key = name.split("/") if "/" in name else ["gold", name]
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))


def test_the_report_is_made_once_an_hour_when_all_that_it_shows_has_moved() -> None:
    daemon = Hours()
    assert daemon.look(1) == 0
    assert daemon.look(61) == 0, "an hour has begun, and nothing moved"
    daemon.move("equity", "latest")
    assert daemon.look(62) == 0, "one of the three has not"
    daemon.move("calibration")
    assert daemon.look(63) == 1
    daemon.move("equity", "latest", "calibration")
    assert daemon.look(64) == 0, "it was made in this hour"
    assert daemon.look(122) == 0, "what moved before the hour does not count"
    daemon.move("equity", "latest", "calibration")
    assert daemon.look(123) == 1


def test_the_back_test_of_a_market_is_made_after_its_training_and_not_with_each_bar() -> None:
    daemon = Hours(gold_backtest)
    daemon.move("silver/bars")
    assert daemon.look(1) == 0, "nothing is trained yet"
    daemon.move("walk_forward", partition="1d")
    assert daemon.look(2) == 3, "the three tables of the market"
    daemon.move("backtest_equity", "backtest_trades", "backtest_portfolio", partition="1d")
    daemon.move("silver/bars")
    assert daemon.look(3) == 0, "a bar came"
    daemon.move("walk_forward", partition="1d")
    daemon.move("walk_forward", partition="5m")
    assert daemon.look(4) == 6
