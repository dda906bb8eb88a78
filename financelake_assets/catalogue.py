"""The catalogue: every Delta table of a lake, in the order of the data flow.

Status, page, metrics, maintenance, checks, back-up and lineage read this list and have none of their own. A table that
is declared in a layer's ``schema.py`` and missing here fails a test.
"""

from __future__ import annotations

from financelake_assets.bronze.schema import UNIVERSE
from financelake_assets.gold.paper.schema import (
    BACKTEST_EQUITY,
    BACKTEST_PORTFOLIO,
    BACKTEST_TRADES,
    EQUITY,
    PORTFOLIO,
    POSITIONS,
    TRADES,
)
from financelake_assets.gold.schema import (
    CALIBRATION,
    CONTRIBUTIONS,
    CORRECTIONS,
    DAILY,
    LATEST,
    PREDICTIONS,
    SCORECARD,
    SIGNALS,
    SUMMARY,
)
from financelake_assets.model.schema import (
    BASELINE_METRICS,
    DRIFT,
    MODEL_METRICS,
    MODELS,
    TRIAL_RETURNS,
    TRIALS,
    WALK_FORWARD,
)
from financelake_assets.silver.schema import BARS, FINDINGS, QUARANTINE, REPLAYS, SOURCES, TICKS
from financelake_assets.storage.delta import TableSpec
from financelake_assets.streams.progress import PROGRESS

SCORED = (PREDICTIONS, SIGNALS, SCORECARD, CORRECTIONS)
"""The tables that the gold query writes."""

PAPER = (EQUITY, TRADES, POSITIONS, PORTFOLIO)
"""The paper portfolio's tables."""

BACKTEST = (BACKTEST_EQUITY, BACKTEST_TRADES, BACKTEST_PORTFOLIO)
"""The back-test's tables."""

SUMMARIES = (LATEST, CONTRIBUTIONS, SUMMARY, DAILY, CALIBRATION)
"""Small tables for the page, computed from other tables."""

TABLES: tuple[TableSpec, ...] = (
    UNIVERSE,
    *(BARS, TICKS, QUARANTINE, REPLAYS, FINDINGS, SOURCES),
    *(MODELS, MODEL_METRICS, BASELINE_METRICS, WALK_FORWARD, DRIFT, TRIALS, TRIAL_RETURNS),
    *SCORED,
    *PAPER,
    *BACKTEST,
    *SUMMARIES,
    PROGRESS,
)
"""All tables."""
