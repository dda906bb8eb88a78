from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import orjson
import polars as pl
import pytest

from dash_app import wording
from dash_app.data import flow
from dash_app.data import signal_feed as feed
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.server import create_app
from dash_app.views import lake as lake_view
from dash_app.views import market as view
from dash_app.views import signals as signals_view
from financelake_assets.config import Settings
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.gold.verdicts import Signal
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.dash_app import written


def _read(lake: Settings) -> Snapshot:
    reader = LakeReader(lake)
    reader.refresh()
    return reader.snapshot


def test_signals_of_all_symbols_are_one_feed_with_reasons(offline_lake: Settings) -> None:
    written.write_lake(offline_lake, ("AAPL", "BTC-USD"))
    rows = feed.rows(_read(offline_lake), None)
    assert {row["symbol"] for row in rows} == {"AAPL", "BTC-USD"}
    assert [row["bar"] for row in rows] == sorted((row["bar"] for row in rows), reverse=True)
    assert all(row["why"] for row in rows)
    buys = feed.rows(_read(offline_lake), "BUY")
    assert {row["signal"] for row in buys} == {"BUY"}


def test_a_page_is_told_of_the_newest_buy_and_sell_signals_and_of_no_hold(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL", "BTC-USD", "IBM"), count=40)
    last = written.gold_of(rows).group_by("symbol", maintain_order=True).tail(1)
    at = pl.datetime(2026, 3, 1, pl.int_range(pl.len()), time_unit="us", time_zone="UTC")
    given = last.with_columns(signal=pl.Series(["BUY", "HOLD", "SELL"]), as_of=at)
    written.write(offline_lake, SIGNALS, given)
    told = feed.told(_read(offline_lake).signals)
    assert [one[1:] for one in told] == [("IBM", "1d", "SELL"), ("AAPL", "1d", "BUY")], "the newest first"
    assert [one[0] for one in told] == [int(when.timestamp() * 1000) for when in given["as_of"].gather([2, 0])]
    assert feed.told(Snapshot().signals) == []


def test_no_signals_are_no_rows_and_a_file_with_a_head(offline_lake: Settings) -> None:
    snapshot = _read(offline_lake)
    assert feed.rows(snapshot, None) == []
    assert feed.csv(snapshot, None).startswith("as_of,symbol,")


def test_where_no_signal_is_of_the_chosen_kind_the_next_step_is_said(offline_lake: Settings) -> None:
    written.write(offline_lake, SIGNALS, written.gold_of(written.bars(("AAPL",), count=40)).filter(signal="HOLD"))
    snapshot = _read(offline_lake)
    assert signals_view.missing(snapshot, 0, Signal.BUY).children[1].children == "No BUY among the newest signals"
    assert signals_view.missing(snapshot, 3, Signal.HOLD) is None
    assert signals_view.missing(snapshot, 3, None) is None


def test_the_file_runs_nothing_in_a_spreadsheet(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), count=40).with_columns(pl.lit("=cmd|' /C calc'!A0").alias("symbol"))
    written.write_bars(offline_lake, rows)
    written.write_gold(offline_lake, rows)
    lines = list(csv.DictReader(io.StringIO(feed.csv(_read(offline_lake), None))))
    assert {line["symbol"] for line in lines} == {"'=cmd|' /C calc'!A0"}


def test_refused_messages_are_counted_by_reason(offline_lake: Settings) -> None:
    written.write_quarantine(offline_lake, ("not_json", "not_json", "missing_price"))
    counted = {row["reason"]: row["messages"] for row in flow.refused(_read(offline_lake))}
    assert counted == {"not_json": 2, "missing_price": 1}


def test_a_refused_message_is_told_as_it_came_and_as_plain_text(offline_lake: Settings) -> None:
    written.write_quarantine(offline_lake, ("not_json", "missing_price"))
    reader = LakeReader(offline_lake)
    reader.refresh()
    client = create_app(offline_lake, reader).server.test_client()
    shown = orjson.dumps(lake_view.page(reader.snapshot), default=lambda one: one.to_plotly_json()).decode()
    links = re.findall(r'"(/refused\.txt[^"]*)"', shown)
    assert len(links) == 2
    assert "bronze.stock/0/1" in shown
    for link in links:
        answer = client.get(link)
        assert (answer.text, answer.mimetype) == ("<b>not json</b>", "text/plain")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for other in (
        "",
        "?topic=bronze.stock",
        "?topic=bronze.stock&partition=0&offset=9",
        f"?offset={10**30}&{links[0]}",
    ):
        assert client.get(f"/refused.txt{other}").status_code == 404


def _words(record: flow.Record) -> str:
    return orjson.dumps(view.record(record), default=lambda one: one.to_plotly_json()).decode()


def test_the_track_record_is_what_the_scorecard_says(offline_lake: Settings) -> None:
    rows = written.bars(("AAPL",), count=400)
    written.write_bars(offline_lake, rows)
    assert flow.track_record(_read(offline_lake), "AAPL", "1d") is None
    written.write_gold(offline_lake, rows)
    written.write_scorecard(offline_lake, rows)
    record = flow.track_record(_read(offline_lake), "AAPL", "1d")
    assert record is not None
    scored = written.gold_of(rows).with_columns(next=pl.col("close").shift(-1)).drop_nulls("next")
    # in expected moves, as everywhere
    realised = (scored["next"] / scored["close"]).log() / scored["volatility"]
    predicted = scored["predicted_return"] / scored["volatility"]
    model, naive = (float((error**2).sum()) for error in (realised - predicted, realised))
    assert record.scored == scored.height
    assert record.skill.value == pytest.approx(1 - model / naive)
    assert record.covered.value == pytest.approx(scored["next"].is_between(scored["lower"], scored["upper"]).mean())
    for found in (record.skill, record.hit_rate, record.covered, record.net_return):
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
    assert wording.reach(record.hit_rate.low, record.hit_rate.high, 1) in _words(record)
    assert flow.track_record(_read(offline_lake), "AAPL", "1d") == record, "of other rows it is computed again"
    unknown = replace(record, hit_rate=flow.Measured(0.5, None, None))
    assert "too few for a range" in _words(unknown)


def test_the_inventory_tells_rows_versions_and_what_is_missing(offline_lake: Settings) -> None:
    written.write_bars(offline_lake, written.bars(("AAPL",), count=20))
    inventory = _read(offline_lake).inventory
    (bars,) = inventory.tables
    assert (bars.name, bars.rows, bars.version, bars.files) == ("silver/bars", 20, 1 + len(BARS.constraints), 1)
    assert "gold/signals" in inventory.missing
