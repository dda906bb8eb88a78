"""The judgement of messages: each reason, many kinds of damage, and a truth table over all fields."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from financelake_assets.silver.cleaning import MESSAGES, clean
from financelake_assets.silver.reasons import DESCRIPTIONS, Reason

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
UNIVERSE = {"AAPL": "stock", "BTC-USD": "crypto", "WTI": "commodity", "$ES=F": "commodity"}
GOOD: dict[str, Any] = {
    "symbol": "AAPL",
    "asset_class": "stock",
    "interval": "1d",
    "event_time": "2024-04-30T00:00:00Z",
    "open": 10.0,
    "high": 12.0,
    "low": 9.0,
    "close": 11.0,
    "volume": 100,
}

Value = bytes | None


def batch(values: Sequence[Value], topic: str = "bronze.stock", provider: bytes | None = None) -> pa.Table:
    """Messages of these values, in the columns that cleaning takes."""
    return pa.Table.from_pylist(
        [
            {
                "key": b"k",
                "value": value,
                "topic": topic,
                "partition": 0,
                "offset": n,
                "timestamp": NOW,
                "provider": provider,
            }
            for n, value in enumerate(values)
        ],
        schema=MESSAGES,
    )


def judged(values: Sequence[Value], topic: str = "bronze.stock", provider: bytes | None = None) -> pl.DataFrame:
    """Clean many message values together; rows in the order of the values."""
    found = pl.DataFrame(clean(batch(values, topic, provider), UNIVERSE))
    assert found["offset"].to_list() == list(range(len(values)))
    return found


def bar(**fields: Any) -> bytes:
    """A good message with some fields otherwise; a field given as ``...`` is left out."""
    return json.dumps({name: value for name, value in {**GOOD, **fields}.items() if value is not ...}).encode()


def crypto(**fields: Any) -> bytes:
    return bar(symbol="BTC-USD", asset_class="crypto", **fields)


CORRUPT: list[tuple[str, Value, Reason]] = [
    ("no value", None, Reason.NULL_VALUE),
    ("nothing", b"", Reason.NOT_JSON),
    ("blanks", b"  \n ", Reason.NOT_JSON),
    ("bytes that are not text", b"\xff\xfe\x00\x81", Reason.INVALID_UTF8),
    ("a broken character in a symbol", bar().replace(b"AAPL", b"AA\xc3\x28"), Reason.INVALID_UTF8),
    ("text", b"hello", Reason.NOT_JSON),
    ("cut short", bar()[:-20], Reason.NOT_JSON),
    ("two objects", bar() + bar(), Reason.NOT_JSON),
    ("two objects with a comma", bar() + b"," + bar(), Reason.NOT_JSON),
    ("an object and more", bar() + b" trailing", Reason.NOT_JSON),
    ("an array", b"[" + bar() + b"]", Reason.NOT_JSON),
    ("a number", b"42", Reason.NOT_JSON),
    ("null", b"null", Reason.NOT_JSON),
    ("an XML document", b"<bar symbol='AAPL'/>", Reason.NOT_JSON),
    ("an empty object", b"{}", Reason.MISSING_SYMBOL),
    ("a byte order mark", b"\xef\xbb\xbf" + bar(), Reason.NOT_JSON),
    ("a control character", bar().replace(b"AAPL", b"AA\x00PL"), Reason.NOT_JSON),
    ("no symbol", bar(symbol=...), Reason.MISSING_SYMBOL),
    ("a null symbol", bar(symbol=None), Reason.MISSING_SYMBOL),
    ("a blank symbol", bar(symbol="  "), Reason.MISSING_SYMBOL),
    ("an unknown symbol", bar(symbol="NOPE"), Reason.UNKNOWN_SYMBOL),
    ("an object as symbol", bar(symbol={"a": 1}), Reason.UNKNOWN_SYMBOL),
    ("SQL as symbol", bar(symbol="AAPL' OR '1'='1"), Reason.UNKNOWN_SYMBOL),
    ("another asset class", bar(asset_class="crypto"), Reason.WRONG_ASSET_CLASS),
    ("another class's topic", crypto(), Reason.WRONG_ASSET_CLASS),
    ("no interval", bar(interval=...), Reason.MISSING_INTERVAL),
    ("an unknown interval", bar(interval="1y"), Reason.UNKNOWN_INTERVAL),
    ("an interval of nothing", bar(interval="0d"), Reason.UNKNOWN_INTERVAL),
    ("no time", bar(event_time=...), Reason.MISSING_EVENT_TIME),
    ("a time in words", bar(event_time="yesterday"), Reason.WRONG_EVENT_TIME),
    ("a date that does not exist", bar(event_time="2023-02-29T00:00:00Z"), Reason.WRONG_EVENT_TIME),
    ("seconds since 1970", bar(event_time=1714435200), Reason.WRONG_EVENT_TIME),
    ("a time before all markets", bar(event_time="1066-10-14T00:00:00Z"), Reason.WRONG_EVENT_TIME),
    ("tomorrow", bar(event_time="2024-05-02T00:00:00Z"), Reason.FUTURE_EVENT_TIME),
    ("no price", bar(close=...), Reason.MISSING_PRICE),
    ("a price in words", bar(close="eleven"), Reason.WRONG_TYPE),
    ("a price that is an object", bar(close={"value": 11}), Reason.WRONG_TYPE),
    ("a volume that is true", bar(volume=True), Reason.WRONG_TYPE),
    ("an empty price", bar(open=""), Reason.WRONG_TYPE),
    ("NaN", bar(close=float("nan")), Reason.NOT_FINITE),
    ("Infinity", bar(high=float("inf")), Reason.NOT_FINITE),
    ("NaN as text", bar(volume="NaN"), Reason.NOT_FINITE),
    ("a number beyond doubles", bar().replace(b"11.0", b"1e999"), Reason.NOT_FINITE),
    ("a negative price", bar(open=-1, low=-1), Reason.NON_POSITIVE_PRICE),
    ("a price of zero", bar(low=0), Reason.NON_POSITIVE_PRICE),
    ("a negative volume", bar(volume=-1), Reason.NEGATIVE_VOLUME),
    ("a negative dividend", bar(dividend=-0.24), Reason.IMPOSSIBLE_EVENT),
    ("a split into nothing", bar(split=0), Reason.IMPOSSIBLE_EVENT),
    ("a split in words", bar(split="7:1"), Reason.WRONG_TYPE),
    ("high below close", bar(high=10.5), Reason.INCONSISTENT_RANGE),
    ("low above open", bar(low=10.5), Reason.INCONSISTENT_RANGE),
    ("high below low", bar(open=..., high=8, low=9, close=8), Reason.INCONSISTENT_RANGE),
]


def test_each_kind_of_damage_has_its_reason_and_keeps_its_bytes():
    found = judged([value for _, value, _ in CORRUPT])
    verdicts = dict(zip([name for name, _, _ in CORRUPT], found["reason"].to_list(), strict=True))
    assert verdicts == {name: reason.value for name, _, reason in CORRUPT}
    assert found["raw"].to_list() == [value for _, value, _ in CORRUPT]


def test_every_reason_is_described_and_shown_above():
    assert set(DESCRIPTIONS) == set(Reason)
    assert {reason for _, _, reason in CORRUPT} == set(Reason) - {Reason.UNPROCESSABLE}


FINE: list[tuple[str, bytes]] = [
    ("as it should be", bar()),
    ("without an asset class", bar(asset_class=...)),
    ("numbers as text", bar(close="11.0", volume="100")),
    ("a field from a newer schema", bar(mood="good", nested={"a": [1, 2]})),
    ("blanks around it", b"  " + bar() + b" \n"),
    ("a symbol in small letters and blanks", bar(symbol=" aapl ")),
    ("a time at another offset", bar(event_time="2024-04-30T02:00:00+02:00")),
    ("a date alone", bar(event_time="2024-04-30")),
    ("only a close", bar(open=..., high=..., low=..., volume=...)),
    ("a volume of zero", bar(volume=0)),
    ("the same field twice", bar().replace(b'"open"', b'"close": 3, "open"')),
]


def test_what_can_be_understood_is_taken():
    found = judged([value for _, value in FINE])
    assert dict(zip([name for name, _ in FINE], found["reason"].to_list(), strict=True)) == dict.fromkeys(
        [name for name, _ in FINE]
    )
    assert set(found["symbol"]) == {"AAPL"}
    assert set(found["asset_class"]) == {"stock"}
    assert set(found["event_time"]) == {datetime(2024, 4, 30, tzinfo=UTC)}
    assert set(found["close"]) == {11.0}


def test_commodities_may_have_prices_of_zero_and_below():
    wti = {"symbol": "WTI", "asset_class": "commodity", "open": ..., "high": ..., "low": ...}
    found = judged([bar(**wti, close=-36.98), bar(**wti, close=0)], topic="bronze.commodity")
    assert found["reason"].to_list() == [None, None]
    assert found["low"].to_list() == [-36.98, 0.0]


def test_what_is_filled_in_is_named():
    values = [bar(), bar(open=...), bar(open=..., high=..., low=...), bar(high=..., low=..., open=12.0)]
    found = judged(values).select("open", "high", "low", "close", "imputed").rows()
    assert found == [
        (10.0, 12.0, 9.0, 11.0, None),
        (11.0, 12.0, 9.0, 11.0, "open"),
        (11.0, 11.0, 11.0, 11.0, "open,high,low"),
        (12.0, 12.0, 11.0, 11.0, "high,low"),
    ]


def test_a_tick_is_not_judged_by_a_range_and_keeps_its_identity():
    tick = bar(interval="tick", trade_id=123, open=..., high=..., low=...)
    found = judged([tick, bar(interval="tick", trade_id="  ")])
    assert found["reason"].to_list() == [None, None]
    assert found["trade_id"].to_list() == ["123", None]


def test_a_time_within_the_skew_is_accepted():
    values = [bar(event_time="2024-05-01T13:00:00Z"), bar(event_time="2024-05-01T13:00:01Z")]
    assert judged(values)["reason"].to_list() == [None, "future_event_time"]


@pytest.mark.parametrize(
    ("header", "text"), [(b"last", "last"), (None, None), (b"ya\xffhoo", "ya\N{REPLACEMENT CHARACTER}hoo")]
)
def test_the_provider_is_text_whatever_the_header_holds(header: bytes | None, text: str | None):
    assert judged([bar(), b"{"], provider=header)["provider"].to_list() == [text, text]


def test_a_number_keeps_every_digit():
    numbers = [0.1, 1 / 3, 112736.59, 5e-324, 1.7976931348623157e308, 123456789.123456789]
    values = [bar(volume=number) for number in numbers]
    assert judged(values)["volume"].to_list() == numbers


# -- the truth table ------------------------------------------------------------------------------------

PRICES = ("open", "high", "low", "close", "adj_close")
NUMBERS = (*PRICES, "volume", "dividend", "split")
_SOME_NUMBERS = [..., ..., None, 5.0, 10.0, 10.0, 20.0, 0.0, -3.0, "7", "x", float("nan"), float("inf"), [1]]
CHOICES: dict[str, list[Any]] = {
    "symbol": [*["AAPL"] * 20, "WTI", "NOPE", "", None, ...],
    "asset_class": [*["stock", ...] * 10, "crypto"],
    "interval": [*["1d", "tick"] * 10, "5x", None],
    "event_time": [*["2024-04-30T00:00:00Z"] * 20, "2030-01-01T00:00:00Z", "soon", None],
    **{name: [*_SOME_NUMBERS, *[10.0] * 20] for name in NUMBERS},
}


def any_message(chance: random.Random) -> dict[str, Any]:
    return {name: chance.choice(values) for name, values in CHOICES.items()}


def expected(given_fields: dict[str, Any]) -> str | None:
    """The judgement in plain Python, written from the descriptions of the reasons."""
    row = {name: None if value is ... else value for name, value in given_fields.items()}
    symbol = (row["symbol"] or "").strip()
    if not symbol:
        return "missing_symbol"
    if symbol not in UNIVERSE:
        return "unknown_symbol"
    known = UNIVERSE[symbol]
    if known != "stock" or row["asset_class"] not in (None, known):
        return "wrong_asset_class"
    if not row["interval"]:
        return "missing_interval"
    if row["interval"] == "5x":
        return "unknown_interval"
    if row["event_time"] is None:
        return "missing_event_time"
    if row["event_time"] == "soon":
        return "wrong_event_time"
    if row["event_time"].startswith("2030"):
        return "future_event_time"
    return expected_of_numbers({name: row[name] for name in given_fields if name in NUMBERS}, row["interval"])


def expected_of_numbers(row: dict[str, Any], interval: str) -> str | None:
    if row["close"] is None:
        return "missing_price"
    if any(value in ("x", [1]) for value in row.values()):
        return "wrong_type"
    plain = {name: None if value is None else float(value) for name, value in row.items()}
    there = [value for value in plain.values() if value is not None]
    if any(value != value or abs(value) == float("inf") for value in there):
        return "not_finite"
    if any(value <= 0 for name, value in plain.items() if name in PRICES and value is not None):
        return "non_positive_price"
    if plain["volume"] is not None and plain["volume"] < 0:
        return "negative_volume"
    if (plain["dividend"] or 0) < 0 or (plain["split"] is not None and plain["split"] <= 0):
        return "impossible_event"
    high, low = plain["high"], plain["low"]
    body = [plain[name] for name in ("open", "close") if plain[name] is not None]
    if interval != "tick":
        if high is not None and any(high < value for value in [*body, *([] if low is None else [low])]):
            return "inconsistent_range"
        if low is not None and any(low > value for value in body):
            return "inconsistent_range"
    return None


@settings(max_examples=5, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.integers())
def test_the_judgement_is_the_described_one_for_every_combination(seed: int):
    chance = random.Random(seed)  # noqa: S311  # test data
    rows = [any_message(chance) for _ in range(1500)]
    values = [json.dumps({name: value for name, value in row.items() if value is not ...}).encode() for row in rows]
    found = judged(values)["reason"].to_list()
    wrong = [(row, verdict) for row, verdict in zip(rows, found, strict=True) if verdict != expected(row)]
    assert wrong == []
    assert found.count(None) > 50


@settings(max_examples=5, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)), min_size=300, max_size=300))
def test_no_input_fails_and_none_is_lost(values: list[bytes]):
    found = judged(values)
    assert found["raw"].to_list() == values
    assert found["reason"].null_count() == 0
