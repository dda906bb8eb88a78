"""Yahoo's history through yfinance's own HTTP, against a server on loopback that answers and fails like Yahoo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
import yfinance as yf
from curl_cffi.requests import Session

from financelake_assets.providers.base import Part, ProviderError
from financelake_assets.providers.courtesy import Courtesy, UnavailableError
from financelake_assets.providers.registry import make_provider
from financelake_assets.providers.request import IngestRequest
from financelake_assets.providers.units import KnownUnit
from financelake_assets.providers.yahoo import YahooProvider
from financelake_assets.providers.yahoo_history import bars, windows
from financelake_assets_tests.providers.yahoo_server import HTML, ChartServer, Listing, seconds, serve_charts

NOW = datetime(2024, 1, 12, 18, 0, tzinfo=UTC)


@pytest.fixture
def yahoo(tmp_path: Path) -> Iterator[ChartServer]:
    """The server, and yfinance's shared session on the way to it; nothing can get past it to the real one."""
    yf.set_tz_cache_location(str(tmp_path))
    yf.cache._TzDBManager.close_db()
    yf.data.YfData._instances.clear()  # a session of its own, without crumbs of another test's
    with (
        serve_charts(tmp_path) as served,
        Session(proxies={"https": f"http://127.0.0.1:{served.port}"}, verify=str(served.authority)) as session,
    ):
        yf.data.YfData(session=session)
        yield served


def ask(courtesy: Courtesy | None = None, timeout: float = 20.0, **request: Any) -> list[Part]:
    """The parts of a request, with their rows read."""
    provider = YahooProvider(
        IngestRequest(provider="yfinance", **request),
        courtesy or Courtesy("Yahoo", first_wait=0.01, per_minute=100_000),
        timeout=timeout,
        clock=lambda: NOW,
    )
    return list(provider.history())


def rows(part: Part) -> pl.DataFrame:
    return pl.concat([chunk.rows for chunk in part.chunks])


def days(*numbers: int, hour: str = "14:30") -> dict[int, tuple[float | None, ...]]:
    return {seconds(f"2024-01-{day:02}T{hour}"): (1.0, 2.0, 0.5, 1.5 + day, 1.25 + day, 100.0) for day in numbers}


def test_days_come_with_raw_and_adjusted_close_and_events_and_without_the_one_that_is_not_over(
    yahoo: ChartServer,
) -> None:
    yahoo.listings["AAPL"] = Listing(
        bars=days(8, 9, 10, 11, 12),
        dividends={seconds("2024-01-10T14:30"): 0.24},
        splits={seconds("2024-01-11T14:30"): (4, 1)},
    )
    (part,) = ask(symbols=("aapl",), start="2024-01-01")
    found = rows(part)
    assert found["event_time"].to_list() == [datetime(2024, 1, day, tzinfo=UTC) for day in (8, 9, 10, 11)]
    assert found["close"].to_list() == [9.5, 10.5, 11.5, 12.5]
    assert found["adj_close"].to_list() == [9.25, 10.25, 11.25, 12.25]
    assert found["dividend"].to_list() == [None, None, 0.24, None]
    assert found["split"].to_list() == [None, None, None, 4.0]
    assert set(found["asset_class"]) == {"stock"}
    assert part.total == 4
    assert "AAPL: 4 bars of 1d, 2024-01-08 to 2024-01-11, a stock, in USD" in part.notes


def test_what_a_symbol_is_says_yahoo(yahoo: ChartServer) -> None:
    kinds = {"BTC-USD": ("CRYPTOCURRENCY", "UTC"), "GC=F": ("FUTURE", "America/New_York"), "SPY": ("ETF", "UTC")}
    for symbol, (kind, zone) in kinds.items():
        yahoo.listings[symbol] = Listing(kind=kind, zone=zone, offset=0, bars=days(8, 9, hour="00:00"))
    parts = ask(symbols=tuple(kinds), start="2024-01-01", asset_class="stock")
    assert [rows(part)["asset_class"][0] for part in parts] == ["crypto", "commodity", "stock"]
    assert "BTC-USD: left out, it is a crypto and stock was asked for" in parts[0].notes


@pytest.mark.parametrize(
    ("currency", "said", "close"),
    [
        ("GBp", "in GBP, converted from GBp (hundredths)", 0.095),
        ("ZAc", "in ZAR, converted from ZAc (hundredths)", 0.095),
        ("ILA", "in ILS, converted from ILA (hundredths)", 0.095),
        ("JPY", "in JPY", 9.5),
        (None, "in a unit that it does not say: prices are kept as they come", 9.5),
    ],
)
def test_prices_in_a_minor_unit_are_converted_and_it_is_said(
    yahoo: ChartServer, currency: str | None, said: str, close: float
) -> None:
    yahoo.listings["VOD.L"] = Listing(
        currency=currency,
        zone="Europe/London",
        offset=0,
        bars={seconds("2024-01-08T14:30"): (7312.5, 7400.1, 7250.0, close * 100 if close < 1 else close, 1.25, 100.0)},
        dividends={seconds("2024-01-08T14:30"): 3.3},
        splits={seconds("2024-01-08T14:30"): (2, 1)},
    )
    (part,) = ask(symbols=("VOD.L",), start="2024-01-01")
    assert part.notes[0].endswith(f"a stock, {said}")
    (row,) = rows(part).rows(named=True)
    assert row["close"] == close
    assert (row["volume"], row["split"]) == (100.0, 2.0), "they are no money"
    if close < 1:
        assert (row["open"], row["high"], row["low"]) == (73.125, 74.001, 72.5)
        assert (row["adj_close"], row["dividend"]) == (0.0125, 0.033)


