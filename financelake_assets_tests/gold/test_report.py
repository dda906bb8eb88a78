"""The report of gold: what it draws is what the tables say."""

from __future__ import annotations

import dagster as dg
import polars as pl
import pytest

from financelake_assets.config import Settings
from financelake_assets.defs.gold.assets import gold_report
from financelake_assets.defs.resources import LakeResource
from financelake_assets.gold.paper.schema import EQUITY
from financelake_assets.gold.report import calibration_figure, equity_figure
from financelake_assets.gold.schema import CALIBRATION
from financelake_assets_tests.gold.test_standing import stood

__all__ = ["stood"]


def test_the_curves_begin_at_one_and_end_where_the_accounts_are(stood: Settings) -> None:
    equity = pl.read_delta(EQUITY.path(stood)).sort("event_time")
    panes = {pane.get_title(): pane for pane in equity_figure(equity).axes}
    assert set(panes) == {"stock 1d", "crypto 1d"}
    for title, pane in panes.items():
        account = equity.filter(pl.col("asset_class") == title.split()[0])
        for name, label in (
            ("equity", "signals, net of costs"),
            ("buy_and_hold", "buy and hold"),
            ("random", "random"),
        ):
            (drawn,) = (line for line in pane.get_lines() if line.get_label() == label)
            values = list(drawn.get_ydata())
            assert values[0] == 1.0
            assert values[-1] == pytest.approx(account[name][-1] / account[name][0])


def test_the_points_are_the_bins_of_all_classes(stood: Settings) -> None:
    calibration = pl.read_delta(CALIBRATION.path(stood))
    left, right = calibration_figure(calibration).axes
    for pane, measure, name in ((left, "confidence", "hit_rate"), (right, "strength", "mean_move")):
        bins = calibration.filter(pl.col("asset_class") == "ALL", pl.col("measure") == measure).sort("low")
        (drawn,) = (line for line in pane.get_lines() if line.get_marker() == "o")
        assert list(drawn.get_xdata()) == bins["stated"].to_list()
        assert list(drawn.get_ydata()) == bins[name].to_list()


def test_dagster_shows_figures_and_signals(stood: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LakeResource, "settings", stood)
    done = dg.materialize([gold_report], resources={"lake": LakeResource()})
    (made,) = done.asset_materializations_for_node("gold__report")
    assert made.metadata["equity"].value.startswith("![equity](data:image/png;base64,iVBOR")
    assert made.metadata["calibration"].value.startswith("![calibration](data:image/png;base64,iVBOR")
    assert all(symbol in made.metadata["newest_signals"].value for symbol in ("AAPL", "IBM", "BTC-USD"))


def test_a_lake_without_gold_has_an_empty_report(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LakeResource, "settings", offline_lake)
    done = dg.materialize([gold_report], resources={"lake": LakeResource()})
    (made,) = done.asset_materializations_for_node("gold__report")
    assert set(made.metadata) == {"newest_signals"}
