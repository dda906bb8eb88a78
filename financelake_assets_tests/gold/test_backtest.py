"""The back-test: the same trades as the live account makes of the same forecasts, and what it says that it covers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.config import Settings, get_settings
from financelake_assets.defs.gold.assets import gold_backtest
from financelake_assets.defs.resources import LakeResource, TablesResource
from financelake_assets.gold.paper import backtest_store
from financelake_assets.gold.paper.accounts import ACCOUNT, AccountKey, by_account
from financelake_assets.gold.paper.backtest import Backtest, notes
from financelake_assets.gold.paper.backtest_store import NoForecastsError
from financelake_assets.gold.paper.book_store import PaperPortfolio
from financelake_assets.gold.paper.schema import (
    BACKTEST_EQUITY,
    BACKTEST_PORTFOLIO,
    BACKTEST_TRADES,
    EQUITY,
    TRADES,
)
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.gold.scoring import score_bars
from financelake_assets.gold.verdicts import HoldReason
from financelake_assets.model import trials
from financelake_assets.model.cadence import Refits, refits_of
from financelake_assets.model.forest import Forest
from financelake_assets.model.outputs import DISSIMILARITY, RAW, RAW_SIZE, RAW_UP
from financelake_assets.model.record import Status
from financelake_assets.model.schema import MODELS, WALK_FORWARD
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.cli.main_command import run
from financelake_assets_tests.gold.frames import frame
from financelake_assets_tests.gold.test_book_store import add
from financelake_assets_tests.model import market
from financelake_assets_tests.model.records import record

DAYS = 150
VERSION = "rf-1"
LAST = market.START + timedelta(days=DAYS - 1)
REFITTED = market.START + timedelta(days=90)


@dataclass(frozen=True)
class Guess(Forest):
    """Foresees at random, the same for the same bar: what it is worth is not asked here."""

    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        guess = rows.select((pl.col("log_return") * 1e4).sin())["log_return"]
        unlike = pl.Series(DISSIMILARITY, 1.05 * guess.abs())
        return pl.DataFrame({RAW: guess, RAW_UP: 0.5 + guess * 0.4, RAW_SIZE: 1 + guess.abs(), DISSIMILARITY: unlike})


RECORD = record(
    VERSION,
    status=Status.CHAMPION,
    trained_at=LAST,
    train_start=market.START,
    train_end=LAST,
    promoted_at=LAST,
)


def history() -> pl.DataFrame:
    """Two stocks, one with a hole and one with a split that no price is adjusted for, Bitcoin, and oil below zero."""
    without_adjusted = pl.lit(None, pl.Float64).alias("adj_close")
    a, b = (market.bars(name, market.moves(DAYS, seed)) for name, seed in (("A", 1), ("B", 2)))
    parts = [
        a.filter((pl.int_range(pl.len()) < 110) | (pl.int_range(pl.len()) >= 113)),
        market.with_raw_split(b, 120, 4.0).with_columns(without_adjusted),
        market.bars("BTC-USD", market.moves(DAYS, 3), "crypto"),
        market.with_close(market.close_only("WTI", market.moves(DAYS, 4)), 100, -36.98),
    ]
    whole = pl.concat(parts)
    return pl.concat([BARS.empty, whole], how="diagonal_relaxed").select(BARS.schema.names)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake that was scored and traded live, a third of its days at a time, and has the same forecasts as a walk."""
    return traded(Settings(data_dir=tmp_path_factory.mktemp("lake")))


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same, where a new model came every 15 days from ``REFITTED`` on, and one of more than 10 gives no signals."""
    settings = Settings.model_validate({"data_dir": tmp_path_factory.mktemp("aged"), "model": {"max_age_days": 10}})
    bars, day = history(), timedelta(days=1)
    fresh = RECORD, market.START, REFITTED, LAST
    calls, walks = [fresh], [(None, fresh[1], REFITTED, market.START - day)]
    for number, begins in enumerate(pl.datetime_range(REFITTED, LAST, "15d", eager=True), start=1):
        made = replace(RECORD, trained_at=begins)
        old, ends = begins + 10 * day, begins + 15 * day
        # a bar of a day is decided when the day is over
        calls += [(made, begins, old, old), (made, old, ends, old + day)]
        walks.append((number, begins, ends, begins - 2 * day))
    rows = pl.concat(
        score_bars(settings, bars, of(bars, since, until), Guess({}, 0.0, (), None), made, {}, now)  # type: ignore[arg-type]
        for made, since, until, now in calls
    )
    assert set(rows["reason"]) >= {"model_expired", "recent_reversal"}
    parts = [
        of(walk_of(rows), since, until).with_columns(
            fold=pl.lit(2 if number is None else 3, pl.Int32),
            refit=pl.lit(number, pl.Int32),
            learnt_until=pl.lit(learnt),
        )
        for number, since, until, learnt in walks
    ]
    return traded(settings, rows, pl.concat(parts))


def of(rows: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    return rows.filter(pl.col("event_time").is_between(since, until, closed="left"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same, where the universe tells two currencies of the stocks, and that of Bitcoin."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("told"))
    named = (("A", "stock", "EUR"), ("B", "stock", "USD"), ("BTC-USD", "crypto", "USD"))
    add(
        UNIVERSE,
        settings,
        frame(UNIVERSE, [dict(zip(("symbol", "asset_class", "currency"), one, strict=True)) for one in named]),
    )
    return traded(settings)


def traded(settings: Settings, rows: pl.DataFrame | None = None, walk: pl.DataFrame | None = None) -> Settings:
    """Trade the rows live; by default those of one model, which is the walk."""
    bars = history()
    add(BARS, settings, bars)
    if rows is None:
        rows = score_bars(settings, bars, bars, Guess({}, 0.0, (), None), RECORD, {}, LAST)  # type: ignore[arg-type]
    live = PaperPortfolio(settings)
    for first in range(0, DAYS, DAYS // 3):
        begins = market.START + timedelta(days=first)
        part = of(rows, begins, begins + timedelta(days=DAYS // 3))
        add(PREDICTIONS, settings, part.drop_nulls("predicted_return"))
        add(SIGNALS, settings, part)
        live.advance()
    add(WALK_FORWARD, settings, walk_of(rows) if walk is None else walk)
    add(MODELS, settings, frame(MODELS, [RECORD.row()]))
    return settings


def walk_of(rows: pl.DataFrame) -> pl.DataFrame:
    second = pl.col("event_time") >= market.START + timedelta(days=100)
    return rows.drop_nulls("predicted_return").with_columns(
        fold=pl.when(second).then(3).otherwise(2).cast(pl.Int32),
        refit=pl.lit(None, pl.Int32),
        learnt_until=pl.col("event_time").min().over(second) - timedelta(days=1),
        target_time=pl.col("event_time") + timedelta(days=1),
        low=pl.lit(-0.1),
        high=pl.lit(0.1),
        realised_return=pl.lit(0.0),
        held_out=second,
    )


def made(settings: Settings, symbol: str | None = None) -> Backtest:
    return backtest_store.make(settings, RECORD, lambda _: None, symbol)


@pytest.mark.parametrize(("name", "accounts"), [("lake", 3), ("told", 4), ("aged", 3)])
def test_on_the_same_rows_it_makes_the_trades_of_the_live_account(
    name: str, accounts: int, request: pytest.FixtureRequest
) -> None:
    lake: Settings = request.getfixturevalue(name)
    found = made(lake)
    assert len(by_account(found.equity)) == len(by_account(EQUITY.scan(lake).collect())) == accounts
    live_trades, live_equity = (table.scan(lake).collect().sort(table.key) for table in (TRADES, EQUITY))
    assert len(live_trades) > 100
    held_back = SIGNALS.scan(lake).filter(pl.col("reason") == HoldReason.UNLIKE_TRAINING.value).collect()
    assert len(held_back) > 20, "and what it holds back, so does the back-test"
    assert set(live_trades["why"]) >= {"signal", "expired"}
    assert_frame_equal(found.trades.sort(TRADES.key), live_trades, check_exact=False, rel_tol=1e-12)
    # live there are steps before the first bar that can be scored: nothing is held then
    since = live_equity.join(
        found.equity.group_by(ACCOUNT).agg(_first=pl.col("event_time").min()), on=ACCOUNT, nulls_equal=True
    )
    both = since.filter(pl.col("event_time") >= pl.col("_first"))
    own = (*ACCOUNT, "event_time", "equity", "exposure", "turnover", "costs", "drawdown", "luck_low", "luck_p")
    assert_frame_equal(found.equity.sort(EQUITY.key).select(own), both.select(own), check_exact=False, rel_tol=1e-12)


def test_each_account_is_that_of_its_symbols_alone(told: Settings) -> None:
    whole = made(told)
    for symbol, currency in (("A", "EUR"), ("B", "USD"), ("BTC-USD", "USD"), ("WTI", None)):
        alone = made(told, symbol)
        (account,) = (AccountKey.of(one) for one in alone.covered)
        assert account.currency == currency
        for table in ("equity", "trades", "statistics"):
            rows = getattr(whole, table).filter(account.condition)
            # the last bit of a mean depends on where its rows lie in memory
            assert_frame_equal(rows, getattr(alone, table), check_exact=False, rel_tol=1e-12)
            assert not rows.is_empty()


def test_it_says_what_it_covers_and_what_not(lake: Settings) -> None:
    found = made(lake)
    stock, oil = (next(one for one in found.covered if one["asset_class"] == name) for name in ("stock", "commodity"))
    walk = WALK_FORWARD.scan(lake).collect()
    first = walk.filter(asset_class="stock")["event_time"].min()
    assert stock["symbols"] == ["A", "B"]
    assert (stock["first"], stock["last"]) == (first, LAST)
    assert stock["forecasts"] == len(walk.filter(asset_class="stock"))
    assert stock["forecasts"] + stock["unscored"] + stock["left_out"] == 2 * DAYS - 3
    assert oil["unscored"] > 0, "a price below zero cannot be scored"
    assert [fold["fold"] for fold in found.folds] == [2, 3]
    assert all(fold["learnt_until"] < fold["start"] for fold in found.folds)
    said = " ".join(notes(found, 30))
    assert "Refits: 2" in said
    assert "30 days" in said
    assert f"Held out: nothing was chosen on {walk['held_out'].mean():.0%}" in said
    below = market.START + timedelta(days=100)
    assert f"Buy and hold of commodity 1d was worth nothing, or less, on {below:%Y-%m-%d}" in said
    assert "stock 1d was worth nothing" not in said


def test_it_says_how_many_refits_were_made_for_which_time_and_what_came_too_late(aged: Settings) -> None:
    found = made(aged)
    assert [(fold["fold"], fold["refit"]) for fold in found.folds] == [(2, None), (3, 1), (3, 2), (3, 3), (3, 4)]
    walk = WALK_FORWARD.scan(aged).collect()
    told = refits_of(walk)
    assert told == Refits(4, REFITTED, LAST)
    assert Refits.parse(json.loads(json.dumps(told.dump()))) == told
    assert refits_of(walk.filter(pl.col("refit").is_null())) is None
    assert Refits.parse({}) is None
    late = SIGNALS.scan(aged).filter(pl.col("reason") == "model_expired").collect()
    late = late.join(PREDICTIONS.scan(aged).collect(), on=PREDICTIONS.key, how="semi")
    assert sum(one["expired"] for one in found.covered) == len(late) > 50
    said = notes(found, 30)
    assert said[0].startswith(
        "Refits: 4 as a live lake makes them, for the bars from 2015-04-01 to 2015-05-30. 1 before"
    )
    assert said[-1] == f"Too old: the forests of {len(late)} forecasts, whose bars were HOLD (model_expired)."


def test_the_signals_stand_beside_what_holding_and_luck_earn(lake: Settings) -> None:
    found = made(lake)
    assert set(found.statistics["curve"]) == {"signals", "buy_and_hold", "random"}
    own = found.statistics.filter(curve="signals")
    assert own["luck_p"].is_between(0, 1).all()
    assert (own["trials"] == trials.tried(lake).count).all()
    assert (found.equity["luck_low"] <= found.equity["luck_high"]).all()


def test_one_symbol_trades_in_an_account_of_its_own(lake: Settings) -> None:
    found = made(lake, "B")
    assert set(found.trades["symbol"]) == {"B"}
    assert [one["symbols"] for one in found.covered] == [["B"]]
    with pytest.raises(NoForecastsError, match="'TSLA'"):
        made(lake, "TSLA")


def test_it_is_kept_once_a_version(lake: Settings) -> None:
    found = made(lake)
    for _ in range(2):
        backtest_store.keep(lake, found)
    for table, rows in (
        (BACKTEST_EQUITY, found.equity),
        (BACKTEST_TRADES, found.trades),
        (BACKTEST_PORTFOLIO, found.statistics),
    ):
        kept = table.scan(lake).collect()
        assert len(kept) == len(rows) > 0
        assert set(kept["model_version"]) == {VERSION}


def test_other_rules_are_another_trial(lake: Settings) -> None:
    made(lake)
    before = trials.tried(lake).count
    made(lake)
    assert trials.tried(lake).count == before
    stricter = lake.model_copy(update={"signals": lake.signals.model_copy(update={"min_confidence": 0.95})})
    found = made(stricter)
    assert trials.tried(lake).count == before + 1
    assert found.trades.is_empty(), "nobody is so sure"


def test_without_forecasts_it_says_what_to_do(offline_lake: Settings) -> None:
    with pytest.raises(NoForecastsError) as none:
        backtest_store.version_of(offline_lake, None)
    assert "financelake train" in str(none.value.remedy)
    with pytest.raises(NoForecastsError, match="are kept"):
        backtest_store.make(offline_lake, RECORD, lambda _: None)


@pytest.fixture
def at_the_lake(lake: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(lake.data_dir))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.usefixtures("at_the_lake")
def test_the_command_prints_a_table_or_json(
    lake: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "backtest") in (0, None)
    said = capsys.readouterr()
    assert VERSION in said.out
    assert "buy_and_hold" in said.out
    assert "Refits: 2" in said.err
    assert run(monkeypatch, "backtest", "--json") in (0, None)
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"model_version", "statistics", "covered", "folds", "notes", "equity", "trades"}
    assert len(told["trades"]) == len(TRADES.scan(lake).collect())
    assert datetime.fromisoformat(told["covered"][0]["first"]).tzinfo is not None
    np.testing.assert_allclose(
        [row["equity"] for row in told["equity"]],
        BACKTEST_EQUITY.scan(lake).collect().sort(BACKTEST_EQUITY.key)["equity"],
    )


@pytest.mark.usefixtures("at_the_lake")
def test_dagster_writes_the_newest_versions(lake: Settings) -> None:
    held = LakeResource()
    resources = {"lake": held, "tables": TablesResource(lake=held)}
    result = dg.materialize([gold_backtest], partition_key="1d", resources=resources)
    told = {event.asset_key.path[-1]: event.materialization for event in result.get_asset_materialization_events()}
    assert set(told) == {"backtest_equity", "backtest_trades", "backtest_portfolio"}
    assert {one.metadata["model_version"].value for one in told.values()} == {VERSION}
    assert told["backtest_trades"].metadata["dagster/row_count"].value == len(TRADES.scan(lake).collect())


@pytest.mark.usefixtures("at_the_lake")
def test_the_command_writes_a_tear_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "sheet.html"
    assert run(monkeypatch, "backtest", "--symbol", "B", "--report", str(file)) in (0, None)
    text = file.read_text()
    assert f"<h1>Back-test of {VERSION}, B alone</h1>" in text
    assert "<h2>stock 1d</h2>" in text
    assert "<h2>crypto 1d</h2>" not in text
    assert run(monkeypatch, "backtest", "--report", str(tmp_path)) == 1
    assert "is a folder" in " ".join(capsys.readouterr().err.split())  # a long path breaks the line
