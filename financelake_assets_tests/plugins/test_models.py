"""Models of a user in the place of the forests: learnt, judged, kept and loaded, and every way to be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.gold.explain import NoPredictionError, explain
from financelake_assets.gold.predict import score
from financelake_assets.gold.schema import PREDICTIONS
from financelake_assets.model import artifacts, local_walk, plugged_model, registry
from financelake_assets.model.artifacts import ArtifactError
from financelake_assets.model.card import model_card
from financelake_assets.model.features import FEATURES
from financelake_assets.model.labels import LABEL
from financelake_assets.model.outputs import OUTPUTS, RAW, RAW_SIZE, RAW_UP, WEEKDAY_EFFECT
from financelake_assets.model.promotion import decide
from financelake_assets.model.record import MadeWith, ModelRecord
from financelake_assets.model.schema import MODELS
from financelake_assets.model.splits import refuse_leaks
from financelake_assets.model.trials import strategy_trial
from financelake_assets.plugins import Plugin, PluginError, calling, installed, model, regressors
from financelake_assets_tests.gold.frames import frame, prediction, predictions
from financelake_assets_tests.gold.test_book_store import add
from financelake_assets_tests.model.records import record
from financelake_assets_tests.model.test_linear import DAY, folds_of, rows_of
from financelake_assets_tests.plugins.site import Site

LINE = """
import json
import numpy as np
import pyarrow as pa

def rows(features):
    return np.column_stack([np.ones(features.num_rows), *(column.to_numpy() for column in features.columns)])

@model(version="1")
class line:
    def fit(self, features, target):
        self.weights = np.linalg.lstsq(rows(features), target.to_numpy(), rcond=None)[0]

    def predict(self, features):
        return pa.array((rows(features) * self.weights).sum(axis=1))

    def save(self, folder):
        (folder / "weights.json").write_text(json.dumps(self.weights.tolist()))

    @classmethod
    def load(cls, folder):
        made = cls()
        made.weights = np.array(json.loads((folder / "weights.json").read_text()))
        return made
