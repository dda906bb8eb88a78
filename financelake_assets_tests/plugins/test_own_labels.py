"""Labels of a user: what is learnt changes, what is predicted does not, and none looks behind its horizon."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from financelake_assets.config import Settings
from financelake_assets.model import label_checks, linear, training
from financelake_assets.model.card import model_card
from financelake_assets.model.costs import Costs, with_costs
from financelake_assets.model.evaluation import ALL, HOLDOUT, evaluate
from financelake_assets.model.features import FEATURES, features_of
from financelake_assets.model.labels import LABEL, TARGET, labels_of
from financelake_assets.model.plugged_features import columns_of
from financelake_assets.model.record import MadeWith, ModelRecord
from financelake_assets.model.registry import metadata
from financelake_assets.model.targets import with_target
from financelake_assets.model.training_rows import FACTS
from financelake_assets.model.trials import strategy_trial
from financelake_assets.plugins import Plugin, PluginError, feature, installed, label
from financelake_assets_tests.model import market
from financelake_assets_tests.model.records import record
from financelake_assets_tests.model.test_linear import SETTINGS, folds_of
from financelake_assets_tests.plugins.site import Site

BARS = pl.concat(
    [
        market.bars("A", market.moves(300, 1)),
        market.with_close(market.close_only("WTI", market.moves(300, 3)), 150, -37.0),
    ]
)


def plugin(expression: pl.Expr, ahead: int | None = None) -> Plugin:
    return label(version="1", ahead=ahead)(lambda bars: bars.select(label=expression))


def labelled(horizon: int = 1, bars: pl.DataFrame = BARS) -> pl.DataFrame:
    return labels_of(with_costs(features_of(bars), Costs()), horizon)


def test_without_one_the_target_is_our_label() -> None:
    found = with_target(labelled(), 1)
    assert_frame_equal(found.drop(TARGET), labelled(), check_exact=True)
    assert found[TARGET].equals(found[LABEL].alias(TARGET))


def test_the_documented_example_is_the_return_until_a_barrier(site: Site) -> None:
    site.documented("my_labels")
    one = installed.label(())
    assert one is not None
    found = with_target(labelled(5), 5, one)
    assert_frame_equal(found.drop(TARGET), labelled(5), check_exact=True)
    seen = set()
    for symbol in ("A", "WTI"):
        rows = found.filter(symbol=symbol)
        returns, move = (rows[name].to_list() for name in ("log_return", "expected_move"))
        for number, row in enumerate(rows.iter_rows(named=True)):
            ahead = returns[number + 1 : number + 6]
            if row[LABEL] is None:
                assert row[TARGET] is None, "what is not known yet is not learnt"
                continue
            path = np.cumsum(ahead) / move[number]
            first = next((place for place, value in enumerate(path) if abs(value) >= 1), 4)
            seen.add(first)
            assert row[TARGET] == pytest.approx(np.clip(path[first], -4, 4))
    assert seen == {0, 1, 2, 3, 4}


def test_a_row_that_it_leaves_out_is_not_learnt_and_one_without_an_outcome_never() -> None:
    found = with_target(labelled(), 1, plugin(pl.when(pl.col(LABEL).abs() > 1).then(LABEL)))
    assert found[TARGET].drop_nulls().abs().min() > 1  # type: ignore[operator]
    unknown = with_target(labelled(), 1, plugin(pl.lit(1.0) + 0 * pl.col("close")))
    assert unknown.filter(pl.col(LABEL).is_null())[TARGET].null_count() >= 2
    assert unknown[TARGET].null_count() == unknown[LABEL].null_count()


@pytest.mark.parametrize(
    ("expression", "ahead", "horizon", "said"),
    [
        (pl.col("realised_return") * 1e4, None, 1, r"gives the label -?\d.* for A 1d at 2015"),
        (pl.col(LABEL) * float("nan"), None, 1, "gives the label nan for A"),
        (pl.col(LABEL) / 0, None, 1, "gives the label -?inf for A"),
        (pl.col(LABEL).mean(), None, 1, "gives 1 rows for"),
        (pl.col("symbol"), None, 1, "is String, not a number"),
        (pl.col("target_time"), None, 1, "fails: ColumnNotFoundError"),
        (pl.col("log_return").shift(-2).clip(-1, 1), None, 1, r"\(horizon\): .* looks ahead further than it declares"),
        (pl.col(LABEL), 2, 5, r"\(horizon\): .* looks ahead further than it declares"),
        (pl.col(LABEL).fill_null(0) - pl.col(LABEL).mean(), None, 1, r"\(horizon\): the column label of A 1d at 2015"),
        (pl.col(LABEL), 3, 1, "looks 3 bars ahead, and the return over 1 is predicted"),
    ],
)
def test_what_is_no_label_is_refused(expression: pl.Expr, ahead: int | None, horizon: int, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        label_checks.refuse_unsafe(plugin(expression, ahead), horizon, BARS)


def test_what_looks_as_far_as_the_horizon_passes() -> None:
    for expression, ahead in (
        (pl.col(LABEL), None),
        (pl.col("log_return").shift(-2).clip(-1, 1), 2),
        ((pl.col("close").shift(-5) > pl.col("close")).cast(pl.Float64), 5),
        # a label may know all bars before
        (pl.col(LABEL).clip(-1, 1) * (pl.col("close").cum_max() > pl.col("close")), None),
    ):
        label_checks.refuse_unsafe(plugin(expression, ahead), 5, BARS)


@pytest.mark.parametrize("ahead", [0, -1, True, 1.5, "5"])
def test_a_wrong_declaration_is_told(ahead: int) -> None:
    with pytest.raises(PluginError, match="at least one, not"):
        plugin(pl.col(LABEL), ahead)


def test_there_is_one_label(site: Site) -> None:
    assert installed.label(()) is None
    code = '@label(version="1")\ndef {0}(bars):\n    return bars.select("label")\n'
    for name in ("one", "two"):
        site.label(name, code.format(name))
    with pytest.raises(PluginError, match="several labels, and a training learns one: one, two"):
        installed.label(())
    found = installed.label(("two",))
    assert found is not None
    assert found.name == "one"
    with pytest.raises(PluginError, match="has a name that FinanceLake uses"):
        columns_of((feature(version="1", lookback=0, columns=(TARGET,))(lambda bars: bars),))


def judged(rows: pl.DataFrame) -> dict[str, float]:
    """What the training makes of a straight line that learnt the rows' target, on the holdout of all symbols."""
    folds = folds_of(rows)
    facts = rows.select(FACTS)
    scored = facts.join(linear.walk(rows, folds, FEATURES), on=["symbol", "asset_class", "event_time"])
    known = facts.drop_nulls(LABEL)
    walked = training._forecasts(known, scored.sort("event_time", "symbol"), folds, SETTINGS)
    found = training._judge(known, walked, SETTINGS)
    row = next(row for row in evaluate(found) if (row["fold"], row["symbol"]) == (HOLDOUT, ALL))
    size = float((found.rows["predicted_return"] / found.rows["expected_move"]).abs().mean())  # type: ignore[arg-type]
    return {"rows": row["rows"], "skill": row["skill"], "coverage": row["coverage"], "size": size}


