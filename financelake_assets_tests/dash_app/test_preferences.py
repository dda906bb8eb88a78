"""Times and numbers as a visitor wants them, and nothing of it for another visitor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app import wording
from dash_app.charts.theme import palette
from dash_app.data.lake_reader import LakeReader
from dash_app.data.market import plotted
from dash_app.preferences import CANDLES, NUMBERS, Preferences, choose, chosen, parse
from dash_app.server import create_app
from financelake_assets.config import Settings

BERLIN = Preferences("Europe/Berlin", "comma")
SUMMER = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)


@pytest.fixture
def berlin() -> Iterator[None]:
    """A visitor who reads German numbers and the time of Berlin."""
    choose(BERLIN)
    yield
    choose(Preferences())


def test_without_a_choice_it_is_utc_and_english() -> None:
    assert chosen() == Preferences()
    assert wording.price(1234.5) == "1,234.50"
    assert (wording.moment(SUMMER), wording.zone()) == ("2026-07-01 22:30:00", "UTC")


@pytest.mark.usefixtures("berlin")
def test_numbers_have_the_separators_that_were_chosen() -> None:
    assert wording.price(-1234.5) == "\N{MINUS SIGN}1.234,50"
    assert wording.percent(0.1234) == "12,34\N{NO-BREAK SPACE}%"
    assert (wording.count(1_234_567), wording.number(1.5, 2)) == ("1.234.567", "1,50")
    assert wording.data_size(1_500) == "1,5\N{NO-BREAK SPACE}KB"
    choose(Preferences(numbers="space"))
    assert wording.price(1234.5) == "1\N{NARROW NO-BREAK SPACE}234,50"


@pytest.mark.usefixtures("berlin")
def test_moments_move_and_days_do_not() -> None:
    assert wording.moment(SUMMER) == "2026-07-02 00:30:00"
    assert (wording.bar_time(SUMMER, "1m"), wording.zone("1m")) == ("2026-07-02 00:30", "Europe/Berlin")
    midnight = SUMMER.replace(hour=0, minute=0)
    assert (wording.bar_time(midnight, "1d"), wording.zone("1d")) == ("2026-07-01", "UTC")
    times = pl.Series([SUMMER])
    assert pl.select(plotted(pl.lit(times), "1h")).to_series().to_list() == ["2026-07-02T00:30:00"]
    assert pl.select(plotted(pl.lit(times), "1d")).to_series().to_list() == ["2026-07-01T22:30:00"]


def test_every_format_shows_its_own_example() -> None:
    for numbers, example in NUMBERS.items():
        choose(Preferences(numbers=numbers))
        assert wording.number(1234.56, 2) == example
    choose(Preferences())


@given(st.text(), st.text())
def test_whatever_a_cookie_says_only_known_values_come_of_it(zone: str, numbers: str) -> None:
    found = parse(zone, numbers)
    assert found.numbers in NUMBERS
    assert math.isfinite(datetime.now(found.zone_info).timestamp())
    assert parse("Asia/Tokyo", "comma") == Preferences("Asia/Tokyo", "comma")


def test_every_choice_of_candles_can_be_read_and_is_up_and_down() -> None:
    for candles in CANDLES:
        choose(Preferences(candles=candles))
        for scheme in ("light", "dark"):
            colours = palette(scheme)
            assert colours.up != colours.down
            assert min(_contrast(one, colours.surface) for one in (colours.up, colours.down)) >= 4.5
    choose(Preferences())
    assert parse(None, None, "dark", "red") == Preferences(theme="dark", candles="red")
    assert parse(None, None, "<b>", "pink") == Preferences()


def _contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG 2.2."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_visitor_gets_their_own_and_the_next_one_the_default(offline_lake: Settings) -> None:
    server = create_app(offline_lake, LakeReader(offline_lake)).server
    mine, other = server.test_client(), server.test_client()
    mine.set_cookie("financelake-zone", "Asia/Tokyo")
    mine.set_cookie("financelake-numbers", "<script>")
    assert selected(mine.get("/_dash-layout").json) == {"zone-select": "Asia/Tokyo", "numbers-select": "point"}
    assert selected(other.get("/_dash-layout").json) == {"zone-select": "UTC", "numbers-select": "point"}


def selected(part: Any) -> dict[str, str]:
    """What the choices of a layout show."""
    if isinstance(part, list):
        return {name: value for one in part for name, value in selected(one).items()}
    if not isinstance(part, dict):
        return {}
    own = {part["id"]: part["value"]} if part.get("id") in ("zone-select", "numbers-select") else {}
    return {**own, **{name: value for one in part.values() for name, value in selected(one).items()}}
