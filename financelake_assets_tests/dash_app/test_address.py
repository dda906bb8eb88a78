from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from dash_app.address import BAR_COUNTS, VIEWS, Address, parse
from dash_app.data.indicators import read
from financelake_assets.config import ASSET_CLASSES

symbols = st.from_regex(r"\A[A-Za-z0-9.^=_/:-]{1,32}\Z")
intervals = st.from_regex(r"\A[1-9][0-9]{0,3}[mhdw]\Z")
moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
addresses = st.builds(
    Address,
    view=st.sampled_from(VIEWS),
    symbol=st.none() | symbols,
    interval=st.none() | intervals,
    bars=st.sampled_from(BAR_COUNTS),
    show=st.lists(
        st.sampled_from(["sma", "ema 50", "bands 20 2.5", "rsi 7", "macd", "feature momentum_5"]), unique=True
    ).map(lambda texts: tuple(map(read, texts))),
    where=st.none() | st.sampled_from(["signal is BUY and rsi < 30 %", 'symbol is "GC=F" or close > 1_000.5']),
    bar=st.none() | moments,
    asset_class=st.none() | st.sampled_from(ASSET_CLASSES),
    currency=st.none() | st.sampled_from(["EUR", "USDT", "GBp"]),
    span=st.none() | st.tuples(moments, moments).filter(lambda ends: ends[0] < ends[1]),
    replay=st.none() | moments,
    beside=st.lists(symbols, unique=True, max_size=5).map(tuple),
    names=st.lists(symbols, unique=True, max_size=20).map(tuple),
)


@given(addresses)
def test_an_address_survives_the_address_bar(address: Address) -> None:
    assert parse(address.path, address.search) == address


@given(st.text(), st.text())
def test_any_text_gives_an_allowed_address_or_none(path: str, search: str) -> None:
    address = parse(path, search)
    assert address is None or (address.view in VIEWS and address.bars in BAR_COUNTS)


def test_what_is_not_allowed_is_forgotten() -> None:
    hostile = "?symbol=<script>alert(1)</script>&interval=1d'--&bars=99999999999999999999"
    assert parse("/", hostile) == Address()
    assert parse("/", "?symbol=" + "A" * 33) == Address()
    assert parse("/", "?bar=20261399000000") == parse("/", "?bar=2026-11-27") == Address()
    assert parse("/../../etc/passwd", "") is None


def test_a_span_ends_after_it_begins_and_lists_are_bounded() -> None:
    assert parse("/", "?from=20200102000000&to=20200101000000") == parse("/", "?from=20200101000000") == Address()
    many = ",".join(f"S{number}" for number in range(300))
    found = parse("/", f"?with={many}&list={many},<b>")
    assert found is not None
    assert (len(found.beside), len(found.names)) == (5, 100)


def test_symbols_of_real_providers_are_allowed() -> None:
    for symbol in ("AAPL", "BTC-USD", "GC=F", "^GSPC", "BRK.B", "EURUSD=X", "BTC/USDT"):
        assert parse("/", Address(symbol=symbol).search) == Address(symbol=symbol)
