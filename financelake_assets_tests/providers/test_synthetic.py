from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from financelake_assets.providers.base import COLUMNS, Chunk, Provider
from financelake_assets.providers.request import IngestRequest
from financelake_assets.providers.synthetic import SYMBOLS, SyntheticProvider

ROWS = 50_000


def _chunks(**request: Any) -> list[Chunk]:
    (part,) = SyntheticProvider(IngestRequest(provider="synthetic", **{"rows": ROWS, **request})).history()
    return list(part.chunks)


def _rows(**request: Any) -> pl.DataFrame:
    return pl.concat(chunk.rows for chunk in _chunks(**request))


def test_the_same_seed_gives_the_same_market_and_another_seed_another() -> None:
    assert _rows(seed=7).equals(_rows(seed=7))
    assert not _rows(seed=7).equals(_rows(seed=8))


def test_the_number_of_rows_does_not_change_their_values() -> None:
    assert _rows(rows=60_000).head(40_000).equals(_rows(rows=40_000))


def test_bars_are_possible_and_follow_each_other() -> None:
    rows = _rows()
    assert isinstance(SyntheticProvider(IngestRequest()), Provider)
    assert (rows.height, rows.schema) == (ROWS, dict(COLUMNS))
    assert set(rows["symbol"]) == set(SYMBOLS)
    assert rows.select("symbol", "event_time").is_unique().all()
    wrong = rows.filter(
        (pl.col("high") < pl.max_horizontal("open", "close"))
        | (pl.col("low") > pl.min_horizontal("open", "close"))
        | (pl.col("low") <= 0)
    )
    assert wrong.height == 0
    for one in rows.partition_by("symbol"):
        assert one["open"][1:].equals(one["close"][:-1].alias("open"))


def test_returns_have_fat_tails_and_clustered_volatility() -> None:
    one = _rows(symbols=("SIM",))
    returns = one["close"].log().diff().drop_nulls()
    assert returns.kurtosis() > 3
    absolute = returns.abs()
    assert pl.DataFrame({"a": absolute[:-1], "b": absolute[1:]}).select(pl.corr("a", "b")).item() > 0.1


def test_trades_bounce_and_have_an_identity() -> None:
    one = _rows(symbols=("SIM",), interval="tick")
    assert one["trade_id"].n_unique() == ROWS
    assert one["open"].null_count() == ROWS
    changes = one["close"].log().diff().drop_nulls()
    assert pl.DataFrame({"a": changes[:-1], "b": changes[1:]}).select(pl.corr("a", "b")).item() < -0.2


@pytest.mark.parametrize(("fault", "share"), [("gaps", 0.1), ("duplicates", 0.05), ("late", 0.2), ("corrupted", 0.03)])
def test_faults_come_in_the_chosen_proportion(fault: str, share: float) -> None:
    chunks = _chunks(**{fault: share})
    rows = pl.concat(chunk.rows for chunk in chunks)
    repeated = rows.height - rows.select("symbol", "event_time").n_unique()
    late = rows.filter(pl.col("event_time") < pl.col("event_time").cum_max()).height
    odd = sum(len(chunk.odd) for chunk in chunks)
    found = {"gaps": ROWS - rows.height - odd, "duplicates": repeated, "late": late, "corrupted": odd}
    assert found[fault] == pytest.approx(share * ROWS, rel=0.1)
    assert sum(found.values()) - found[fault] == (-repeated if fault == "duplicates" else 0)
