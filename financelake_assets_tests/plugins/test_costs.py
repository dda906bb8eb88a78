"""Costs of a user: the same live, in the back-test and at a training, and every way in which they can be wrong."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from financelake_assets.config import SignalSettings
from financelake_assets.gold.scorecard import mature
from financelake_assets.gold.scoring import bars_before
from financelake_assets.model import cost_checks
from financelake_assets.model.card import model_card
from financelake_assets.model.costs import COST, EXECUTION, Costs, with_costs
from financelake_assets.model.features import LOOKBACK, features_of
from financelake_assets.model.labels import labels_of
from financelake_assets.model.plugin_checks import example_bars
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.trials import strategy_trial
from financelake_assets.plugins import Plugin, PluginError, cost, installed
from financelake_assets_tests.gold.test_backtest import LAST, history
from financelake_assets_tests.model.records import record
from financelake_assets_tests.plugins.scoring import SETTINGS, assert_back_test_gives, assert_live_gives, scored
from financelake_assets_tests.plugins.site import Site

FEATURED = features_of(history())


def plugin(expression: pl.Expr, lookback: int = 0) -> Plugin:
    return cost(version="1", lookback=lookback)(lambda bars: bars.select(cost_bps=expression))


def test_without_plug_ins_it_is_that_of_the_asset_class() -> None:
    settings = SignalSettings(cost_bps={"stock": 1.0, "crypto": 2.0, "commodity": 3.0})
    found = with_costs(FEATURED, Costs(settings.cost_bps, 0.5))
    of_class = found.group_by("asset_class").agg(pl.col(COST).unique(), pl.col(EXECUTION).unique())
    for asset_class, costs, executions in of_class.iter_rows():
        assert costs == [settings.cost_bps[asset_class]]
        assert executions == [costs[0] + 0.5]
    assert of_class.height > 1
    assert_frame_equal(found.drop(COST, EXECUTION), FEATURED, check_exact=True)
    assert Costs() == Costs.of(SETTINGS)


def test_the_documented_example_widens_with_volatility_and_holds_signals_back(site: Site) -> None:
    plain = scored(history())
    site.documented("my_costs")
    found = scored(history())
    assert (found[COST] >= plain[COST]).all()
    assert (found[COST] > plain[COST]).sum() > 20
    dearer = (plain["signal"] != "HOLD") & (found["signal"] == "HOLD")
    assert found.filter(dearer & (found["reason"] == "below_costs")).height == dearer.sum()
    off = SETTINGS.model_copy(update={"skipped_plugins": ("wider_when_wild",)})
    assert_frame_equal(scored(history(), settings=off), plain)


DEAR_MONDAYS = """
@cost(version="1", lookback=3)
def dear_mondays(bars):
    monday = pl.any_horizontal(pl.col("event_time").shift(back).dt.weekday() == 1 for back in range(4))
    return bars.select(cost_bps=pl.when(monday).then(pl.col("close") % 20 + 10).otherwise("cost_bps"))
