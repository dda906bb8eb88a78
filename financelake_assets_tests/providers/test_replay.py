from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from financelake_assets.providers.base import Chunk, Provider, ProviderError, skip_rows
from financelake_assets.providers.replay import ReplayProvider, from_request
from financelake_assets.providers.request import IngestRequest

ROWS = 12_154 + 5_152 + 27_621


def _history(provider: ReplayProvider) -> pl.DataFrame:
    (part,) = provider.history()
    return pl.concat(chunk.rows for chunk in part.chunks)


def _live(provider: ReplayProvider, start: int = 0) -> pl.DataFrame:
    return pl.concat(chunk.rows for chunk in provider.live(start))


def test_history_and_live_part_are_all_rows_each_once() -> None:
    provider = ReplayProvider(live_days=365)
    both = pl.concat([_history(provider), _live(provider)])
    assert both.height == provider.total == ROWS
    assert both.select("symbol", "event_time").is_unique().all()
    assert isinstance(provider, Provider)


def test_the_live_part_is_each_symbols_last_days() -> None:
    provider = ReplayProvider(live_days=30)
    past, live = _history(provider), _live(provider)
    end = live.group_by("symbol").agg(end=pl.col("event_time").max(), begin=pl.col("event_time").min())
    assert (end["end"] - end["begin"]).max() < timedelta(days=30)
    last_past = past.group_by("symbol").agg(last=pl.col("event_time").max())
    joined = end.join(last_past, on="symbol")
    assert joined.height == 9
    assert (joined["end"] - joined["last"]).min() >= timedelta(days=30)


def test_a_symbol_younger_than_the_live_part_is_all_live() -> None:
    provider = ReplayProvider(live_days=365)
    assert _history(provider).filter(pl.col("symbol") == "FB").height == 0
    assert _live(provider).filter(pl.col("symbol") == "FB").height == 196


def test_all_symbols_are_played_side_by_side_in_their_own_order() -> None:
    live = _live(ReplayProvider(live_days=365))
    assert live.head(60)["symbol"].n_unique() == 8, "FB's first day is later in its year"
    for rows in live.partition_by("symbol"):
        assert rows["event_time"].is_sorted()


def test_oddities_are_passed_on_as_they_are() -> None:
    rows = _history(ReplayProvider())
    assert rows.filter(pl.col("close").is_null()).select("symbol").to_series().to_list() == ["HENRYHUB"]
    assert rows.filter(pl.col("close") < 0)["close"].to_list() == [-36.98]
    assert rows.filter(symbol=pl.lit("WTI"))["open"].null_count() == rows.filter(symbol=pl.lit("WTI")).height


@pytest.mark.parametrize("start", [0, 1, 1234])
def test_going_on_from_a_row_yields_exactly_the_rest(start: int) -> None:
    provider = ReplayProvider(live_days=365)
    assert _live(provider, start).equals(_live(provider).slice(start))
    (part,) = provider.history()
    rest = pl.concat(chunk.rows for chunk in skip_rows(part.chunks, start))
    assert rest.equals(_history(provider).slice(start))


def test_identity_follows_the_split_and_not_the_speed() -> None:
    names = [
        next(provider.history()).identity
        for provider in (ReplayProvider(365, 1.0), ReplayProvider(365, 50.0), ReplayProvider(30, 1.0))
    ]
    assert names[0] == names[1] != names[2]


def test_days_are_due_at_the_chosen_speed_and_a_stop_ends_the_play() -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 3

    first, second, third = ReplayProvider(365, bars_per_second=0.001, wait=wait).live()
    for day in (first, second, third):
        assert day.rows["symbol"].is_unique().all()
    assert waits[0] == 0
    # a day is due when all bars before it have had their share of time, whatever the waits before it were
    before = [len(first), len(first) + len(second), len(first) + len(second) + len(third)]
    assert [round(seconds, -2) for seconds in waits[1:]] == [bars * 1000 for bars in before]


def test_many_days_are_played_at_once_where_they_follow_each_other_quickly() -> None:
    sizes = [len(chunk) for chunk in ReplayProvider(365, 10_000.0, wait=lambda _: None).live()]
    assert min(sizes[:-1]) >= 10_000 * 0.02
    assert sum(sizes) == ReplayProvider(365).live_rows


def test_ingest_gets_only_what_there_is() -> None:
    with pytest.raises(ProviderError, match="bars of 1d"):
        from_request(IngestRequest(provider="replay", interval="1m"))


def test_skipping_counts_typed_and_odd_rows() -> None:
    rows = _history(ReplayProvider()).head(2)
    chunk = Chunk(rows, ({"symbol": "A"}, {"symbol": "B"}))
    left = chunk.skip(3)
    assert (len(left), left.rows.height, left.odd) == (1, 0, ({"symbol": "B"},))
