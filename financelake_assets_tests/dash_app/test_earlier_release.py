"""A lake that the release before wrote opens: tables without the new columns, a book without paths, an old champion."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from dash import html
from deltalake import CommitProperties, Transaction, write_deltalake

from dash_app.charts import curves
from dash_app.charts.theme import LIGHT
from dash_app.data import portfolio
from dash_app.data.lake_reader import LakeReader, Snapshot
from dash_app.views import model as model_view
from dash_app.views import model_card
from dash_app.views import portfolio as portfolio_view
from financelake_assets.config import ModelSettings, Settings
from financelake_assets.gold.paper.schema import EQUITY, PORTFOLIO, TRADES
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.gold.standing import Standing
from financelake_assets.model import registry, trials
from financelake_assets.model.drift import JUDGED
from financelake_assets.model.schema import MODEL_METRICS, MODELS
from financelake_assets.model.verdict import QUESTIONS, Verdict
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec
from financelake_assets_tests.dash_app import written

SYMBOLS = ("AAPL", "IBM", "BTC-USD")
NEW_COLUMNS: dict[str, tuple[str, ...]] = {
    MODEL_METRICS.name: (
        *QUESTIONS,
        *(f"{question}_{number}" for question in QUESTIONS for number in ("t", "p", "q")),
        *("clark_west_t", "clark_west_mean_t", "smallest_edge", "trades"),
        *("net_return", "net_move", "net_move_low", "net_move_high"),
    ),
    EQUITY.name: ("luck_low", "luck_high", "luck_p", "currency"),
    PORTFOLIO.name: ("luck_p", "currency"),
    TRADES.name: ("currency",),
    SCORECARD.name: ("traded_return",),
    PREDICTIONS.name: ("dissimilarity",),
    MODELS.name: ("held_back",),
}
"""What this release adds to the tables that there were."""
SPREAD = {"edges": [-1.0, 1.0], "shares": [0.2, 0.6, 0.2], "least": -3.0, "greatest": 3.0}


def _copy(source: Settings, target: Settings, table: TableSpec) -> None:
    """A table as the release before wrote it: without the new columns, and with books that have no paths."""
    opened = table.open(source)
    assert opened is not None
    rows = pl.scan_delta(opened).collect().drop(NEW_COLUMNS.get(table.name, ()))
    if table is EQUITY:
        rows = rows.with_columns(pl.col("book").map_elements(_old_book, return_dtype=pl.String))
    schema = pa.schema([table.schema.field(name) for name in rows.columns])
    marks = {name: opened.transaction_version(name) for name in ("stock/1d", "crypto/1d")}
    taken = [Transaction(name, steps) for name, steps in marks.items() if steps is not None]
    properties = CommitProperties(app_transactions=taken) if taken else None
    write_deltalake(table.path(target), rows.to_arrow().cast(schema), commit_properties=properties)


def _old_book(text: str) -> str:
    stored: dict[str, Any] = json.loads(text)
    book = json.loads(stored["book"])
    del book["luck"]
    return json.dumps({**stored, "book": json.dumps(book)})


@pytest.fixture
def earlier(tmp_path: Path) -> Settings:
    """A lake that the release before left behind."""
    now, before = (Settings(data_dir=tmp_path / name) for name in ("now", "before"))
    rows = written.bars(SYMBOLS, 10)
    written.write_bars(now, rows)
    written.write_model(
        now,
        reference=json.dumps(dict.fromkeys(JUDGED, SPREAD)),
        parameters=json.dumps(ModelSettings().model_dump(mode="json", exclude={"retrain_days", "holdout_since"})),
        trials=20,
        train_start=datetime(1990, 1, 2, tzinfo=UTC),
        train_end=datetime(2025, 1, 2, tzinfo=UTC),
    )
    written.write_gold(now, rows)
    written.write_scorecard(now, rows)
    written.write_portfolio(now)
    for table in (BARS, MODELS, MODEL_METRICS, PREDICTIONS, SIGNALS, SCORECARD, EQUITY, TRADES, PORTFOLIO):
        _copy(now, before, table)
    return before


def _page(lake: Settings) -> tuple[Snapshot, str]:
    reader = LakeReader(lake)
    reader.refresh()
    snapshot = reader.snapshot
    account = portfolio.account(snapshot, None, None)
    assert account is not None
    json.dumps(curves.equity(account, LIGHT), allow_nan=False)
    parts = [
        *model_card.card(snapshot, "1d", "AAPL"),
        *model_view.page(snapshot, LIGHT),
        *portfolio_view.page(account),
        html.P([portfolio_view.in_words(account), portfolio_view.chart_words(account)]),
    ]
    return snapshot, str(html.Div(parts).to_plotly_json())


def test_the_page_opens_before_anything_new_is_written(earlier: Settings) -> None:
    _, text = _page(earlier)
    assert "earlier release" in text
    assert "predicts nothing of the next return" not in text  # that was not asked then


def test_the_card_of_an_old_version_says_what_was_not_asked(earlier: Settings) -> None:
    record = registry.get(earlier, written.VERSION)
    assert record.verdict is Verdict.NO_EDGE
    assert (record.trials, set(record.reference.features), record.reference.usual) == (20, set(JUDGED), [])
    card = registry.card(earlier, record)
    assert "An earlier release judged this version" in card
    assert "predicts nothing" not in card
    assert card.count("|  |") > 10  # what was not measured is empty


def test_the_portfolio_goes_on_from_an_old_book(earlier: Settings) -> None:
    taken = EQUITY.scan(earlier).collect()
    assert Standing(earlier).refresh().steps == 0
    after = written.bars(SYMBOLS, 0, 60)
    gold = written.gold_of(after).join(SIGNALS.scan(earlier).collect(), on=["symbol", "event_time"], how="anti")
    written.write_bars(earlier, after.join(gold, on=["symbol", "event_time"], how="semi"))
    for table in (PREDICTIONS, SIGNALS):
        written.write(earlier, table, gold)
    assert Standing(earlier).refresh().steps > 0
    rows = EQUITY.scan(earlier).collect().sort("event_time").filter(pl.col("asset_class") == "stock")
    old, new = rows.filter(pl.col("luck_p").is_null()), rows.filter(pl.col("luck_p").is_not_null())
    assert old.height == taken.filter(pl.col("asset_class") == "stock").height
    assert new.height > 0
    assert new["equity"][0] == pytest.approx(old["equity"][-1], rel=0.2)
    assert trials.ledger(earlier).height == 1
    _page(earlier)