def test_a_series_that_an_older_release_began_stays_in_its_unit_and_no_answer_changes_a_series(
    yahoo: ChartServer,
) -> None:
    yahoo.listings["VOD.L"] = Listing(currency="GBp", zone="Europe/London", offset=0, bars=days(8))
    provider = YahooProvider(
        IngestRequest(provider="yfinance", symbols=("VOD.L",), start="2024-01-01"),
        Courtesy("Yahoo", first_wait=0.01, per_minute=100_000),
        clock=lambda: NOW,
    )
    provider.know({"VOD.L": KnownUnit("yfinance", None, "USD")})
    (part,) = provider.history()
    assert rows(part)["close"].to_list() == [9.5]
    assert "as the older prices of this lake" in part.notes[0]
    yahoo.listings["VOD.L"].currency = None
    (part,) = provider.history()
    assert rows(part)["close"].to_list() == [9.5], "what was noted holds where Yahoo is silent"
    yahoo.listings["VOD.L"].currency = "GBP"
    with pytest.raises(ProviderError, match="prices are in GBP, and the lake has some that were in GBp"):
        list(provider.history())


def test_a_currency_pair_is_what_the_user_says(yahoo: ChartServer) -> None:
    yahoo.listings["EURUSD=X"] = Listing(kind="CURRENCY", zone="Europe/London", offset=0, bars=days(8, hour="00:00"))
    (part,) = ask(symbols=("EURUSD=X",), start="2024-01-01", asset_class="commodity", calendar="24/5")
    assert rows(part)["asset_class"].to_list() == ["commodity"]


def test_a_symbol_with_another_name_is_told_and_loaded_under_the_one_that_was_asked_for(yahoo: ChartServer) -> None:
    yahoo.listings["FB"] = Listing(name="META", bars=days(8))
    (part,) = ask(symbols=("FB",), start="2024-01-01")
    assert rows(part)["symbol"].to_list() == ["FB"]
    assert "FB: Yahoo calls it META now, and may stop to answer to the old name" in part.notes


def test_a_time_without_a_bar_is_told_and_loads_nothing(yahoo: ChartServer) -> None:
    yahoo.listings["AAPL"] = Listing(bars={seconds("2024-01-12T14:30"): (1.0, 2.0, 0.5, 1.5, 1.5, 7.0)})
    (part,) = ask(symbols=("AAPL",), start="2024-01-12")  # the one day is not over
    assert (part.total, part.notes) == (0, ("AAPL: no finished bar of 1d in that time",))


def test_hours_are_moments_in_utc_and_the_one_that_is_not_over_is_left_out(yahoo: ChartServer) -> None:
    starts = [seconds(f"2024-01-12T{hour}:30") for hour in (14, 15, 16, 17)]
    yahoo.listings["AAPL"] = Listing(bars=dict.fromkeys(starts, (1.0, 2.0, 0.5, 1.5, None, 7.0)))
    (part,) = ask(symbols=("AAPL",), interval="1h", start="2024-01-12")
    assert rows(part)["event_time"].dt.to_string("%H:%M").to_list() == ["14:30", "15:30", "16:30"]


def test_holes_in_the_answer_are_holes_and_are_told(yahoo: ChartServer) -> None:
    none = (None,) * 6
    yahoo.listings["AAPL"] = Listing(
        bars={
            **days(4, 5, 8, 11),
            seconds("2024-01-09T14:30"): none,
            seconds("2024-01-10T14:30"): (None, None, None, 5.0, 5.0, None),
        }
    )
    (part,) = ask(symbols=("AAPL",), start="2024-01-01")
    found = rows(part)
    assert found["event_time"].dt.day().to_list() == [4, 5, 8, 10, 11]
    assert found.row(3, named=True)["open"] is None
    assert "AAPL: 1 bars are missing by the calendar XNYS, the first after 2024-01-08 00:00" in part.notes


def test_the_same_answer_is_the_same_load_and_a_changed_one_another(yahoo: ChartServer) -> None:
    yahoo.listings["AAPL"] = Listing(bars=days(8, 9))
    (first,), (again,) = (ask(symbols=("AAPL",), start="2024-01-01") for _ in range(2))
    yahoo.listings["AAPL"].bars.update(days(10))
    (grown,) = ask(symbols=("AAPL",), start="2024-01-01")
    assert first.identity == again.identity != grown.identity


