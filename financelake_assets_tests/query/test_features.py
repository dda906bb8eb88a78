"""The model's inputs, now and at an earlier version of the bars, from Python and by command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner, Result

from financelake_assets import lake
from financelake_assets.cli.app import app
from financelake_assets.config import Settings, get_settings
from financelake_assets.model.features import FEATURES, LOOKBACK, features_of
from financelake_assets.query.errors import VersionGoneError
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.dash_app.written import write
from financelake_assets_tests.model import market

BARS_WRITTEN = 160


@pytest.fixture
def told(offline_lake: Settings) -> Settings:
    """The bars of two symbols in one version, and one more of each in the next."""
    whole = pl.concat(market.bars(name, market.moves(BARS_WRITTEN + 1, seed)) for seed, name in enumerate(("A", "B")))
    newest = market.START + timedelta(days=BARS_WRITTEN)
    write(offline_lake, BARS, whole.filter(pl.col("event_time") < newest))
    write(offline_lake, BARS, whole.filter(pl.col("event_time") == newest))
    return offline_lake


def first_version(settings: Settings) -> int:
    opened = BARS.open(settings)
    assert opened is not None
    return opened.version() - 1


def test_they_are_those_that_the_bars_of_that_version_give(told: Settings) -> None:
    then = lake.features("A", "1d", as_of=first_version(told), settings=told)
    bars = lake.bars("A", "1d", as_of=first_version(told), settings=told).collect()
    assert then.height == BARS_WRITTEN
    assert_frame_equal(then, features_of(bars).select(then.columns))
    assert set(FEATURES) < set(then.columns)
    # a bar that came later changes nothing before it
    assert_frame_equal(lake.features("A", "1d", settings=told).head(BARS_WRITTEN), then)


def test_the_first_bar_of_a_part_knows_the_bars_before_it(told: Settings) -> None:
    start = market.START + timedelta(days=LOOKBACK + 5)
    end = start + timedelta(days=3)
    part = lake.features("A", "1d", start, end, settings=told)
    assert part["event_time"].to_list() == [start + timedelta(days=day) for day in range(3)]
    assert part["scorable"].all()
    assert part.select(FEATURES).null_count().sum_horizontal().item() == 0


def test_a_series_that_is_not_there_has_no_rows(told: Settings) -> None:
    none = lake.features("C", "1d", settings=told)
    assert none.is_empty()
    assert none.schema == lake.features("A", "1d", settings=told).schema


def test_a_version_that_never_was_is_told(told: Settings) -> None:
    with pytest.raises(VersionGoneError):
        lake.features("A", "1d", as_of=999, settings=told)


@pytest.fixture
def called(told: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(told.data_dir))
    get_settings.cache_clear()
    yield told
    get_settings.cache_clear()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["features", *arguments])


def test_the_command_writes_them(called: Settings, tmp_path: Path) -> None:
    file = tmp_path / "features.parquet"
    version = str(first_version(called))
    assert call("A", "--as-of", version, "--format", "parquet", "--output", str(file)).exit_code == 0
    expected = lake.features("A", "1d", as_of=int(version), settings=called)
    assert_frame_equal(pl.read_parquet(file), expected)
    shown = json.loads(call("A", "--start", "2015-06-01", "--end", "2015-06-03", "--format", "json").stdout)
    assert [row["event_time"] for row in shown] == ["2015-06-01T00:00:00Z", "2015-06-02T00:00:00Z"]
    assert call("B").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told_of"),
    [
        (("A", "--interval", "1m"), "It has 1d"),
        (("C",), "financelake tables"),
        (("A", "--start", "2030-01-01"), "another --start"),
        (("A", "--interval", "daily"), "1m, 5m, 1h or 1d"),
    ],
)
def test_what_is_missing_is_said_with_the_remedy(called: Settings, arguments: tuple[str, ...], told_of: str) -> None:
    found = call(*arguments)
    assert found.exit_code != 0
    error = found.exception
    assert told_of in f"{error} {getattr(error, 'remedy', '')}"
