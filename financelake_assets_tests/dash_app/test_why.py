"""Why a signal is what it is: its bars, features and origins, and what of them changed since."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.charts.figures import candles
from dash_app.charts.theme import LIGHT
from dash_app.data import market
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.data.why import explain
from dash_app.server import create_app
from dash_app.views.why import section
from financelake_assets.config import Settings
from financelake_assets.model.features import LOOKBACK, features_of
from financelake_assets_tests.dash_app import written

DAGSTER = "http://127.0.0.1:3000"


def _read(lake: Settings) -> Snapshot:
    reader = LakeReader(lake)
    reader.refresh()
    return reader.snapshot


def _words(snapshot: Snapshot, moment: datetime) -> str:
    parts = section(explain(snapshot, "AAPL", "1d", moment), asked=True, dagster_url=DAGSTER)
    return orjson.dumps(parts, default=lambda one: one.to_plotly_json()).decode()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, pl.DataFrame]:
    lake = Settings(data_dir=tmp_path_factory.mktemp("why"))
    rows = written.bars(("AAPL",), 10).with_columns(
        topic=pl.lit("bronze.stock"), partition=pl.lit(2), offset=pl.int_range(pl.len()) + 7_000
    )
    written.write_bars(lake, rows)
    written.write_model(lake)
    at_200 = pl.int_range(pl.len()) == 200  # the model of the others does not tell it
    written.write_gold(lake, rows.with_columns(dissimilarity=pl.when(at_200).then(0.634)))
    return _read(lake), rows


def test_a_signal_is_explained_by_its_own_bars_features_and_origins(told: tuple[Snapshot, pl.DataFrame]) -> None:
    snapshot, rows = told
    moment = rows["event_time"][200]
    found = explain(snapshot, "AAPL", "1d", moment)
    assert found is not None
    assert (found.used, found.first) == (LOOKBACK + 1, rows["event_time"][200 - LOOKBACK])
    assert found.corrected == 0
    known = snapshot.bars.group("AAPL", "1d")
    seen = features_of(known).filter(pl.col("event_time") == moment).row(0, named=True)
    assert {one.name: one.value for one in found.features} == {one.name: seen[one.name] for one in found.features}
    assert found.signal is not None
    assert found.signal["event_time"] == moment
    words = _words(snapshot, moment)
    for part in (
        *(
            "offset 7200",
            "bronze.stock, partition 2",
            written.VERSION,
            "silver version 12",
            f"{DAGSTER}/assets/gold/signals",
        ),
        *("/api/v1/signals?symbol=AAPL", "none of them changed since", found.signal["signal"]),
        f"{DAGSTER}/assets/bronze/stock",
        f"{DAGSTER}/assets/model/random_forest?view=events&partition=1d",
        "Dissimilarity 0.63, where 1 is the limit",
    ):
        assert part in words, part
    assert "Dissimilarity" not in _words(snapshot, rows["event_time"][201])
    assert found.versions["silver/bars"] == snapshot.bars.version


def test_the_rows_behind_a_signal_are_those_of_its_bar(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Settings(data_dir=tmp_path_factory.mktemp("rows"))
    written.write_lake(lake, ("AAPL",))
    reader = LakeReader(lake)
    reader.refresh()
    moment = reader.snapshot.signals.group("AAPL", "1d")["event_time"][100]
    client = create_app(lake, reader).server.test_client()
    links = set(re.findall(r'"(/api/v1/[^"]*)"', _words(reader.snapshot, moment)))
    assert len(links) == 3
    for link in links:
        (row,) = client.get(link).json or []
        assert row["event_time"] == f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def test_nothing_of_a_later_bar_explains_a_signal(told: tuple[Snapshot, pl.DataFrame], tmp_path_factory) -> None:
    snapshot, rows = told
    lake = Settings(data_dir=tmp_path_factory.mktemp("cut"))
    written.write_bars(lake, rows.head(201))
    cut = explain(_read(lake), "AAPL", "1d", rows["event_time"][200])
    whole = explain(snapshot, "AAPL", "1d", rows["event_time"][200])
    assert cut is not None
    assert whole is not None
    assert cut.features == whole.features


def test_bars_that_changed_since_are_counted(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), 10, count=120)
    written.write_bars(offline_lake, pl.concat([rows[:100], rows[103:]]))
    written.write_gold(offline_lake, rows)
    written.write_bars(offline_lake, rows[100:103], at=datetime.now(UTC) + timedelta(minutes=1))
    assert "3 of them changed since" in _words(_read(offline_lake), rows["event_time"][-1])


def test_a_bar_without_a_signal_or_with_little_history_says_so(told: tuple[Snapshot, pl.DataFrame]) -> None:
    snapshot, rows = told
    words = _words(snapshot, rows["event_time"][3])
    assert "has no signal" in words
    assert "too few for its features" in words
    assert "does not have that bar" in _words(snapshot, datetime(1999, 1, 1, tzinfo=UTC))
    assert explain(Snapshot(), "AAPL", "1d", rows["event_time"][3]) is None


def test_the_chart_marks_the_bars_that_were_used(told: tuple[Snapshot, pl.DataFrame]) -> None:
    snapshot, _ = told
    series = market.series(snapshot, "AAPL", "1d", 60)
    assert series is not None
    moments = series.bars["event_time"]
    band, line = candles(series, LIGHT, (moments[0] - timedelta(days=80), moments[20]))["layout"]["shapes"]
    assert (band["x0"], band["x1"]) == (series.columns["at"][0], series.columns["at"][20])
    assert line["x0"] == line["x1"] == series.columns["at"][20]
    assert (
        candles(series, LIGHT, (moments[0] - timedelta(days=90), moments[0] - timedelta(days=1)))["layout"]["shapes"]
        == []
    )


@given(st.integers(0, 59), st.sampled_from(["T", " "]), st.booleans())
def test_a_click_finds_its_bar(told: tuple[Snapshot, pl.DataFrame], number: int, between: str, short: bool) -> None:
    series = market.series(told[0], "AAPL", "1d", 60)
    assert series is not None
    text = series.columns["at"][number].replace("T", between)
    assert series.at(text[:10] if short else text) == series.bars["event_time"][number]
    assert series.at("1999-01-01") is None


def test_a_bar_tells_its_own_signal_and_no_marker_tells_that_of_another(told: tuple[Snapshot, pl.DataFrame]) -> None:
    series = market.series(told[0], "AAPL", "1d", 60)
    assert series is not None
    prices = next(trace for trace in candles(series, LIGHT)["data"] if trace["name"] == "AAPL")
    assert [text.split(":")[0] for text in prices["text"]] == [signal or "" for signal in series.columns["signal"]]
    for side in ("BUY", "SELL"):
        assert next(trace for trace in candles(series, LIGHT)["data"] if trace["name"] == side)["hoverinfo"] == "skip"
