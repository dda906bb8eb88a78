"""Topics that were deleted and made again under their names: what they tell once more is not counted again."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.config import Settings
from financelake_assets.silver import quarantine, replays, sources
from financelake_assets.silver.committing import write_cleaned
from financelake_assets.silver.ledger import uncounted
from financelake_assets.silver.quarantine import Place
from financelake_assets.silver.repairs import RepairError
from financelake_assets.silver.schema import BARS, REPLAYS, TICKS
from financelake_assets.silver.writing import totals
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver.messages import IDS, START, cleaned, message, tick

Trade = tuple[int, float, float | None]
"""Second, price and size."""

trades = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([5.0, 6.0]), st.sampled_from([None, 0.5])), max_size=8)
cuts = st.lists(st.integers(0, 8), max_size=2)


def write(lake: Settings, rows: list[dict[str, Any]], topic_id: str = "first") -> None:
    """Write messages of a topic with an id; the query notes the id when it starts."""
    ids = {**IDS, "bronze.crypto": topic_id}
    sources.register(lake, ids, {topic: {0: (0, 0)} for topic in ids})
    if rows:
        write_cleaned(OpenTables(lake), cleaned(rows), ids)


def sent(found: list[Trade], began: int = 0) -> list[dict[str, Any]]:
    """Trades without ids, some seconds after others were sent."""
    return [
        tick(offset, price, size, at, ingested_at=START + timedelta(seconds=began + offset))
        for offset, (at, price, size) in enumerate(found)
    ]


def kept(lake: Settings) -> Counter[Trade]:
    rows = TICKS.scan(lake).collect()
    seconds = (rows["event_time"] - START).dt.total_seconds()
    return Counter(zip(seconds, rows["price"], rows["size"], strict=True))


@settings(max_examples=8)
@given(st.lists(st.tuples(trades, cuts), min_size=1, max_size=3))
def test_each_trade_without_an_id_is_there_as_often_as_the_topic_that_told_of_it_most_often(
    topics: list[tuple[list[Trade], list[int]]],
):
    expected: Counter[Trade] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        lake = Settings(data_dir=Path(folder))
        for number, (found, places) in enumerate(topics):
            rows = sent(found, 1_000 * number)
            for first, last in pairwise([0, *sorted(place % (len(rows) + 1) for place in places), len(rows)]):
                write(lake, rows[first:last], f"topic {number}")
            write(lake, rows, f"topic {number}")
            expected |= Counter(found)
        assert kept(lake) == expected
        counted = totals(TICKS.ensure(lake))
        assert sum(counted) == sum(len(found) for found, _ in topics)
        assert counted.accepted == expected.total()
        assert not any(uncounted(lake).values())
        bars = BARS.scan(lake).collect()
        volume = sum(size * count for (_, _, size), count in expected.items() if size is not None)
        assert (bars["volume"].sum(), bars["trades"].sum()) == (volume, expected.total())


def test_the_same_trades_at_other_offsets_do_not_double_a_minutes_volume(offline_lake: Settings):
    found: list[Trade] = [(1, 5.0, 0.5), (2, 6.0, 0.5), (2, 6.0, 0.5)]
    write(offline_lake, sent(found))
    before = BARS.scan(offline_lake).collect()
    write(offline_lake, [tick(0, 9.0, 1.0, 70), *sent([(0, 0.0, None), *found], 1_000)[1:]], "second")
    after = BARS.scan(offline_lake).collect().filter(pl.col("event_time") == START)
    assert after.drop("processed_at").rows() == before.drop("processed_at").rows()
    assert before["volume"].to_list() == [1.5]


def test_another_trade_at_the_same_place_and_time_is_no_correction(offline_lake: Settings):
    write(offline_lake, [tick(0, 5.0, 1.0, 1)])
    write(offline_lake, [tick(0, 6.0, 1.0, 1)], "second")
    assert sorted(TICKS.scan(offline_lake).collect()["price"]) == [5.0, 6.0]


@pytest.mark.parametrize("old_offset", [900, 0])
def test_trades_on_a_topic_made_again_come_behind_a_bar_that_the_topic_before_told(
    offline_lake: Settings, old_offset: int
):
    """Their offsets are lower than the bar's, which says nothing."""
    bar = message(old_offset, interval="1m", event_time=START, close=100.0, ingested_at=START)
    write(offline_lake, [bar])
    write(offline_lake, [tick(3, 7.0, 1.0, 1, ingested_at=START + timedelta(hours=1))], "second")
    row = BARS.scan(offline_lake).collect().row(0, named=True)
    assert (row["close"], row["trades"], row["offset"], row["topic_id"]) == (7.0, 1, 3, "second")


def test_of_two_refused_messages_at_one_place_each_can_be_named_and_is_replayed(offline_lake: Settings):
    for topic_id, raw in (("first", b"{"), ("second", b"[")):
        write(offline_lake, [message(7, reason="not_json", raw=raw, symbol=None, event_time=None)], topic_id)
    place = Place("bronze.crypto", 0, 7)
    assert quarantine.at(offline_lake, [place])["raw"].to_list() == [b"["], "the newest"
    named = Place.parse("bronze.crypto/0/7@first")
    assert quarantine.at(offline_lake, [named])["raw"].to_list() == [b"{"]
    with pytest.raises(RepairError, match="7@third is not in quarantine"):
        quarantine.at(offline_lake, [Place.parse("bronze.crypto/0/7@third")])

    replays._claim(offline_lake, [named], "a claim")
    replays._confirm(offline_lake, {named: Place("bronze.crypto", 0, 8)})
    replayed = {row["raw"]: row["replayed_as"] for row in quarantine.rows(offline_lake).iter_rows(named=True)}
    assert replayed == {b"{": "bronze.crypto/0/8", b"[": None}


def test_a_quarantine_from_before_topics_had_ids_can_be_read_and_replayed_once(offline_lake: Settings):
    write(offline_lake, [message(7, reason="not_json", raw=b"{", symbol=None, event_time=None)])
    old = pl.DataFrame(
        {
            "topic": ["bronze.crypto"],
            "partition": [7],
            "offset": [1],
            "claim": ["x"],
            "claimed_at": [datetime.now(UTC)],
        },
        schema_overrides={"partition": pl.Int32},
    ).with_columns(replayed_as=pl.lit("bronze.crypto/0/9"))
    old.write_delta(REPLAYS.path(offline_lake))
    assert quarantine.rows(offline_lake)["replayed_as"].to_list() == [None]
    replays._claim(offline_lake, [Place("bronze.crypto", 7, 1)], "another")
    assert REPLAYS.scan(offline_lake).collect().height == 1
