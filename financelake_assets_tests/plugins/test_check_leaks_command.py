"""``financelake check-leaks``: what is examined, what is shown, and the exit code."""

from __future__ import annotations

import json

import pytest

from financelake_assets.silver import packaged
from financelake_assets_tests.cli.main_command import run
from financelake_assets_tests.model import market
from financelake_assets_tests.plugins.site import Site

TOMORROW = """
@feature(version="3", lookback=0)
def tomorrow(bars):
    return bars.select(tomorrow=pl.col("log_return").shift(-1))
"""


@pytest.fixture(autouse=True)
def few_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test examines our own features on all packaged bars."""
    monkeypatch.setattr(packaged, "packaged_bars", lambda: market.bars("AAPL", market.moves(300, 1)))


def test_without_plug_ins_our_own_features_are_examined(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "check-leaks") == 0
    said = capsys.readouterr().out
    assert "✓ FinanceLake's own features" in said
    assert "µs for 1,000 bars" in said.replace("\n", " ")


def test_the_documented_examples_pass(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.documented()
    assert run(monkeypatch, "check-leaks", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["well"]
    assert [(one["name"], one["kind"], one["version"]) for one in told["checks"][1:]] == [
        ("context", "feature", "1"),
        ("vwap_distance", "feature", "1"),
        ("until_a_barrier", "label", "1"),
        ("no_fridays", "rule", "1"),
        ("wider_when_wild", "cost", "1"),
        ("hist_boosting", "model", "1"),
    ]
    assert all(one["problem"] is None and one["microseconds_per_1000_bars"] > 0 for one in told["checks"])


def test_a_leaking_one_is_shown_with_its_column_and_bar_and_the_others_too(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.documented()
    site.feature("tomorrow", TOMORROW)
    site.rule("broken", "raise ValueError('[oh]')")
    assert run(monkeypatch, "check-leaks") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "✓ vwap_distance 1" in said
    assert "✗ broken the plug-in broken cannot be loaded: ValueError: [oh]" in said
    assert (
        "✗ tomorrow the plug-in tomorrow 3 is refused (truncation): the column tomorrow of AAPL 1d at 2015-01-01 00:00"
        in said
    )
    assert "and null without the later bars: it knows the future" in said
    # one by its name
    assert run(monkeypatch, "check-leaks", "--plugin", "vwap_distance", "--json") == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["checks"]] == ["vwap_distance"]
    assert run(monkeypatch, "check-leaks", "--plugin", "tomorrow", "--json") == 1
    (one,) = json.loads(capsys.readouterr().out)["checks"]
    assert "(truncation)" in one["problem"]


def test_an_unknown_name_is_told_with_those_that_there_are(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.documented()
    assert run(monkeypatch, "check-leaks", "--plugin", "rsi") == 1
    said = " ".join(capsys.readouterr().err.split())
    names = "context, vwap_distance, until_a_barrier, no_fridays, wider_when_wild, hist_boosting"
    assert f"There is no plug-in rsi; installed are: {names}." in said
