"""Checks of silver in Dagster: no message is lost or counted twice, and rows are as declared and fresh."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from financelake_assets.config import Settings
from financelake_assets.defs import table_checks
from financelake_assets.defs.table_checks import Check, CheckOutcome, every_table_has
from financelake_assets.silver.lateness import late_series
from financelake_assets.silver.ledger import read_ledger, uncounted
from financelake_assets.silver.schema import BARS, FINDINGS, QUARANTINE, TICKS

MOST_QUARANTINED = 0.01
MOST_MISSING = 0.01
LEDGER = "ledger_balanced"
_SHOWN = 20


def _ledger_balanced(settings: Settings) -> CheckOutcome:
    ledger = read_ledger(settings)
    return CheckOutcome(ledger.balanced, ledger.as_dict())


def _totals_match_rows(settings: Settings) -> CheckOutcome:
    beyond = uncounted(settings)
    return CheckOutcome(not any(beyond.values()), {"rows_beyond_totals": beyond})


def _fresh(settings: Settings) -> CheckOutcome:
    late = late_series(settings, datetime.now(UTC))
    return CheckOutcome(not late, {"late_series": len(late), "overdue_bars": dict(list(late.items())[:_SHOWN])})


def _quarantined(settings: Settings) -> CheckOutcome:
    ledger = read_ledger(settings)
    share = ledger.quarantine / ledger.consumed if ledger.consumed else 0.0
    counts = QUARANTINE.scan(settings).group_by("reason").len().sort("reason").collect()
    return CheckOutcome(share <= MOST_QUARANTINED, {"share": share, "by_reason": dict(counts.iter_rows())})


def _gaps(settings: Settings) -> CheckOutcome:
    missing = FINDINGS.scan(settings).group_by("symbol", "interval").agg(pl.col("missing").sum())
    present = BARS.scan(settings).group_by("symbol", "interval").len()
    series = present.join(missing, on=["symbol", "interval"], how="left").fill_null(0).collect()
    due = pl.col("missing") + pl.col("len")
    holed = series.filter(pl.col("missing") > MOST_MISSING * due).sort("missing", descending=True)
    shown = {f"{row['symbol']} {row['interval']}": row["missing"] for row in holed.head(_SHOWN).iter_rows(named=True)}
    return CheckOutcome(
        holed.is_empty(),
        {"missing_bars": int(series["missing"].sum()), "series_with_gaps": holed.height, "bars_missing_in": shown},
    )


CHECKS = [
    Check(BARS, LEDGER, "in = silver + duplicates + quarantine", _ledger_balanced),
    Check(BARS, "totals_match_rows", "the ledger's totals equal the number of rows", _totals_match_rows),
    # no model trains on bars that fail these
    *every_table_has(BARS, blocking=True),
    Check(BARS, "fresh", "no live series lacks a bar by its calendar", _fresh, dg.AssetCheckSeverity.WARN),
    *every_table_has(TICKS),
    *every_table_has(QUARANTINE),
    Check(
        QUARANTINE, "share", f"at most {MOST_QUARANTINED:.0%} of all messages", _quarantined, dg.AssetCheckSeverity.WARN
    ),
    *every_table_has(FINDINGS),
    Check(
        FINDINGS,
        "gaps",
        f"at most {MOST_MISSING:.0%} of a series' bars missing by its calendar",
        _gaps,
        dg.AssetCheckSeverity.WARN,
    ),
]

silver_checks = table_checks.definition("silver_checks", CHECKS, "The invariants of silver, in one pass.")
BLOCKING = [check.spec.key for check in CHECKS if check.blocking]
"""The checks that must pass before a model is trained on silver."""
