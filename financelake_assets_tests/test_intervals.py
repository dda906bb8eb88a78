"""The closed list of intervals: one name for each length, and no name for what has none."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.intervals import (
    ALIASES,
    BAR_LENGTHS,
    CANONICAL,
    PATTERN,
    bar_length,
    canonical,
    interval_length,
)
from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.registry import make_provider
from financelake_assets.providers.request import IngestRequest


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *((name, name) for name in CANONICAL),
        ("60m", "1h"),
        ("24h", "1d"),
        ("1440m", "1d"),
        ("7d", "1w"),
        ("1min", "1m"),
        ("1Min", "1m"),
        ("1D", "1d"),
        ("1H", "1h"),
        ("1wk", "1w"),
        (" 1d ", "1d"),
        *((unknown, None) for unknown in ("999w", "1M", "1mo", "1y", "90m", "3d", "0d", "01d", "60", "1s", "60s", "d")),
        *((unknown, None) for unknown in ("", "D", "Tick", "1 d", "1d\n", "\u0661d", "\uff11d")),
    ],
)
def test_what_is_understood(written: str, name: str | None) -> None:
    assert canonical(written) == name


def test_there_is_one_name_for_each_length() -> None:
    assert len(set(BAR_LENGTHS.values())) == len(BAR_LENGTHS)
    assert list(BAR_LENGTHS.values()) == sorted(BAR_LENGTHS.values())
    assert set(ALIASES.values()) == set(CANONICAL)


@given(st.from_regex(r"\A[1-9][0-9]{0,4}[mhdw]\Z"))
def test_what_is_understood_keeps_its_length(written: str) -> None:
    units = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
    name = canonical(written)
    assert name is None or bar_length(name) == int(written[:-1]) * units[written[-1]]
    assert (name == written) == (re.fullmatch(PATTERN, written) is not None)


def test_ticks_and_what_an_older_silver_took_have_no_length() -> None:
    assert interval_length("tick") is interval_length("999w") is None
    with pytest.raises(ValueError, match="999w"):
        bar_length("999w")


def test_who_asks_a_provider_may_spell_it_otherwise() -> None:
    assert IngestRequest(interval="60m").interval == "1h"
    with pytest.raises(ProviderError, match="999w"):
        make_provider(IngestRequest(interval="999w"))
