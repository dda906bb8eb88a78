"""Plug-ins by their entry points: found, refused, switched off, and told from what a model was trained with."""

from __future__ import annotations

import pytest

from financelake_assets.model.record import ModelRecord
from financelake_assets.plugins import Other, PluginError, feature, installed, rule
from financelake_assets_tests.model.records import record
from financelake_assets_tests.plugins.site import FEATURES, HEADER, Site, documented

MEAN = """
@feature(version="1", lookback=4)
def mean(bars):
    return bars.select(mean=pl.col("log_return").rolling_mean(5).fill_null(0.0))
"""


def test_the_documented_examples_are_found_and_short(site: Site) -> None:
    assert (installed.features(()), installed.rules(()), installed.costs(())) == ((), (), ())
    site.documented()
    (beside, found), (decides,), (charges,) = installed.features(()), installed.rules(()), installed.costs(())
    assert (beside.name, beside.columns) == ("context", ("daily_trend", "bitcoin_move"))
    assert dict(beside.others) == {"daily": Other(interval="1d", bars=20), "bitcoin": Other("BTC-USD", bars=20)}
    assert (found.name, found.version, found.lookback, found.columns) == ("vwap_distance", "1", 20, ("vwap_distance",))
    assert (decides.name, decides.columns) == ("no_fridays", ("signal",))
    assert (charges.name, charges.columns, charges.lookback) == ("wider_when_wild", ("cost_bps",), 20)
    assert all(len(code.splitlines()) <= 30 for _, code, _ in documented())


def test_a_plug_in_can_be_switched_off(site: Site) -> None:
    site.documented()
    assert installed.features(("vwap_distance", "context")) == ()
    assert installed.rules(("no_fridays",)) == ()


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"version": "", "lookback": 1}, "version must be a text"),
        ({"version": 1, "lookback": 1}, "version must be a text"),
        ({"version": "1", "lookback": -1}, "from 0 to 2,000, not -1"),
        ({"version": "1", "lookback": 2_001}, "from 0 to 2,000, not 2001"),
        ({"version": "1", "lookback": True}, "from 0 to 2,000"),
        ({"version": "1", "lookback": 1, "columns": ()}, "not none"),
        ({"version": "1", "lookback": 1, "columns": ("a", "a")}, "not 'a', 'a'"),
        ({"version": "1", "lookback": 1, "columns": ("a b", "c")}, "not 'a b'"),
        ({"version": "1", "lookback": 1, "others": {"bars": Other("A")}}, "that are not `bars`, not 'bars'"),
        ({"version": "1", "lookback": 1, "others": {"A": Other("A")}}, "not 'A'"),
        ({"version": "1", "lookback": 1, "others": {"a": "1d"}}, "a must be an `Other`, not '1d'"),
        ({"version": "1", "lookback": 1, "others": {"a": Other()}}, "a needs a symbol or an interval of its own"),
        ({"version": "1", "lookback": 1, "others": {"a": Other(" ")}}, "a has the symbol ' '"),
        (
            {"version": "1", "lookback": 1, "others": {"a": Other(interval="60m")}},
            "a has the interval '60m'; there are",
        ),
        (
            {"version": "1", "lookback": 1, "others": {"a": Other(interval="1m")}},
            "no bars of the same symbol are shorter",
        ),
        ({"version": "1", "lookback": 1, "others": {"a": Other("A", bars=2_001)}}, "from 0 to 2,000, not 2001"),
        ({"version": "1", "lookback": 1, "others": {"a": Other("A", bars=True)}}, "from 0 to 2,000, not True"),
    ],
)
def test_a_wrong_declaration_is_told(declared: dict[str, object], said: str) -> None:
    with pytest.raises(PluginError, match=said):
        feature(**{"columns": ("own",), **declared})(lambda bars: bars)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="from 0 to 50"):
        rule(version="1", lookback=51)(lambda bars: bars)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("mean = len", r"the plug-in mean \(mean:mean\) is no feature"),
        ("raise ValueError('no licence')", "mean cannot be loaded: ValueError: no licence"),
        ("", "mean cannot be loaded: AttributeError"),
        ("@rule(version='1')\ndef mean(bars):\n    return bars", "is no feature"),
        ("import polarsss", "ModuleNotFoundError: No module named 'polarsss'"),
    ],
)
def test_what_cannot_be_loaded_is_told(site: Site, code: str, said: str) -> None:
    site.feature("mean", code)
    with pytest.raises(PluginError, match=said):
        installed.features(())
    assert installed.features(("mean",)) == (), "it can be switched off"


def test_two_of_one_name_or_column_are_refused(site: Site) -> None:
    site.feature("mean", MEAN)
    site.install("other", HEADER + MEAN, {FEATURES: {"other": "other:mean"}})
    with pytest.raises(PluginError, match="mean and other both have a column mean"):
        installed.features(())
    site.install("other", HEADER + MEAN, {FEATURES: {"mean": "other:mean"}})
    with pytest.raises(PluginError, match="more than once: mean:mean, other:mean"):
        installed.features(())


def trained_with_mean(site: Site) -> ModelRecord:
    site.feature("mean", MEAN)
    (plugin,) = installed.features(())
    made = record("rf", plugins={"mean": plugin.facts})
    return ModelRecord.parse(made.row())


def test_a_version_is_scored_with_the_plug_in_that_it_was_trained_with(site: Site) -> None:
    made = trained_with_mean(site)
    assert made.plugin_bars == 4
    (plugin,) = installed.recorded(made.plugins, ())
    assert plugin.facts == made.plugins["mean"]
    # comments and layout are no other code
    site.feature("mean", "# a comment\n\n" + MEAN.replace("bars.select(mean=", "bars.select(  # here\n        mean="))
    assert installed.problem(made.plugins, ()) is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (MEAN.replace('"1"', '"2"'), "trained with the plug-in mean 1; version 2 is installed"),
        (MEAN.replace("rolling_mean", "rolling_sum"), "mean 1; the installed one has that version, but other code"),
        (MEAN.replace("lookback=4", "lookback=5"), "other code"),
        ("raise RuntimeError", "trained with the plug-in mean 1: the plug-in mean cannot be loaded: RuntimeError"),
    ],
)
def test_a_version_is_not_scored_with_another_one(site: Site, code: str, said: str) -> None:
    made = trained_with_mean(site)
    site.feature("mean", code)
    with pytest.raises(PluginError, match=said) as found:
        installed.recorded(made.plugins, ())
    assert "financelake train" in found.value.remedy
    assert said in str(installed.problem(made.plugins, ()))


def test_a_version_is_not_scored_without_it(site: Site) -> None:
    made = trained_with_mean(site)
    assert "FINANCELAKE_SKIPPED_PLUGINS switches off" in str(installed.problem(made.plugins, ("mean",)))
    site.uninstall("mean")
    assert "trained with the plug-in mean 1: there is no plug-in mean" in str(installed.problem(made.plugins, ()))


def test_a_version_of_an_earlier_release_has_none() -> None:
    row = record("rf").row()
    del row["plugins"]
    made = ModelRecord.parse(row)
    assert (made.plugins, made.plugin_bars) == ({}, 0)
    assert installed.recorded(made.plugins, ()) == ()
