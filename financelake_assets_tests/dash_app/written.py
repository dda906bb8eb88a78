"""Real Delta tables for the dashboard's tests: packaged market history, and gold by a rule that is the tests' own."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any

import polars as pl
from deltalake import write_deltalake

from financelake_assets.config import Settings
from financelake_assets.gold.paper.schema import BACKTEST_EQUITY, BACKTEST_PORTFOLIO, EQUITY, PORTFOLIO
from financelake_assets.gold.schema import PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.gold.standing import Standing
from financelake_assets.model.schema import MODEL_METRICS, MODELS
from financelake_assets.silver.schema import BARS, QUARANTINE
from financelake_assets.storage.delta import TableSpec

VERSION = "rf-test-1"
COVERAGE = 0.8


@lru_cache(maxsize=1)
def history() -> pl.DataFrame:
    """The packaged history as silver bars: close-only sources get their other prices from the close."""
    data = files("financelake_assets") / "providers" / "data"
    parts = [
        pl.read_csv(
            io.BytesIO((data / f"{name}_daily.csv.gz").read_bytes()),
            infer_schema_length=None,
            schema_overrides={"volume": pl.Float64},
        )
        for name in ("stocks", "crypto", "commodities")
    ]
    rows = pl.concat(parts, how="vertical_relaxed").filter(pl.col("close").is_not_null())
    return rows.with_columns(
        pl.lit("1d").alias("interval"),
        pl.col("date").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC").alias("event_time"),
        pl.when(pl.col("open").is_null()).then(pl.lit("open,high,low")).alias("imputed"),
        *[pl.col(name).fill_null(pl.col("close")) for name in ("open", "high", "low")],
    ).sort("symbol", "event_time")


def write(settings: Settings, table: TableSpec, rows: pl.DataFrame) -> None:
    """Append rows to a table with its declared columns, as one commit."""
    table.ensure(settings)
    given = table.empty
    full = pl.concat(
        [given, rows.select(name for name in given.columns if name in rows.columns)], how="diagonal_relaxed"
    )
    write_deltalake(table.path(settings), full.cast(dict(given.schema)).to_arrow(), mode="append")


def bars(symbols: tuple[str, ...], skip_last: int = 0, count: int = 400) -> pl.DataFrame:
    """The last bars of some symbols, leaving out the newest few."""
    parts = [history().filter(pl.col("symbol") == symbol) for symbol in symbols]
    return pl.concat(part.head(part.height - skip_last).tail(count) for part in parts)


def write_bars(settings: Settings, rows: pl.DataFrame, at: datetime | None = None) -> None:
    """Rows into silver/bars as if they had just arrived."""
    moment = pl.lit(at or datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
    write(
        settings,
        BARS,
        rows.with_columns(
            moment.alias("ingested_at"),
            moment.alias("processed_at"),
            pl.lit("replay").alias("provider"),
            pl.lit(1).alias("messages"),
            pl.lit(0).alias("duplicates"),
        ),
    )


def gold_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Predictions and signals on bars by a rule of the tests: the mean of five returns goes on for one bar."""
    step = pl.col("close").pct_change().over("symbol")
    volatility = step.rolling_std(20).over("symbol").clip(1e-4)
    guess = step.rolling_mean(5).over("symbol").clip(-0.05, 0.05)
    scored = rows.with_columns(guess.alias("predicted_return"), volatility.alias("volatility")).drop_nulls("volatility")
    move = pl.col("predicted_return").exp()
    strength = pl.col("predicted_return").abs() / pl.col("volatility")
    reason = (
        pl.when(pl.col("predicted_return").abs() < 0.0008)
        .then(pl.lit("below_costs"))
        .when(strength < 0.8)
        .then(pl.lit("low_confidence"))
    )
    direction = pl.when(pl.col("predicted_return") > 0).then(pl.lit("BUY")).otherwise(pl.lit("SELL"))
    return scored.with_columns(
        pl.lit(1).alias("horizon"),
        (pl.col("close") * move).alias("predicted_close"),
        (pl.col("close") * move * (1 - 1.28 * pl.col("volatility"))).alias("lower"),
        (pl.col("close") * move * (1 + 1.28 * pl.col("volatility"))).alias("upper"),
        pl.lit(COVERAGE).alias("coverage"),
        (0.5 + pl.col("predicted_return") * 5).clip(0, 1).alias("probability_up"),
        pl.lit(VERSION).alias("model_version"),
        strength.alias("strength"),
        (0.5 + strength / 10).clip(0, 1).alias("confidence"),
        pl.lit(2.0).alias("cost_bps"),
        reason.alias("reason"),
        pl.when(reason.is_null()).then(direction).otherwise(pl.lit("HOLD")).alias("signal"),
        pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC")).alias("as_of"),
    )


def write_gold(settings: Settings, rows: pl.DataFrame) -> None:
    """Predictions and signals on bars."""
    scored = gold_of(rows)
    write(settings, PREDICTIONS, scored)
    write(settings, SIGNALS, scored)


