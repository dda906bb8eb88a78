"""Messages as people's own producers send them, each with what is to become of it; and both ways of judging agree."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financelake_assets.providers.base import NUMBERS
from financelake_assets.silver.cleaning import MESSAGES, clean
from financelake_assets.silver.judgement import judge, moment, number, parsed

CASES = Path(__file__).parent / "cases"
ARRIVED = datetime(2026, 11, 27, 12, tzinfo=UTC)
UNIVERSE = {"AAPL": "stock", "MSFT": "stock", "BTC-USD": "crypto", "WTI": "commodity"}
BAR = None


def taken(messages: list[dict[str, Any]]) -> pl.DataFrame:
    """The messages of a case, cleaned as one batch that the broker took now."""
    rows = [
        {
            "key": None if line.get("key") is None else line["key"].encode(),
            "value": _value(line),
            "topic": line["topic"],
            "partition": line.get("partition", 0),
            "offset": offset,
            "timestamp": ARRIVED,
        }
        for offset, line in enumerate(messages)
    ]
    return pl.DataFrame(clean(pa.Table.from_pylist(rows, schema=MESSAGES), UNIVERSE))


def _value(line: Mapping[str, Any]) -> bytes | None:
    if "value_b64" in line:
        return base64.b64decode(line["value_b64"])
    return None if line.get("value") is None else str(line["value"]).encode()


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text("utf-8").splitlines()]


REASONS: dict[str, list[str | None]] = {
    "confluent-wire-format": ["invalid_utf8", "not_json", "not_json", BAR],
    "debezium-envelope": [*["missing_symbol"] * 3, "null_value", "wrong_type", "wrong_event_time", BAR],
    "epoch-event-time": [*["wrong_event_time"] * 5, BAR, BAR],
    "numbers-as-text": [*[BAR] * 4, *["wrong_type"] * 8, *["not_finite"] * 3, *["wrong_type"] * 5],
    "arrays-lines-bom": [*["not_json"] * 7, BAR, *["not_json"] * 2, BAR],
    "duplicate-keys-in-json": [BAR] * 4,
    "extreme-numbers": [BAR, "not_finite", BAR, "non_positive_price", BAR, BAR, "negative_volume", BAR],
    "symbols": [*["unknown_symbol"] * 5, BAR, *["unknown_symbol"] * 5],
    # their prices leave the range that they state; which of them silver reads at all is tested on a broker
    "transactions": ["inconsistent_range"] * 12,
    "record-timestamps": [BAR] * 3,
    "unkeyed-corrections": [BAR] * 4,
    "exchange-native": ["missing_symbol"] * 2 + ["not_json"] * 2 + ["missing_symbol", "unknown_symbol"],
    "tick-identities": [BAR] * 10,
}


@pytest.mark.parametrize("name", REASONS)
def test_each_message_of_a_case_is_judged_as_it_should_be(name: str) -> None:
    messages = lines(name)
    found = taken(messages)
    told = [f"{line['note']}: {reason}" for line, reason in zip(messages, found["reason"].to_list(), strict=True)]
    assert told == [f"{line['note']}: {reason}" for line, reason in zip(messages, REASONS[name], strict=True)]
    refused = found.filter(pl.col("reason").is_not_null())
    assert refused["raw"].to_list() == [_value(messages[offset]) for offset in refused["offset"].to_list()]


def test_of_a_field_that_comes_twice_the_last_holds_and_letter_case_matters() -> None:
    found = taken(lines("duplicate-keys-in-json"))
    assert found.select("symbol", "close").rows() == [*[("AAPL", 185.64)] * 3, ("MSFT", 370.0)]


def test_extreme_numbers_keep_their_value() -> None:
    found = taken(lines("extreme-numbers"))
    assert found["volume"].to_list()[0] == 12345678901234567890123.0
    assert found["volume"].to_list()[5] == 9007199254740992.0
    assert [found["close"].to_list()[at] for at in (2, 4, 7)] == [1e-320, 0.30000000000000004, 100.0]


def test_trades_are_named_as_they_were_sent() -> None:
    names = taken(lines("tick-identities"))["trade_id"].to_list()
    assert names[:5] == ["581123", "581123", "9007199254740993", "9007199254740992", "581124.0"]
    assert names[5:8] == [None] * 3


def test_intervals_are_their_canonical_names() -> None:
    messages = lines("interval-aliases")
    found = taken(messages)
    told = {line["note"]: interval for line, interval in zip(messages, found["interval"].to_list(), strict=True)}
    known = {"1m": "1m", "60m": "1h", "1h": "1h", "24h": "1d", "1d": "1d", "1440m": "1d", "7d": "1w", "1w": "1w"}
    known |= {" 1d ": "1d", "1min": "1m", "1D": "1d"}
    assert {note: name for note, name in told.items() if name} == {f"interval {k!r}": v for k, v in known.items()}
    assert set(found.filter(pl.col("interval").is_null())["reason"]) == {"unknown_interval"}


def test_times_are_read_as_iso_8601_or_refused() -> None:
    at = [str(time)[11:] if time else None for time in taken(lines("iso-variants"))["event_time"].to_list()]
    utc, refused = "14:30:00+00:00", None
    good = [utc, utc, utc, utc, utc, utc, "00:00:00+00:00", "14:30:00.123456+00:00"]
    last = [refused, refused, refused, refused, utc, refused, refused, refused, utc, utc, *[refused] * 4]
    assert at == good + last


# -- both ways of judging --------------------------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["NaN", "12.5d", " 7 ", "-0", "1e999", "", "2024-04-30", "2024-04-30T00:00:00Z", "1d", "tick"]),
)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=2), max_leaves=3)
_USUAL: dict[str, st.SearchStrategy[Any]] = {
    "symbol": st.sampled_from(["AAPL", " aapl ", "BTC-USD", "WTI", "NOPE"]),
    "asset_class": st.sampled_from(["stock", "STOCK", "crypto", None]),
    "interval": st.sampled_from(["1d", "60m", "tick", "1M"]),
    "event_time": st.sampled_from(["2024-04-30T00:00:00Z", "2024-04-30T01:02:03.4+00:00", "2999-01-01", "1700-01-01"]),
    "trade_id": st.one_of(st.none(), st.integers(-2, 2**70), st.text(max_size=3)),
    **{name: st.one_of(st.none(), st.floats(-5, 5), st.integers(-3, 9)) for name in NUMBERS},
}
_MESSAGE = st.fixed_dictionaries(
    {name: st.one_of(usual, usual, usual, _VALUES) for name, usual in _USUAL.items() if name in ("symbol", "close")},
    optional={
        name: st.one_of(usual, usual, usual, _VALUES)
        for name, usual in _USUAL.items()
        if name not in ("symbol", "close")
    }
    | {"more": _VALUES},
)
_ENCODED = st.builds(
    lambda fields, behind: json.dumps(fields).encode() + behind,
    _MESSAGE,
    st.sampled_from([b"", b"", b"", b" ", b"]", b",", b"{}"]),
)
_ANY = st.one_of(st.none(), _ENCODED, _ENCODED, _ENCODED, st.binary(max_size=40), st.text(max_size=20).map(str.encode))


@settings(max_examples=150, deadline=None)
@given(st.lists(_ANY, max_size=40), st.integers(1, 7))
def test_a_batch_is_judged_as_each_of_its_messages_is(values: list[bytes | None], step: int) -> None:
    rows = [
        {"value": value, "topic": "bronze.stock", "partition": 0, "offset": at, "timestamp": ARRIVED}
        for at, value in enumerate(values)
    ]
    whole = clean(pa.Table.from_pylist(rows, schema=MESSAGES), UNIVERSE)
    parts = [
        clean(pa.Table.from_pylist(rows[at : at + step], schema=MESSAGES), UNIVERSE) for at in range(0, len(rows), step)
    ]
    assert parts == [] or pa.concat_tables(parts).equals(whole)
    for row, value in zip(whole.to_pylist(), values, strict=True):
        alone = judge(value, "bronze.stock", ARRIVED, UNIVERSE)
        assert row["reason"] == alone.reason
        if alone.reason is None:
            kept = {name: wanted for name, wanted in alone.fields.items() if name not in ("open", "high", "low")}
            assert {name: row[name] for name in kept} == kept


@given(st.recursive(_SCALARS, lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3)))
def test_what_is_one_json_object_is_taken_and_nothing_else(value: Any) -> None:
    text = json.dumps(value)
    assert (parsed(text) is not None) == isinstance(value, dict)
    for behind in ("]", "}", ",", "x", "{}"):
        assert parsed(text + behind) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_one_that_was_written(value: float) -> None:
    assert number(repr(value)) == number(f" +{abs(value)!r} ") * (1 if value >= 0 else -1) == value  # type: ignore[operator]


@given(st.datetimes(datetime(1800, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))
def test_a_time_is_the_one_that_was_written(at: datetime) -> None:
    offset = at.utcoffset()
    if offset is None or offset.total_seconds() % 60:
        return  # ISO 8601 has no seconds in an offset
    assert moment(at.isoformat()) == at.astimezone(UTC)