def test_a_predicted_return_stays_one_whatever_was_learnt() -> None:
    """The decision in docs/decisions/0013-labels.md, on a market where half of a move comes again."""
    bars = pl.concat([market.bars(name, market.moves(900, seed, 0.5)) for name, seed in (("A", 1), ("B", 2))])
    rows = labelled(bars=bars)

    def learnt(expression: pl.Expr) -> dict[str, float]:
        own = with_target(rows, 1, plugin(expression)).filter("scorable")
        return judged(own.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.replace_time_zone(None)))

    plain = learnt(pl.col(LABEL))
    assert plain["skill"] > 0.1
    kept = plain["rows"], pytest.approx(plain["skill"], abs=0.05)
    for other in (
        pl.col(LABEL).clip(-1, 1) * 1.2,
        (pl.col(LABEL) * 3).clip(-4, 4),  # in larger units: the slope shrinks them
        pl.when(pl.col(LABEL).abs() > 0.5).then(LABEL),
    ):
        found = learnt(other)
        assert (found["rows"], found["skill"]) == kept, "all rows are judged, by the real return"
        assert found["size"] == pytest.approx(plain["size"], rel=0.35)
        assert found["coverage"] == pytest.approx(0.8, abs=0.05)
    small = learnt(pl.col(LABEL) / 10)
    assert 0 < small["size"] < plain["size"] / 4, "never more than it says"
    contrary = learnt(-pl.col(LABEL))
    assert (contrary["size"], contrary["skill"]) == (0.0, 0.0), "no forecast is turned round"
    nothing = learnt((pl.col("close") * 1e7).sin())
    assert nothing["size"] < 0.05
    assert nothing["skill"] < 0.02


def test_a_label_is_another_strategy_and_stands_in_record_and_card(site: Site, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    plain = strategy_trial(settings.model, settings)
    assert "labels" not in plain.parameters
    site.documented("my_labels")
    one = installed.label(())
    assert one is not None
    assert one.facts["ahead"] == 5
    facts = {one.name: one.facts}
    assert strategy_trial(settings.model, settings, made_with=MadeWith(labels=facts)).key != plain.key
    made = record("rf-1", labels=facts)
    assert ModelRecord.parse(made.row()) == made
    assert made.made_with == MadeWith(labels=facts)
    assert metadata(made)["labels"] == {"until_a_barrier": "1"}
    assert "it learnt the label until_a_barrier 1" in model_card(made, [])
    assert "learnt the label" not in model_card(record("rf-2"), [])
    assert installed.recorded(facts, (), "label") == (one,)
    site.uninstall("my_labels")
    with pytest.raises(PluginError, match="trained with the plug-in until_a_barrier 1: there is no plug-in"):
        installed.recorded(facts, (), "label")
