from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.bronze.message import encode, headers
from financelake_assets.bronze.topics import DEAD_LETTERS
from financelake_assets.providers.base import COLUMNS, NUMBERS, OPTIONAL, Chunk, typed

_BAR = {
    "symbol": "AAPL",
    "asset_class": "stock",
    "interval": "1d",
    "event_time": datetime(2020, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC),
    "close": 1.5,
}


def _chunk(*bars: dict[str, object]) -> Chunk:
    return Chunk(typed(pl.DataFrame([{**_BAR, **bar} for bar in bars], schema=dict(COLUMNS))))


def test_a_bar_becomes_one_json_object_keyed_by_symbol() -> None:
    ((topic, key, text),) = encode(_chunk({"open": 1.25, "volume": 9_616_100.0}))
    assert (topic, key) == ("bronze.stock", "AAPL")
    assert json.loads(text) == {
        **dict.fromkeys(name for name in COLUMNS if name not in OPTIONAL),
        **{name: _BAR[name] for name in ("symbol", "asset_class", "interval", "close")},
        "open": 1.25,
        "volume": 9_616_100.0,
        "event_time": "2020-01-02T03:04:05.678901Z",
    }


def test_a_dividend_is_on_the_bar_of_its_day() -> None:
    values = [json.loads(text) for _, _, text in encode(_chunk({}, {"dividend": 0.24}))]
    assert [value["dividend"] for value in values] == [None, 0.24]
    assert "split" not in values[0]


def test_what_json_has_no_number_for_is_written_as_text_and_not_lost() -> None:
    messages = list(encode(_chunk({}, {"open": math.nan}, {"high": math.inf, "low": -math.inf})))
    values = [json.loads(text, parse_constant=_no_constant) for _, _, text in messages]
    assert [value["open"] for value in values] == [None, "NaN", None]
    assert (values[2]["high"], values[2]["low"]) == ("Infinity", "-Infinity")
    assert values[1]["event_time"] == values[0]["event_time"]


def _no_constant(word: str) -> object:
    raise AssertionError(f"{word} is not JSON")


def test_an_odd_row_keeps_its_text_and_follows_the_typed_ones() -> None:
    odd = {"symbol": "IBM", "asset_class": "stock", "close": "n.a. é", "event_time": "yesterday"}
    first, second = encode(Chunk(_chunk({}).rows, (odd,)))
    assert json.loads(first[-1])["symbol"] == "AAPL"
    topic, key, text = second
    assert (topic, key, json.loads(text)) == ("bronze.stock", "IBM", odd)


@given(st.lists(st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)), max_size=6))
def test_each_row_has_its_own_time_however_many_share_it(times: list[datetime]) -> None:
    instants = [time.replace(tzinfo=UTC) for time in times for _ in range(2)]
    sent = [json.loads(text)["event_time"] for _, _, text in encode(_chunk(*({"event_time": t} for t in instants)))]
    assert [datetime.fromisoformat(text) for text in sent] == instants


def test_an_unknown_asset_class_has_no_topic_and_goes_to_the_dead_letters() -> None:
    ((topic, _, _),) = encode(_chunk({"asset_class": "bond"}))
    assert topic == DEAD_LETTERS


def test_headers_say_schema_provider_time_and_load() -> None:
    stamped = dict(headers("csv", "csv-1", datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)))
    assert stamped == {
        "schema_version": b"1",
        "provider": b"csv",
        "produced_at": b"2026-01-02T03:04:05.600Z",
        "load": b"csv-1",
    }


_PRICE = st.one_of(st.none(), st.floats())


@given(st.lists(st.fixed_dictionaries({"symbol": st.text(max_size=8), **dict.fromkeys(NUMBERS, _PRICE)}), max_size=5))
def test_every_value_survives_the_way_through_json(bars: list[dict[str, object]]) -> None:
    messages = list(encode(_chunk(*bars)))
    assert len(messages) == len(bars)
    for bar, (_, key, text) in zip(bars, messages, strict=True):
        value = json.loads(text, parse_constant=_no_constant)
        assert value["symbol"] == key == bar["symbol"]
        for name in NUMBERS:
            sent, meant = value.get(name), bar[name]
            if isinstance(meant, float) and not math.isfinite(meant):
                assert str(float(sent)) == str(meant)
            else:
                assert sent == meant
