"""The survey of a whole lake: what is found follows the bars, and is written only when it changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from financelake_assets.bronze.universe import Universe, describe
from financelake_assets.config import Settings
from financelake_assets.providers.base import Instrument
from financelake_assets.silver import survey
from financelake_assets.silver.findings import Kind
from financelake_assets.silver.schema import BARS, FINDINGS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver import messages
from financelake_assets_tests.silver.messages import IDS

MONDAY = datetime(2024, 1, 8, tzinfo=UTC)


def _write(lake: Settings, *rows: tuple[str, str, int, float], first: int = 0) -> None:
    """Bars by symbol, class, days after the Monday and close, as the stream writes them."""
    from financelake_assets.silver.committing import write_cleaned

    sent = [
        messages.message(
            first + n, symbol=symbol, asset_class=kind, event_time=MONDAY + timedelta(days=day), close=close
        )
        for n, (symbol, kind, day, close) in enumerate(rows)
    ]
    write_cleaned(OpenTables(lake), messages.cleaned(sent), IDS)


@pytest.fixture
def surveyed(offline_lake: Settings) -> Settings:
    """A stock and a coin from Monday to the Monday after, without Thursday and the weekend."""
    Universe(offline_lake, "test").add([Instrument("AAPL", "stock"), Instrument("BTC-USD", "crypto")])
    for number, (symbol, kind) in enumerate((("AAPL", "stock"), ("BTC-USD", "crypto"))):
        _write(offline_lake, *[(symbol, kind, day, 10.0) for day in (0, 1, 2, 4, 7)], first=5 * number)
    return offline_lake


def test_what_is_missing_depends_on_the_symbols_calendar(surveyed: Settings):
    found = survey.survey(surveyed).select("symbol", "event_time", "missing", "asset_class").rows()
    thursday, saturday = MONDAY + timedelta(days=3), MONDAY + timedelta(days=5)
    assert found == [
        ("AAPL", thursday, 1, "stock"),
        ("BTC-USD", thursday, 1, "crypto"),
        ("BTC-USD", saturday, 2, "crypto"),
    ]
    describe(surveyed, pl.DataFrame({"symbol": ["AAPL"], "calendar": ["24/7"], "currency": ["USD"]}))
    assert survey.survey(surveyed).filter(symbol="AAPL")["missing"].to_list() == [1, 2]


def test_a_bar_that_comes_late_closes_its_gap_and_nothing_new_writes_nothing(surveyed: Settings):
    survey.survey(surveyed)
    version = FINDINGS.ensure(surveyed).version()
    survey.survey(surveyed)
    assert FINDINGS.ensure(surveyed).version() == version
    _write(surveyed, ("AAPL", "stock", 3, 10.0), first=10)
    survey.survey(surveyed)
    table = FINDINGS.ensure(surveyed)
    assert table.version() == version + 1
    assert pl.read_delta(table)["symbol"].unique().to_list() == ["BTC-USD"]


def test_series_are_read_in_parts_of_whole_ones(surveyed: Settings, monkeypatch: pytest.MonkeyPatch):
    at_once = survey.survey(surveyed)
    monkeypatch.setattr(survey, "_ROWS_AT_ONCE", 1)
    parts = [sorted(part["symbol"].unique()) for part in survey._some_at_a_time(BARS.ensure(surveyed))]
    assert parts == [["AAPL"], ["BTC-USD"]]
    assert survey.survey(surveyed).equals(at_once)


def test_a_jump_is_a_row_with_its_series(offline_lake: Settings):
    Universe(offline_lake, "test").add([Instrument("BTC-USD", "crypto")])
    _write(
        offline_lake,
        *[("BTC-USD", "crypto", day, 10.0 + day % 3) for day in range(40)],
        ("BTC-USD", "crypto", 40, 90.0),
    )
    (row,) = survey.survey(offline_lake).iter_rows(named=True)
    assert (row["symbol"], row["interval"], row["kind"]) == ("BTC-USD", "1d", Kind.PRICE_JUMP)
    assert row["event_time"] == MONDAY + timedelta(days=40)


def test_an_empty_lake_has_no_findings(offline_lake: Settings):
    assert survey.survey(offline_lake).is_empty()
