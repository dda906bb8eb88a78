"""The campaign of faults: its plan and its oracle by themselves, and a short run on a real lake."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def campaign(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the campaign, as the benchmark finds them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import faults

    return faults


def test_the_plan_has_every_fault_in_turn_and_its_seed_repeats_it(campaign: Any):
    assert len(campaign.FAULTS) >= 25
    assert len(set(campaign.FAULTS) - campaign.OF_WHOLE_LAKES) >= 25
    count = len(campaign.FAULTS)
    found = campaign.plan(3, 2 * count, [], False)
    assert sorted(found[:count]) == sorted(found[count:]) == sorted(campaign.FAULTS)
    assert campaign.plan(3, 2 * count, [], False) == found
    assert campaign.plan(4, 2 * count, [], False) != found
    assert campaign.plan(3, 7, [], False) == found[:7], "a shorter one is its beginning"
    assert not set(campaign.plan(3, 100, [], True)) & campaign.OF_WHOLE_LAKES


def bar(number: int, day: int, close: float) -> dict[str, Any]:
    fields = {"interval": "1d", "event_time": (START + timedelta(days=day)).isoformat(), "close": close, "volume": 5}
    return {"number": number, "topic": "bronze.crypto", "kind": "bar", "key": "C0-USD", "fields": fields}


def trade(number: int, second: int, **more: Any) -> dict[str, Any]:
    at = (START + timedelta(seconds=second)).isoformat()
    fields = {"interval": "tick", "event_time": at, "close": 10.0, "volume": 0.5, **more}
    return {"number": number, "topic": "bronze.crypto", "kind": "trade", "key": "C0-USD", "fields": fields}


SENT = [
    bar(0, 0, 1.0),
    bar(1, 0, 2.0),
    bar(2, 0, 2.0),
    bar(3, 1, 7.0),
    trade(4, 1),
    trade(5, 1),
    trade(6, 2, trade_id="x"),
    {"number": 7, "topic": "bronze.crypto", "kind": "poison", "key": "C0-USD", "value": b"{"},
]


class Lake:
    """What silver holds when all is well, as the oracle reads it; a test may break it."""

    def __init__(self) -> None:
        days = [START, START + timedelta(days=1)]
        self.bars = pl.DataFrame(
            {
                "symbol": ["C0-USD"] * 3,
                "interval": ["1d", "1d", "1m"],
                "event_time": [*days, START],
                "close": [2.0, 7.0, 10.0],
                "volume": [5.0, 5.0, 1.5],
                "messages": [2, 1, 0],
            }
        )
        self.ticks = pl.DataFrame(
            {
                "symbol": ["C0-USD"] * 3,
                "event_time": [START + timedelta(seconds=second) for second in (1, 1, 2)],
                "price": [10.0] * 3,
                "size": [0.5] * 3,
            }
        )
        self.quarantine = pl.DataFrame({"topic_id": ["first"], "partition": [0], "offset": [7]})

    def write(self, folder: Path) -> Path:
        for name in ("bars", "ticks", "quarantine"):
            getattr(self, name).write_delta(str(folder / "silver" / name))
        return folder


def verdict(lake: Lake, folder: Path, unwritten: tuple[int, ...] = ()) -> Any:
    import _campaign_load
    import _campaign_oracle

    load = _campaign_load.Load({"bootstrap.servers": "127.0.0.1:9"}, 1, 1)
    load.sent = {one["number"]: _campaign_load.Sent(**one) for one in SENT}
    load.acknowledged = {number: ("bronze.crypto", 0, number) for number in load.sent}
    topics = _campaign_oracle.Topics({})
    topics.found = [
        _campaign_oracle.Found("first", "bronze.crypto", 0, number, number)
        for number in load.sent
        if number not in unwritten
    ]
    return _campaign_oracle.judge(lake.write(folder), topics, load)


def test_the_oracle_finds_nothing_in_a_sound_lake(campaign: Any, tmp_path: Path):
    found = verdict(Lake(), tmp_path)
    assert found.sound, found.examples


def without_last(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.head(-1)


def with_last_twice(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame, frame.tail(1)])


@pytest.mark.parametrize("table", ["bars", "ticks", "quarantine"])
@pytest.mark.parametrize(("change", "kind"), [(without_last, "lost"), (with_last_twice, "doubled")])
def test_the_oracle_sees_a_row_that_is_lost_or_doubled(
    campaign: Any, tmp_path: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], kind: str
):
    lake = Lake()
    # the last of bars is made of trades; the oracle reads those by their minute
    frame = lake.bars.sort("interval", descending=True) if table == "bars" else getattr(lake, table)
    setattr(lake, table, change(frame))
    found = verdict(lake, tmp_path)
    assert getattr(found, kind) > 0, found.examples


def test_the_oracle_sees_a_stale_value_a_wrong_minute_and_a_topic_that_lost_a_message(campaign: Any, tmp_path: Path):
    stale = Lake()
    stale.bars = stale.bars.with_columns(close=pl.lit(1.0))
    assert verdict(stale, tmp_path / "stale").changed > 0
    minute = Lake()
    minute.bars = minute.bars.with_columns(
        volume=pl.when(pl.col("interval") == "1m").then(3.0).otherwise(pl.col("volume"))
    )
    assert verdict(minute, tmp_path / "minute").changed == 1
    assert verdict(Lake(), tmp_path / "broker", unwritten=(3,)).lost == 1
    assert replace(verdict(Lake(), tmp_path / "again")).sound


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(1_800)
def test_a_small_lake_survives_a_short_campaign():
    command = [sys.executable, ROOT / "benchmarks" / "faults.py", "--small", "--rounds", "20", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    result = json.loads(done.stdout)
    assert result["rounds"] == 20
    assert {result[kind] for kind in ("lost", "doubled", "changed", "hidden", "stuck")} == {0}
