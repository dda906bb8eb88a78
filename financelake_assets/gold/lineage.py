"""Which columns gold's columns are made of, so that Dagster can show where a number comes from.

Enters: the declared tables. Leaves: per table and column, ``layer/name.column`` of what it is computed from. Columns
that only say when or by what a row was made (``as_of``, ``model_version`` …) have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from financelake_assets.gold.derived import (
    CALIBRATION,
    DAILY,
    EQUITY,
    LATEST,
    PORTFOLIO,
    POSITIONS,
    SUMMARY,
    TRADES,
)
from financelake_assets.gold.schema import CORRECTIONS, PREDICTIONS, SCORECARD, SIGNALS
from financelake_assets.resources.delta import TableSpec
from financelake_assets.silver.schema import BARS

Sources = tuple[str, ...]


def _of(table: TableSpec, *names: str) -> Sources:
    return tuple(f"{table.full_name}.{name}" for name in names)


def _same(table: TableSpec, source: TableSpec) -> dict[str, Sources]:
    """Columns that are taken over from another table under the same name."""
    return {name: _of(source, name) for name in table.schema.names if name in source.schema.names}


def _all(names: Iterable[str], sources: Sources) -> dict[str, Sources]:
    return dict.fromkeys(names, sources)


_BAR = _of(BARS, "event_time", "open", "high", "low", "close", "adj_close", "volume")
_OUTCOME = _of(BARS, "close", "adj_close")
_EXECUTED = (
    *_of(SIGNALS, "signal", "strength", "cost_bps"),
    *_of(PREDICTIONS, "volatility"),
    *_of(BARS, "open"),
    *_OUTCOME,
)
_ERRORS = (*_of(PREDICTIONS, "predicted_return", "predicted_close"), *_OUTCOME)
_JUDGED = _of(SCORECARD, "realised_return", "predicted_return", "price_error", "naive_price_error", "hit", "covered")
_EARNED = _of(SCORECARD, "signal", "gross_return", "net_return")
_FORECAST = ("predicted_return", "predicted_close", "lower", "upper", "volatility", "probability_up")
_VERDICT = _of(PREDICTIONS, "predicted_return", "lower", "upper", "volatility", "probability_up")

COLUMNS: Mapping[str, Mapping[str, Sources]] = {
    PREDICTIONS.full_name: {**_same(PREDICTIONS, BARS), **_all(_FORECAST, _BAR)},
    SIGNALS.full_name: {
        **_same(SIGNALS, PREDICTIONS),
        **_all(("signal", "strength", "confidence", "reason"), (*_VERDICT, *_of(BARS, "close"))),
        "cost_bps": _of(PREDICTIONS, "asset_class"),
    },
    SCORECARD.full_name: {
        **_same(SCORECARD, PREDICTIONS),
        **{name: _of(SIGNALS, name) for name in ("signal", "reason", "confidence", "cost_bps")},
        **_all(("realised_return", "realised_close", "comparable_close"), _OUTCOME),
        **_all(
            ("topic", "partition", "offset", "target_time"), _of(BARS, "topic", "partition", "offset", "event_time")
        ),
        "naive_close": _of(PREDICTIONS, "close"),
        "base_offset": _of(PREDICTIONS, "offset"),
        "covered": (*_of(PREDICTIONS, "lower", "upper"), *_OUTCOME),
        **_all(("hit", "error", "price_error"), _ERRORS),
        "naive_price_error": (*_of(PREDICTIONS, "close"), *_OUTCOME),
        **_all(("gross_return", "net_return"), (*_of(SIGNALS, "signal", "cost_bps"), *_OUTCOME)),
    },
    CORRECTIONS.full_name: {
        **_same(CORRECTIONS, SCORECARD),
        **_all(("realised_close", "realised_return"), _OUTCOME),
        **{f"previous_{name}": _of(SCORECARD, name) for name in ("target_time", "realised_close", "realised_return")},
    },
    LATEST.full_name: {**_same(LATEST, PREDICTIONS), **_same(LATEST, SIGNALS)},
    EQUITY.full_name: {
        **_all(EQUITY.schema.names, _EXECUTED),
        **{name: _of(SIGNALS, name) for name in ("asset_class", "interval", "event_time")},
        "buy_and_hold": _OUTCOME,
        "computed_at": (),
    },
    TRADES.full_name: {
        **_all(TRADES.schema.names, _EXECUTED),
        **{name: _of(SIGNALS, name) for name in ("asset_class", "interval", "event_time", "symbol")},
    },
    POSITIONS.full_name: {
        **_all(POSITIONS.schema.names, _of(EQUITY, "book")),
        **_same(POSITIONS, EQUITY),
    },
    PORTFOLIO.full_name: {
        **_all(PORTFOLIO.schema.names, _of(EQUITY, "equity", "buy_and_hold", "random")),
        **_same(PORTFOLIO, EQUITY),
        **_all(("trades", "win_rate", "profit_factor"), _of(TRADES, "profit", "cost")),
        **_all(("curve", "trials"), ()),
    },
    SUMMARY.full_name: {
        **_all(SUMMARY.schema.names, _JUDGED),
        **_same(SUMMARY, SCORECARD),
        **_all(("brier", "brier_naive"), _of(SCORECARD, "probability_up", "realised_return")),
        "coverage": _of(SCORECARD, "covered"),
        "coverage_nominal": _of(SCORECARD, "coverage"),
        **_all(("start", "end"), _of(SCORECARD, "event_time")),
        **_all(("signals", "gross_return", "net_return"), _EARNED),
    },
    DAILY.full_name: {
        **_all(DAILY.schema.names, _JUDGED),
        **_same(DAILY, SCORECARD),
        "date": _of(SCORECARD, "target_time"),
        "coverage": _of(SCORECARD, "covered"),
        **_all(("signals", "net_return"), _EARNED),
    },
    CALIBRATION.full_name: {
        **_all(CALIBRATION.schema.names, _JUDGED),
        "asset_class": _of(SCORECARD, "asset_class"),
        "stated": _of(SCORECARD, "confidence", "predicted_return", "volatility"),
        **_all(("measure", "low"), ()),
    },
}
"""By table and column."""


def columns_of(table: TableSpec) -> dict[str, Sources]:
    """The columns of a table that are made of others, each with those; none of a table of another layer."""
    return {name: sources for name, sources in COLUMNS.get(table.full_name, {}).items() if sources}