def test_an_unknown_symbol_is_named_at_the_end_and_the_others_are_loaded(yahoo: ChartServer) -> None:
    yahoo.listings["AAPL"] = Listing(bars=days(8, 9))
    loaded: list[Part] = []
    with pytest.raises(ProviderError, match=r"1 of 2 symbols were not loaded: NOPE: Yahoo does not know"):
        loaded.extend(
            YahooProvider(
                IngestRequest(provider="yfinance", symbols=("NOPE", "AAPL"), start="2024-01-01"),
                Courtesy("Yahoo", first_wait=0.01),
                clock=lambda: NOW,
            ).history()
        )
    (part,) = ask(symbols=("AAPL",), start="2024-01-01")
    assert part.total == 2


@pytest.mark.parametrize("fault", [429, 502, HTML, '{"chart": {"result": [{"meta": {}}]', "{}", "null"])
def test_passing_faults_are_asked_again_and_never_answered_from_memory(yahoo: ChartServer, fault: int | str) -> None:
    yahoo.listings["AAPL"] = Listing(bars=days(8, 9))
    ask(symbols=("AAPL",), start="2024-01-01")  # yfinance now knows the symbol's time zone
    # an error status is tried by yfinance itself a second time, with other cookies
    yahoo.faults.extend([fault] * (4 if isinstance(fault, int) else 2))
    yahoo.asked.clear()
    if fault in ("{}", "null"):  # no error and no data: yfinance says so, and it may be true
        with pytest.raises(ProviderError, match="no price data found"):
            ask(symbols=("AAPL",), start="2024-01-01", end="2024-01-11")
        return
    (part,) = ask(symbols=("AAPL",), start="2024-01-01", end="2024-01-11")
    assert part.total == 2
    assert len(yahoo.asked) == len(yahoo.faults) + (5 if isinstance(fault, int) else 3)


def test_too_many_requests_in_a_row_and_nobody_is_asked_any_more(yahoo: ChartServer) -> None:
    yahoo.faults.extend([429] * 1_000)
    courtesy = Courtesy("Yahoo", first_wait=0.01, longest_wait=0.02, attempts=3, failures=4)
    with pytest.raises(ProviderError, match="429"):
        ask(courtesy, symbols=("AAPL",), start="2024-01-01")
    with pytest.raises(UnavailableError, match="left alone for 120 s"):
        ask(courtesy, symbols=("AAPL", "MSFT"), start="2024-01-01")
    asked = len(yahoo.asked)
    with pytest.raises(UnavailableError):
        ask(courtesy, symbols=("AAPL",), start="2024-01-01")
    assert len(yahoo.asked) == asked


def test_a_server_that_hangs_is_given_up_in_bounded_time(yahoo: ChartServer) -> None:
    yahoo.listings["AAPL"] = Listing(bars=days(8, 9))
    ask(symbols=("AAPL",), start="2024-01-01")
    yahoo.faults.extend(["hang"] * 10)
    with pytest.raises(ProviderError, match="did not answer in time"):
        ask(Courtesy("Yahoo", first_wait=0.01, attempts=2), timeout=0.3, symbols=("AAPL",), start="2024-01-01")
    assert len(yahoo.faults) == 8


def test_nobody_is_asked_before_the_history_is_wanted(yahoo: ChartServer) -> None:
    make_provider(IngestRequest(provider="yfinance", symbols=("AAPL",)))
    for request in ({}, {"symbols": ("AAPL",), "interval": "7m"}, {"symbols": ("AAPL",), "interval": "tick"}):
        with pytest.raises(ProviderError, match=r"--symbols|it has 1m"):
            make_provider(IngestRequest.model_validate({"provider": "yfinance", **request}))
    assert yahoo.asked == []


def test_requests_stay_within_what_yahoo_keeps() -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    minutes = windows("1m", start, None, NOW)
    assert len(minutes) == 5
    assert all((last - first).days <= 7 for first, last in minutes if first and last)
    assert (NOW - minutes[0][0]).days == 29  # type: ignore[operator]
    assert windows("1d", start, None, NOW) == [(start, None)]
    assert windows("1d", None, None, NOW) == [(None, None)]
    assert windows("1h", start, start.replace(day=2), NOW)[0][0] > start  # type: ignore[operator]
    assert windows("1m", start, start.replace(day=2), NOW) == []


def test_a_frame_with_two_levels_of_columns_is_read_and_an_unknown_one_refused() -> None:
    index = pd.DatetimeIndex(["2024-01-08"], tz="America/New_York")
    flat = dict.fromkeys(("Open", "High", "Low", "Close", "Adj Close", "Volume", "Dividends", "Stock Splits"), 1.0)
    frame = pd.DataFrame(flat, index)
    for names in (("Price", "Ticker"), ("Ticker", "Price")):
        keys = [(name, "AAPL") if names[0] == "Price" else ("AAPL", name) for name in flat]
        double = frame.set_axis(pd.MultiIndex.from_tuples(keys, names=names), axis=1)
        assert bars(double, "AAPL", "stock", "1d", NOW).equals(bars(frame, "AAPL", "stock", "1d", NOW))
    with pytest.raises(ProviderError, match="gives no Adj Close"):
        bars(frame.drop(columns="Adj Close"), "AAPL", "stock", "1d", NOW)
    assert bars(frame.iloc[:0], "AAPL", "stock", "1d", NOW).height == 0
