"""The screener: the alerts' language over last values, signals and features of the watch list."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.data import market, screener
from dash_app.data.lake_reader import LakeReader, Snapshot
from financelake_assets.alerting.fields import FIELDS
from financelake_assets.alerting.language import RuleError, parse
from financelake_assets.config import Settings
from financelake_assets.model.features import FEATURES, features_of
from financelake_assets_tests.dash_app import written


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Every symbol; the newest bar of AAPL has no signal yet."""
    lake = Settings(data_dir=tmp_path_factory.mktemp("screened"))
    rows = written.bars(written.SYMBOLS, 10)
    written.write_bars(lake, rows)
    newest = pl.col("event_time") == pl.col("event_time").max().over("symbol")
    written.write_gold(lake, rows.filter(~(newest & (pl.col("symbol") == "AAPL"))))
    reader = LakeReader(lake)
    reader.refresh()
    return reader.snapshot


def _kept(told: Snapshot, text: str) -> set[str]:
    series = [(row["symbol"], row["interval"]) for row in market.watch_rows(told)]
    return {symbol for symbol, _ in screener.kept(told, text, series)}


def test_values_signals_and_features_are_asked_together(told: Snapshot) -> None:
    rows = {row["symbol"]: row for row in market.watch_rows(told)}
    lows = {symbol for symbol, row in rows.items() if row["close"] < 100}
    assert _kept(told, "close < 100") == lows
    assert _kept(told, "change > 0") == {symbol for symbol, row in rows.items() if row["change"] > 0}
    holds = {symbol for symbol, row in rows.items() if row["signal"] == "HOLD"}
    assert _kept(told, "signal is HOLD and close < 100") == holds & lows
    strength = {symbol: features_of(told.bars.group(symbol, "1d"))["rsi"][-1] for symbol in rows}
    weak = {symbol for symbol, value in strength.items() if value < 0.5}
    assert weak
    assert _kept(told, "RSI < 50 %") == weak
    assert _kept(told, "rsi < 50 % and signal is HOLD and not asset_class is crypto") == (weak & holds) - {"BTC-USD"}


def test_the_newest_signal_counts_while_the_next_is_being_made(told: Snapshot) -> None:
    before = told.signals.group("AAPL", "1d")["signal"][-1]
    assert "AAPL" in _kept(told, f"signal is {before}")


def test_a_crossing_is_one_at_the_newest_bar(told: Snapshot) -> None:
    before, now = told.bars.group("IBM", "1d")["close"].tail(2)
    level = (before + now) / 2
    assert _kept(told, f"symbol is IBM and close crosses {level:.6f}") == {"IBM"}
    assert _kept(told, f"symbol is IBM and close crosses {max(before, now) + 1:.6f}") == set()


def test_a_lake_without_signals_or_bars_keeps_nothing_by_them(told: Snapshot) -> None:
    bare = Snapshot(tables={"silver/bars": told.bars})
    assert screener.kept(bare, "signal is HOLD", [("IBM", "1d")]) == frozenset()
    assert screener.kept(Snapshot(), "close > 0", [("IBM", "1d")]) == frozenset()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rsy < 30 %", "Did you mean rsi?"),
        ("rsi < 30", "write 30 %"),
        ("portfolio drawdown > 10 %", "leave it out"),
        ("signal is MAYBE", "is no signal"),
        ("", "empty"),
    ],
)
def test_a_fault_is_told_as_of_an_alert(text: str, why: str) -> None:
    with pytest.raises(RuleError, match=why):
        screener.read(text)


def test_an_alert_knows_no_feature() -> None:
    assert not set(FEATURES) & {*FIELDS["bars"], *FIELDS["signals"]}
    with pytest.raises(RuleError, match="no 'rsi'"):
        parse("rsi < 30 %")


@given(st.text(max_size=80))
def test_any_text_is_a_filter_or_a_fault(text: str) -> None:
    try:
        rule = screener.read(text)
    except RuleError as error:
        assert error.column >= 1  # noqa: PT017
    else:
        assert screener.read(str(rule)) == rule