"""


def test_live_back_test_and_training_have_the_same_costs(site: Site) -> None:
    plain = scored(history())
    site.cost("dear_mondays", DEAR_MONDAYS)
    bars = history()
    whole = scored(bars)
    assert (whole[COST] != plain[COST]).sum() > 100
    assert bars_before(SETTINGS) == SETTINGS.signals.settle_bars + 2 + 3
    assert_live_gives(whole, bars, (61, 64, 90, 101, 115, 149))
    assert_back_test_gives(whole, bars, COST)
    # what a training judges its trades by is the same with slippage
    facts = labels_of(with_costs(features_of(bars), Costs.of(SETTINGS)), 1).filter("scorable")
    judged = facts.join(whole, on=["symbol", "interval", "event_time"])
    assert judged.height > 100
    assert (judged[EXECUTION] == judged["cost_bps_right"] + SETTINGS.portfolio.slippage_bps).all()


def test_the_scorecard_pays_what_the_bar_of_the_signal_cost(site: Site) -> None:
    site.cost("dear_mondays", DEAR_MONDAYS)
    bars, whole = history(), scored(history())
    made = whole.with_columns(topic=pl.lit("t"), partition=pl.lit(0), offset=pl.lit(0)).drop_nulls("predicted_return")
    found = mature(made, whole, bars, LAST, slippage_bps=1.0).join(whole, on=["symbol", "interval", "event_time"])
    paid = found.drop_nulls("net_return").select(pl.col("gross_return") - pl.col("net_return"), COST)
    assert paid[COST].n_unique() > 10
    assert paid["gross_return"].to_list() == pytest.approx((2e-4 * (paid[COST] + 1.0)).to_list())


@hypothesis_settings(max_examples=20)  # each calls plug-ins, in a thread
@given(st.lists(st.integers(0, 15), min_size=1, max_size=3), st.integers(1, 40))
def test_behind_their_look_backs_costs_know_only_these(lookbacks: list[int], cut: int) -> None:
    """A live query has the bars of the look-backs alone, and those of the features before them."""
    functions = [plugin(pl.col(COST).rolling_sum(back + 1) / (back + 1), back) for back in lookbacks]
    costs = Costs(functions=[plugin(pl.col("bar_volatility").fill_null(0.01) * 1e3), *functions])
    assert costs.lookback == sum(lookbacks)
    one = FEATURED.filter(symbol="A")
    whole = with_costs(one, costs)
    at = one.height - cut
    near = with_costs(one.slice(at - LOOKBACK - costs.lookback, LOOKBACK + costs.lookback + 1), costs)
    assert near[COST][-1] == pytest.approx(whole[COST][at], rel=1e-9)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (pl.col(COST) - 100, "gives the cost -9"),
        (pl.col(COST) * 1e9, "not 0 to 10,000 basis points"),
        (pl.col(COST) * float("nan"), "gives the cost nan"),
        (pl.col(COST) / 0, "gives the cost inf"),
        (pl.when(pl.col("close") > 1e9).then(COST), "gives the cost null"),
        (pl.col(COST).mean(), "gives 1 rows"),
        (pl.lit("dear") + pl.col("symbol"), "is String, not a number"),
        (pl.col("nothing"), "fails: ColumnNotFoundError"),
        (pl.col("bar_volatility").shift(-1).fill_null(1.0), r"refused \(truncation\).*it knows the future"),
        (pl.col("bar_volatility").fill_null(0.0).rolling_max(9, min_samples=1), r"refused \(stream parity\)"),
    ],
)
def test_what_is_no_cost_is_refused(expression: pl.Expr, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        cost_checks.refuse_unsafe(Costs(functions=(plugin(expression),)), example_bars())


def test_a_wrong_one_gives_no_signal_and_is_examined_once(site: Site) -> None:
    site.cost(
        "own", '@cost(version="1")\ndef own(bars):\n    return bars.select(cost_bps=pl.col("close").shift(-1) % 20)\n'
    )
    for _ in range(2):
        with pytest.raises(PluginError, match=r"own 1 is refused \(truncation\): the column cost_bps of"):
            scored(history())
    site.cost("own", "raise OSError('gone')")
    assert bars_before(SETTINGS) == SETTINGS.signals.settle_bars + 2
    with pytest.raises(PluginError, match="own cannot be loaded: OSError: gone"):
        scored(history())


def test_several_come_in_the_order_of_their_names_and_see_each_other(site: Site) -> None:
    for name, change in (("b", "* 2"), ("a", "+ 3")):
        code = f'@cost(version="1")\ndef {name}(bars):\n    return bars.select(cost_bps=pl.col("cost_bps") {change})\n'
        site.cost(name, code)
    found = with_costs(FEATURED.filter("scorable", asset_class="stock"), Costs.of(SETTINGS))
    behind = found.filter(pl.int_range(pl.len()).over("symbol") >= LOOKBACK)
    assert set(behind[COST]) == {(2.0 + 3) * 2}


def test_costs_are_another_strategy_and_stand_in_record_and_card(site: Site) -> None:
    plain = strategy_trial(SETTINGS.model, SETTINGS)
    assert "costs" not in plain.parameters, "the ledger of an earlier release has the same key"
    site.documented("my_costs")
    found = strategy_trial(SETTINGS.model, SETTINGS)
    assert found.parameters["costs"].keys() == {"wider_when_wild"}
    assert found.key != plain.key
    (function,) = installed.costs(())
    made = record("rf-1", costs={"wider_when_wild": function.facts})
    assert ModelRecord.parse(made.row()) == made
    assert "judged with the costs of plug-ins: wider_when_wild 1 (look-back 20 bars)." in model_card(made, [])
    assert "with the costs of" not in model_card(record("rf-1"), [])
    row = made.row()
    del row["costs"]
    assert ModelRecord.parse(row).costs == {}, "a version of an earlier release has none"