"""


@pytest.fixture
def line(site: Site) -> Plugin:
    """A straight line by least squares."""
    site.model("line", LINE)
    found = installed.learner("line", ())
    assert found is not None
    return found


def test_it_walks_forward_as_the_forests_do_and_finds_what_can_be_found(line: Plugin) -> None:
    rows = rows_of(0.5)
    last: list[local_walk.Predictor] = []
    made = local_walk.walk(
        rows,
        folds_of(rows),
        lambda learnt: plugged_model.fit(line, learnt, FEATURES),
        lambda _, fitted, __: last.append(fitted),
    )
    refuse_leaks(made, DAY)
    assert len(last) == len(folds_of(rows))
    assert made[RAW_UP].is_between(0, 1).all()
    assert (made[RAW_SIZE] >= 0).all()
    known = made.join(rows, on=["symbol", "asset_class", "event_time"]).drop_nulls(LABEL)
    assert float(np.corrcoef(known[RAW], known[LABEL])[0, 1]) > 0.3
    own = last[-1]
    assert isinstance(own, plugged_model.PluggedModel)
    found = plugged_model.permutation_importance(own, rows.tail(300), LABEL, 7)
    assert list(found) == [*FEATURES, WEEKDAY_EFFECT]
    assert found["momentum_1"] == max(found.values()) > 0.05


def test_a_row_that_lacks_an_input_has_no_prediction(line: Plugin) -> None:
    rows = rows_of(0.5, 300)
    fitted = plugged_model.fit(line, rows.drop_nulls(LABEL), FEATURES)
    whole = fitted.predict(rows)
    assert whole.columns == list(OUTPUTS)
    assert whole.null_count().sum_horizontal().item() == 0
    gap = pl.int_range(pl.len()) == 5
    lacking = rows.with_columns(
        pl.when(gap).then(None).otherwise("rsi").alias("rsi"), pl.when(~gap).then("macd").otherwise(float("nan"))
    )
    found = fitted.predict(lacking)
    assert [found[name].null_count() for name in OUTPUTS] == [1, 1, 1]
    assert_frame_equal(found.drop_nulls(), whole.filter(pl.int_range(pl.len()) != 5))
    assert fitted.predict(rows.clear()).is_empty()


def kept(settings: Settings, line: Plugin, rows: pl.DataFrame) -> tuple[ModelRecord, plugged_model.PluggedModel]:
    """A version of a lake that the line learnt."""
    fitted = plugged_model.fit(line, rows.drop_nulls(LABEL), FEATURES)
    digest = artifacts.write(fitted.save, settings.models_dir, "line-1")
    facts = {"line": line.facts}
    made = record("line-1", promoted=0, learner=facts, features=FEATURES, manifest_sha256=digest)
    add(MODELS, settings, frame(MODELS, [made.row()]))
    return made, fitted


def test_a_version_is_loaded_from_its_own_verified_files(site: Site, line: Plugin, tmp_path: Path) -> None:
    settings, rows = Settings(data_dir=tmp_path), rows_of(0.5, 300)
    made, fitted = kept(settings, line, rows)
    assert registry.get(settings, "line-1") == made
    found = registry.load_predictor(settings, made)
    assert isinstance(found, plugged_model.PluggedModel)
    assert_frame_equal(found.predict(rows), fitted.predict(rows), check_exact=True)
    unseen = rows.with_columns(symbol_weekday=pl.lit(3, pl.Int64))
    assert_frame_equal(found.predict(unseen), fitted.predict(unseen), check_exact=True)
    # what is served is what it says, calibrated as the forests are
    stamped = rows.with_columns(
        pl.col("event_time", "target_time").dt.replace_time_zone("UTC"),
        horizon=pl.lit(1, pl.Int32),
        model_version=pl.lit("line-1"),
        as_of=pl.lit(datetime.now(UTC)),
        topic=pl.lit("t"),
        partition=pl.lit(0, pl.Int32),
        offset=pl.lit(0, pl.Int64),
    )
    served = score(stamped, found, made)
    assert served.height == rows.height
    raw = found.predict(rows)[RAW] * rows["bar_volatility"]
    assert served.sort("event_time", "symbol")["predicted_return"].to_list() == pytest.approx(raw.to_list())
    # without the plug-in, with another one, or with other files it is not served
    with pytest.raises(PluginError, match="FINANCELAKE_SKIPPED_PLUGINS switches off"):
        registry.load_predictor(settings.model_copy(update={"skipped_plugins": ("line",)}), made)
    site.model("line", LINE.replace("sum(axis=1)", "mean(axis=1)"))
    with pytest.raises(PluginError, match="trained with the plug-in line 1; the installed one has that version, but"):
        registry.load_predictor(settings, made)
    assert "other code" in str(made.plugin_problem(()))
    site.model("line", LINE)
    assert made.plugin_problem(()) is None
    weights = settings.models_dir / "line-1" / "plugin" / RAW / "weights.json"
    weights.write_text(weights.read_text().replace("1", "2"))
    with pytest.raises(ArtifactError, match=r"files of model line-1 differ .*plugin/raw_prediction/weights\.json"):
        registry.load_predictor(settings, made)


BROKEN = {
    "raises": ("np.linalg.lstsq(", "np.linalg.oh(", "line 1 fails: AttributeError"),
    "too few": ("sum(axis=1))", "sum(axis=1)[:-1])", r"shape \(\d+,\) for \d+ rows"),
    "texts": ("sum(axis=1))", "sum(axis=1).astype(str))", "fails: TypeError: predictions are .*, not an Arrow"),
    "a list": ("pa.array((rows(features) * self.weights).sum(axis=1))", "[1.0]", "predictions are list, not an"),
    "nan": ("sum(axis=1))", "sum(axis=1) * np.nan)", "predicts nan for row 0"),
    "by lot": (
        "rcond=None)[0]",
        "rcond=None)[0] * np.random.random()",
        r"refused \(repeatable\): the prediction of row",
    ),
    "others": ("self.weights).sum(axis=1)", "self.weights).sum(axis=1) - rows(features).mean()", r"\(row by row\)"),
    "no file": ('(folder / "weights.json")', "__import__('pathlib').Path('/dev/null')", "line 1 saves no file"),
    "lossy": ("np.array(json", "np.round(json", r"refused \(saved\): the prediction of row \d+ is .* loaded"),
    "cannot load": ("made.weights =", "made.wait =", "fails: AttributeError"),
}


@pytest.mark.parametrize("way", BROKEN)
def test_one_that_cannot_be_served_is_refused(site: Site, way: str) -> None:
    old, new, said = BROKEN[way]
    assert old in LINE
    site.model("line", LINE.replace(old, new))
    broken = installed.learner("line", ())
    assert broken is not None
    with pytest.raises(PluginError, match=said):
        plugged_model.examine(broken, rows_of(0.5, 300).drop_nulls(LABEL), FEATURES)


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_number_that_is_none_names_its_bar(site: Site) -> None:
    site.model("line", LINE.replace("sum(axis=1))", "sum(axis=1) / (features['rsi'].to_numpy() < 0.6))"))
    own = installed.learner("line", ())
    assert own is not None
    rows = rows_of(0.5, 300).drop_nulls(LABEL)
    with pytest.raises(PluginError, match=r"line 1 predicts -?(inf|nan) for [AB] at 2015"):
        plugged_model.fit(own, rows, FEATURES).predict(rows)


def test_one_that_learns_too_long_is_not_waited_for() -> None:
    class Slow:
        def fit(self, *_: object) -> None:
            import threading

            threading.Event().wait(60)

        predict = save = load = fit

    slow = replace(model(version="1")(Slow), name="slow")
    table = pa.table({"a": [1.0, 2.0]})
    try:
        with pytest.raises(PluginError, match=r"slow 1 takes more than 0\.05 s to learn 2 rows"):
            regressors.fitted(slow, table, pa.array([1.0, 2.0]), seconds=0.05)
        with pytest.raises(PluginError, match="not called again until the lake is restarted"):
            regressors.fitted(slow, table, pa.array([1.0, 2.0]))
    finally:
        calling._HANGING.clear()


def test_the_declaration_and_the_settings_are_checked(site: Site, line: Plugin) -> None:
    with pytest.raises(PluginError, match="the model Half is declared wrongly: it has no save, load"):
        model(version="1")(type("Half", (), {"fit": print, "predict": print}))
    with pytest.raises(PluginError, match="version must be a text"):
        model(version="")(type(line.function()))
    assert installed.learner(None, ()) is None
    with pytest.raises(PluginError, match="there is no plug-in tree among the models that are installed"):
        installed.learner("tree", ())
    with pytest.raises(PluginError, match="line shall learn"):
        installed.learner("line", ("line",))
    assert ModelSettings(learners={"1D": "line"}).learners == {"1d": "line"}
    with pytest.raises(ValidationError, match="no interval of bars"):
        ModelSettings(learners={"tick": "line"})
    # which model learns another interval does not make a forest another one
    assert ModelSettings(learners={"1h": "line"}).of_the_forest() == ModelSettings().of_the_forest()


def test_it_is_another_strategy_and_stands_in_record_and_card(line: Plugin, tmp_path: Path) -> None:
    settings, facts = Settings(data_dir=tmp_path), {"line": line.facts}
    plain, own = (strategy_trial(settings.model, settings, made_with=made) for made in (None, MadeWith(learner=facts)))
    assert "learner" not in plain.parameters
    assert own.key != plain.key
    made = record("line-1", learner=facts, permutation={"rsi": 0.25})
    assert ModelRecord.parse(made.row()) == made
    assert registry.metadata(made)["learner"] == {"line": "1"}
    card = model_card(made, [])
    assert "Three regressors of the plug-in line 1: one for the log return" in card
    assert "| rsi |  | +0.2500 |" in card
    assert "contributes to a single prediction is not known: a model of a plug-in does not tell" in card
    forests = model_card(record("rf-1", importance={"rsi": 0.5}, contributions={"rsi": 0.03}), [])
    assert "A forest of" in forests
    assert "| rsi | 0.500 |  | 0.0300 |" in forests
    assert "An earlier release did not measure what the inputs contribute" in model_card(record("rf-1"), [])
    assert json.loads(made.row()["learner"]) == facts


def test_a_champion_whose_model_is_gone_is_replaced(site: Site, line: Plugin) -> None:
    champion = record("line-1", promoted=0, learner={"line": line.facts})

    class Challenger:
        settings = ModelSettings()
        made_with = MadeWith()

    site.uninstall("line")
    decision = decide(champion, Challenger(), lambda _: pytest.fail("it cannot be loaded"), champion.trained_at)  # type: ignore[arg-type]
    assert decision.promote
    assert "cannot score with line-1: the model was trained with the plug-in line 1: there is no" in decision.reason


def test_why_says_that_it_explains_forests_alone(line: Plugin, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    kept(settings, line, rows_of(0.5, 300))
    add(PREDICTIONS, settings, predictions(prediction(0, 100.0, 0.01, model_version="line-1")))
    with pytest.raises(NoPredictionError, match="line-1 is a model of the plug-in line, which does not tell what its"):
        explain(settings, "AAPL")
