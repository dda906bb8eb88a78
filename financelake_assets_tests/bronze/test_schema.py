"""The schema of the message that the package ships, against what is published now, what was, and what will be."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator

from financelake_assets.bronze.message import SCHEMA_VERSION, encode
from financelake_assets.intervals import PATTERN
from financelake_assets.providers.base import COLUMNS, SYMBOL
from financelake_assets.providers.replay import ReplayProvider
from financelake_assets.providers.request import IngestRequest
from financelake_assets.providers.synthetic import SyntheticProvider

SCHEMA = json.loads(
    files("financelake_assets.bronze").joinpath(f"message-{SCHEMA_VERSION}.schema.json").read_text("utf-8")
)
VALID = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

# as the first release wrote it; never change it: a version that refuses it is another version
OLDEST = (
    '{"symbol":"AAPL","asset_class":"stock","interval":"1d","open":46.8,"high":47.1,"low":46.1,"close":46.1,'
    '"adj_close":null,"volume":16400,"trade_id":null,"event_time":"2000-03-01T00:00:00.000000Z"}'
)
LEAST = '{"symbol":"BTC-USD","interval":"tick","event_time":"2024-01-12T15:00:00Z","close":43000.5}'


def test_the_schema_is_one_and_names_every_column() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == set(COLUMNS)
    assert SCHEMA["properties"]["symbol"]["pattern"] == SYMBOL.pattern
    assert SCHEMA["properties"]["interval"]["pattern"] == PATTERN


def test_older_and_newer_messages_are_valid() -> None:
    VALID.validate(json.loads(OLDEST))
    VALID.validate(json.loads(LEAST))
    VALID.validate({**json.loads(OLDEST), "venue": "XNAS", "conditions": [1, 2]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbol": "aapl; DROP"},
        {"close": "46.1"},
        {"close": None},
        {"interval": "1 day"},
        {"asset_class": "bond"},
        {"volume": "many"},
        {"event_time": 951868800},
    ],
)
def test_what_silver_refuses_is_invalid(wrong: dict[str, object]) -> None:
    assert not VALID.is_valid({**json.loads(OLDEST), **wrong})


def test_what_is_published_is_valid() -> None:
    for provider in (ReplayProvider(), *(_synthetic(interval) for interval in ("1m", "tick"))):
        (part,) = provider.history()
        for _, _, value in list(encode(next(part.chunks)))[:200]:
            VALID.validate(json.loads(value))


def _synthetic(interval: str) -> SyntheticProvider:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return SyntheticProvider(IngestRequest(provider="synthetic", rows=100, interval=interval, start=start))
