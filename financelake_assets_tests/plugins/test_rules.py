"""Rules of a user: the same decisions live and in the back-test, with the rule's name as reason."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from financelake_assets.gold import rule_checks, rules
from financelake_assets.gold.scoring import bars_before
from financelake_assets.plugins import Plugin, PluginError, installed, rule
from financelake_assets_tests.gold.test_backtest import history
from financelake_assets_tests.plugins.scoring import SETTINGS, assert_back_test_gives, assert_live_gives, scored
from financelake_assets_tests.plugins.site import Site

STREAK = """
@rule(version="1", lookback=3)
def streak(scored):
    same = pl.all_horizontal(pl.col("signal") == pl.col("signal").shift(back) for back in (1, 2, 3)).fill_null(False)
    return scored.select(signal=pl.when(same).then(pl.lit("HOLD")).otherwise("signal"))
"""


def test_the_documented_rule_holds_on_fridays_and_only_then(site: Site) -> None:
    plain = scored(history())
    site.documented("my_rules")
    # its look-back is not the model's: that one was trained without plug-ins
    found = scored(history())
    friday = pl.col("event_time").dt.weekday() == 5
    given = pl.col("signal") != "HOLD"
    assert plain.filter(friday, given).height > 20
    assert found.filter(friday, given).is_empty()
    assert_frame_equal(found.filter(~friday), plain.filter(~friday))
    assert found.filter(friday & (plain["signal"] != "HOLD"))["reason"].unique().to_list() == ["rule:no_fridays"]
    # what was a HOLD before keeps its own reason
    assert_frame_equal(found.filter(friday & (plain["signal"] == "HOLD")), plain.filter(friday & ~given))


def test_a_rule_can_be_switched_off(site: Site) -> None:
    plain = scored(history())
    site.documented("my_rules")
    off = SETTINGS.model_copy(update={"skipped_plugins": ("no_fridays",)})
    assert_frame_equal(scored(history(), settings=off), plain)


def test_live_and_back_test_decide_the_same_also_with_a_look_back(site: Site) -> None:
    site.rule("streak", STREAK)
    bars = history()
    whole = scored(bars)
    assert "rule:streak" in whole["reason"].to_list()
    assert bars_before(SETTINGS) == SETTINGS.signals.settle_bars + 3 + 2
    assert_live_gives(whole, bars, (90, 101, 115, 121, 140, 149))
    assert_back_test_gives(whole, bars)


def test_a_rule_may_turn_a_signal_round_and_says_so(site: Site) -> None:
    site.rule(
        "contrary",
        '@rule(version="1")\ndef contrary(scored):\n'
        '    swapped = {"BUY": "SELL", "SELL": "BUY", "HOLD": "BUY"}\n'
        '    return scored.select(signal=pl.col("signal").replace_strict(swapped))\n',
    )
    found, rows = scored(history()), []
    site.uninstall("contrary")
    plain = scored(history())
    fixed = plain["reason"].is_in([reason.value for reason in rules.FINAL]).fill_null(False)
    assert fixed.any()
    assert_frame_equal(found.filter(fixed), plain.filter(fixed))
    for now, before in zip(found.filter(~fixed).to_dicts(), plain.filter(~fixed).to_dicts(), strict=True):
        rows.append((before["signal"], now["signal"]))
        assert now["reason"] == "rule:contrary"
    assert set(rows) == {("BUY", "SELL"), ("SELL", "BUY"), ("HOLD", "BUY")}


def test_rules_come_in_the_order_of_their_names_and_see_each_other(site: Site) -> None:
    def last(name: str, before: str, after: str) -> Plugin:
        def decides(bars: pl.DataFrame) -> pl.DataFrame:
            return bars.select(signal=pl.col("signal").replace(before, after))

        return Plugin("rule", "1", 0, ("signal",), decides, name)

    given = rule_checks.scored_examples()
    found = rules.applied(given, (last("a", "BUY", "SELL"), last("b", "SELL", "HOLD")))
    assert set(found["signal"]) == {"HOLD"}
    assert set(found.filter(given["signal"] != "HOLD")["reason"]) == {"rule:b"}
    assert found.columns == given.columns


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("return scored.select(signal=pl.lit('LONG')).head(1)", "gives 1 rows"),
        ("return scored.select(signal=pl.col('signal').replace('BUY', 'LONG'))", "gives 'LONG', not BUY, SELL, HOLD"),
        ("return scored.select(signal=pl.col('signal').replace('BUY', None))", "gives None"),
        ("return scored.select(signal=pl.col('confidence'))", "is Float64, not text"),
        ("raise KeyError('x')", "own 1 fails: KeyError: 'x'"),
        ("return scored.select(signal=pl.col('signal').shift(-1).fill_null('HOLD'))", r"\(truncation\).*the future"),
        ("return scored.select(signal=pl.col('signal').shift(1).fill_null('HOLD'))", r"\(stream parity\)"),
    ],
)
def test_a_wrong_rule_gives_no_signal_at_all(site: Site, code: str, said: str) -> None:
    site.rule("own", f'@rule(version="1")\ndef own(scored):\n    {code}\n')
    with pytest.raises(PluginError, match=said):
        scored(history())
    with pytest.raises(PluginError, match=said):
        rule_checks.examine(installed.load("rule", "own"), rule_checks.scored_examples())


def test_a_rule_that_cannot_be_loaded_gives_no_signal_either(site: Site) -> None:
    site.rule("own", "raise OSError('gone')")
    assert bars_before(SETTINGS) == SETTINGS.signals.settle_bars + 2
    with pytest.raises(PluginError, match="own cannot be loaded: OSError: gone"):
        scored(history())


def test_the_decorator_is_for_functions_of_scored_bars() -> None:
    decided = rule(version="2")(lambda bars: bars.select("signal"))
    given = rule_checks.scored_examples()
    assert_frame_equal(rules.applied(given, (decided,)), given)
    assert set(given["signal"]) == {"BUY", "SELL", "HOLD"}