def write_model(settings: Settings, **changes: Any) -> None:
    """A champion with figures for all symbols and for AAPL."""
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    record = {
        "model_version": VERSION,
        "status": "champion",
        "status_reason": "the first",
        "verdict": "no edge",
        "trained_at": moment,
        "promoted_at": moment,
        "silver_version": 12,
        "silver_rows": 34_000,
        "horizon": 1,
        "interval": "1d",
        "features": json.dumps(["return_1", "volatility_20"]),
        **dict.fromkeys(("parameters", "shrinkage", "residual_quantiles"), "{}"),
        "importance": json.dumps({"return_1": 0.4, "volatility_20": 0.6}),
    }
    write(settings, MODELS, pl.DataFrame([{**record, **changes}]))
    figures = {
        "model_version": changes.get("model_version", VERSION),
        "fold": 0,
        "rows": 6_500,
        "start": moment,
        "end": moment,
        "r2_price": 0.9954,
        "r2_price_naive": 0.9955,
        "skill": -0.0031,
        "skill_low": -0.011,
        "skill_high": 0.004,
        "mase": 1.002,
        "mase_naive": 1.004,
        "oos_r2_return": -0.002,
        "oos_r2_return_low": -0.009,
        "oos_r2_return_high": 0.005,
        "hit_rate": 0.512,
        "hit_rate_low": 0.498,
        "hit_rate_high": 0.526,
        "majority_rate": 0.519,
        "ic": 0.01,
        "rank_ic": 0.02,
        "coverage": 0.807,
        "coverage_low": 0.789,
        "coverage_high": 0.824,
        "coverage_nominal": COVERAGE,
        "interval_width": 0.03,
        "verdict": "no edge",
        "predictable": "no edge",
        "predictable_t": 0.8,
        "predictable_q": 0.42,
        "smallest_edge": 0.0012,
        "accurate": "no edge",
        "tradable": "worse",
        "trades": 412,
        "net_return": -0.0004,
        "net_move": -0.031,
        "net_move_low": -0.06,
        "net_move_high": -0.002,
    }
    write(settings, MODEL_METRICS, pl.DataFrame([{**figures, "symbol": symbol} for symbol in ("ALL", "AAPL")]))


SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT", "FB", "BTC-USD", "WTI", "BRENT", "HENRYHUB")


def write_lake(settings: Settings, symbols: tuple[str, ...] = SYMBOLS, skip_last: int = 10) -> None:
    """Everything: bars, model, predictions and signals."""
    rows = bars(symbols, skip_last)
    write_bars(settings, rows)
    write_model(settings)
    write_gold(settings, rows)


def write_portfolio(settings: Settings) -> None:
    """The paper portfolio of the signals that are written, and the summaries, by gold's own code."""
    Standing(settings).refresh()


def write_backtests(settings: Settings, *versions: str) -> None:
    """What the accounts did, as if it were the back-test of these versions, the newest last."""
    pairs = ((EQUITY, BACKTEST_EQUITY), (PORTFOLIO, BACKTEST_PORTFOLIO))
    for number, version in enumerate(versions):
        made = {
            "model_version": pl.lit(version),
            "computed_at": pl.lit(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)),
        }
        for live, tested in pairs:
            write(settings, tested, live.scan(settings).collect().with_columns(**made))


def write_quarantine(settings: Settings, reasons: tuple[str, ...]) -> None:
    """Refused messages, one a reason."""
    rows = pl.DataFrame({"reason": reasons}).with_row_index("offset")
    more = {"raw": pl.lit(b"<b>not json</b>"), "topic": pl.lit("bronze.stock"), "partition": pl.lit(0)}
    write(settings, QUARANTINE, rows.with_columns(**more, quarantined_at=pl.lit(datetime.now(UTC))))


def write_scorecard(settings: Settings, rows: pl.DataFrame) -> None:
    """What became of the tests' own predictions, by the scorecard's own rules."""
    scored = gold_of(rows)
    later = rows.select(
        "symbol",
        "event_time",
        pl.col("event_time").shift(-1).over("symbol").alias("target_time"),
        pl.col("close").shift(-1).over("symbol").alias("realised_close"),
    )
    judged = scored.join(later, on=["symbol", "event_time"]).drop_nulls("target_time")
    realised = (pl.col("realised_close") / pl.col("close")).log()
    traded = pl.when(pl.col("signal") == "BUY").then(realised).when(pl.col("signal") == "SELL").then(-realised)
    write(
        settings,
        SCORECARD,
        judged.with_columns(
            realised.alias("realised_return"),
            (realised * pl.col("predicted_return") > 0).alias("hit"),
            pl.col("realised_close").is_between("lower", "upper").alias("covered"),
            (pl.col("realised_close") - pl.col("predicted_close")).alias("price_error"),
            (pl.col("realised_close") - pl.col("close")).alias("naive_price_error"),
            (traded - 4e-4).alias("net_return"),
            realised.alias("traded_return"),
            pl.lit(datetime.now(UTC)).alias("scored_at"),
        ),
    )
