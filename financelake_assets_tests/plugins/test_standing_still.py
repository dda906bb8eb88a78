"""A market whose plug-in fails stands still and says why; all others go on, and nothing is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.defs.model.sensors import _lacks_plugins
from financelake_assets.gold.history import repair
from financelake_assets.gold.query import Scorer
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.gold.silver_changes import Versions
from financelake_assets.model import artifacts, forest, overview, readiness, registry, standstill
from financelake_assets.model.card import model_card
from financelake_assets.model.drift import measure, reference_of
from financelake_assets.model.features import FEATURES, features_of
from financelake_assets.model.markets import Market
from financelake_assets.model.plugged_features import features_with
from financelake_assets.model.promotion import decide
from financelake_assets.model.record import MadeWith, ModelRecord
from financelake_assets.model.schema import MODELS
from financelake_assets.model.trials import strategy_trial
from financelake_assets.plugins import PluginError, installed
from financelake_assets.silver.schema import BARS
from financelake_assets_tests.gold.frames import frame
from financelake_assets_tests.gold.lakes import HISTORY, SYMBOLS, append
from financelake_assets_tests.gold.test_backtest import Guess
from financelake_assets_tests.gold.test_book_store import add
from financelake_assets_tests.gold.test_side_by_side import both
from financelake_assets_tests.model import market
from financelake_assets_tests.model.records import record
from financelake_assets_tests.plugins.site import Site

DAILY, FIVE = Market("1d"), Market("5m")
MEAN = """
import os

@feature(version="1", lookback=100)
def mean(bars):
    if bars["interval"][0] == os.environ.get("BROKEN"):
        raise ValueError("not these bars")
    return bars.select(mean=pl.col("log_return").rolling_mean(101).fill_null(0.0))
"""


@pytest.fixture
def lake(offline_lake: Settings, site: Site, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake with champions of days and of five minutes that were trained with a plug-in, and a new bar of each."""
    site.feature("mean", MEAN)
    (plugin,) = installed.features(())
    later = datetime.now(UTC) + timedelta(hours=1)
    history, new = both(0, HISTORY), both(HISTORY, HISTORY + 1)
    version = append(offline_lake, history)
    append(offline_lake, new.with_columns(processed_at=pl.lit(later).cast(new.schema["processed_at"])))
    made: dict[str, Any] = {
        "silver_version": version,
        "trained_at": datetime.now(UTC),
        "features": (*FEATURES, "mean"),
        "plugins": {"mean": plugin.facts},
    }
    rows = [record(f"rf-{market.name}", market.name, 0, **made).row() for market in (DAILY, FIVE)]
    add(MODELS, offline_lake, frame(MODELS, rows))
    monkeypatch.setattr(artifacts, "verify", lambda *_: None)
    monkeypatch.setattr(forest, "read", lambda _: Guess({}, 0.0, (), None))  # type: ignore[arg-type]
    return offline_lake


def signals(lake: Settings) -> dict[str, int]:
    return dict(SIGNALS.scan(lake).collect().group_by("interval").len().iter_rows())


def batch(lake: Settings) -> None:
    newest = BARS.ensure(lake).version()
    Scorer(lake).write_batch(Versions(newest, newest))


def note(lake: Settings, name: str) -> str:
    versions = registry.versions(lake)
    return str(overview.of_lake(lake, versions, datetime.now(UTC))[name]["note"])


def test_versions_with_a_plug_in_are_scored_with_it(lake: Settings) -> None:
    batch(lake)
    assert signals(lake) == {"1d": len(SYMBOLS), "5m": len(SYMBOLS)}
    assert len(PREDICTIONS.scan(lake).collect()) == 2 * len(SYMBOLS), "its look-back is longer than our own"
    assert "stands still" not in note(lake, "5m")


def test_the_others_go_on_and_what_is_missing_comes_when_it_is_mended(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "1d")
    batch(lake)
    assert signals(lake) == {"5m": len(SYMBOLS)}
    said = note(lake, "1d")
    assert said == "stands still, no new signals: the plug-in mean 1 fails: ValueError: not these bars"
    assert "stands still" not in note(lake, "5m")
    whole = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    with pytest.raises(PluginError, match="not these bars"):
        repair(lake, *whole)
    monkeypatch.delenv("BROKEN")
    done = repair(lake, *whole)
    assert (done.predictions, done.signals) == (len(SYMBOLS), len(SYMBOLS)), "its look-back is read here too"
    assert signals(lake) == {"1d": len(SYMBOLS), "5m": len(SYMBOLS)}
    assert "stands still" not in note(lake, "1d")
    append(lake, both(HISTORY + 1, HISTORY + 2))
    batch(lake)
    assert signals(lake) == {"1d": 2 * len(SYMBOLS), "5m": 2 * len(SYMBOLS)}


@pytest.mark.parametrize("code", [None, MEAN.replace('"1"', '"2"')])
def test_another_version_of_the_plug_in_gives_no_signal(lake: Settings, site: Site, code: str | None) -> None:
    if code is None:
        site.uninstall("mean")
    else:
        site.feature("mean", code)
    batch(lake)
    assert signals(lake) == {}
    for name in ("1d", "5m"):
        assert "stands still, no new signals: the model was trained with the plug-in mean 1" in note(lake, name)
        assert "a training is due" in note(lake, name)


def test_a_broken_rule_halts_every_market_and_no_stream(lake: Settings, site: Site) -> None:
    site.rule("loose", '@rule(version="1")\ndef loose(scored):\n    return scored.select(signal=pl.lit("BUY"))\n')
    batch(lake)
    assert signals(lake) == {}
    assert "no new signals: the plug-in loose 1 gives 1 rows" in note(lake, "1d")


DEARER = """
import os

@cost(version="1")
def dearer(bars):
    if bars["interval"][0] == os.environ.get("UNPAID"):
        return bars.select(cost_bps=-pl.col("cost_bps"))
    return bars.select(cost_bps=pl.col("cost_bps") + 1)
"""


def test_a_cost_that_is_none_halts_its_market_alone(
    lake: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.cost("dearer", DEARER)
    monkeypatch.setenv("UNPAID", "5m")
    batch(lake)
    assert signals(lake) == {"1d": len(SYMBOLS)}
    of_class = {kind: cost + 1 for kind, cost in lake.signals.cost_bps.items()}
    assert set(SIGNALS.scan(lake).collect()["cost_bps"]) <= set(of_class.values())
    assert "no new signals: the plug-in dearer 1 gives the cost -" in note(lake, "5m")
    assert "stands still" not in note(lake, "1d")
    monkeypatch.delenv("UNPAID")
    repair(lake, datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    assert signals(lake) == {"1d": len(SYMBOLS), "5m": len(SYMBOLS)}
    assert "stands still" not in note(lake, "5m")


def test_a_refused_training_is_told_beside_the_champion(offline_lake: Settings) -> None:
    standstill.note(offline_lake, FIVE, "training", "it leaks")
    assert standstill.reasons(offline_lake) == {"5m": "stands still, no training: it leaks"}
    standstill.note(offline_lake, FIVE, "scoring", None)
    standstill.note(offline_lake, DAILY, "scoring", "it fails")
    assert standstill.reasons(offline_lake) == {
        "5m": "stands still, no training: it leaks",
        "1d": "stands still, no new signals: it fails",
    }
    standstill.note(offline_lake, FIVE, "training", None)
    standstill.note(offline_lake, DAILY, "scoring", None)
    assert standstill.reasons(offline_lake) == {}


def test_bars_are_counted_behind_the_look_back_of_a_plug_in(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.feature("mean", MEAN)
    bars = market.bars("A", market.moves(300, 1)).with_columns(processed_at=pl.lit(datetime.now(UTC)))
    settings = ModelSettings(min_rows=1000)

    def labelled() -> int | None:
        return readiness.survey(bars.lazy(), settings, {}, installed.features(()))[DAILY].labelled

    assert labelled() == 300 - 60 - 100 - 1
    # what the training would refuse stops no count
    monkeypatch.setenv("BROKEN", "1d")
    assert labelled() == 300 - 60 - 1


def with_facts(version: str = "1") -> dict[str, dict[str, Any]]:
    facts = {"version": version, "lookback": 5, "columns": ["mean"], "digest": "d"}
    return {"mean": facts}


def test_a_champion_whose_plug_in_is_gone_is_replaced(site: Site) -> None:
    champion = record("rf-1", promoted=0, plugins=with_facts())

    class Challenger:
        settings = ModelSettings()
        made_with = MadeWith(with_facts("2"))

    decision = decide(champion, Challenger(), lambda _: pytest.fail("it cannot be loaded"), champion.trained_at)  # type: ignore[arg-type]
    assert decision.promote
    assert "rf-1 was trained with the plug-in mean 1, which is not in use any more" in decision.reason


def test_a_strategy_with_plug_ins_is_another_trial(site: Site) -> None:
    settings = Settings()
    plain = strategy_trial(settings.model, settings)
    assert "plugins" not in plain.parameters, "the ledger of an earlier release has the same key"
    with_one = strategy_trial(settings.model, settings, made_with=MadeWith(with_facts()))
    site.documented()
    with_rule = strategy_trial(settings.model, settings)
    assert with_rule.parameters["rules"].keys() == {"no_fridays"}
    assert len({plain.key, with_one.key, with_rule.key}) == 3
    # without its rules a lake gives no signal, and a training of it is still written down
    site.rule("broken", "raise OSError")
    assert strategy_trial(settings.model, settings).key == plain.key


def test_a_champion_without_its_plug_in_is_trained_again_but_not_for_ever(site: Site) -> None:
    """A training may see another version of a plug-in than the sensor, which loaded it before."""
    champion = record("rf-1", promoted=0, plugins=with_facts())
    now = champion.trained_at + timedelta(days=1)
    assert _lacks_plugins(Settings(), champion, champion, now)
    just_now = record("rf-2", trained=1, plugins=with_facts("2"))
    assert not _lacks_plugins(Settings(), champion, just_now, now)
    assert _lacks_plugins(Settings(), champion, just_now, now + timedelta(hours=2))
    assert not _lacks_plugins(Settings(), record("rf-3", promoted=0), None, now)


def test_card_and_registry_name_the_plug_ins() -> None:
    made = record("rf-1", plugins=with_facts())
    assert "those of plug-ins: mean 1 (mean; look-back 5 bars)." in model_card(made, [])
    assert "plug-in" not in model_card(record("rf-1"), [])
    assert registry.metadata(made)["plugins"] == {"mean": "1"}
    assert ModelRecord.parse(made.row()) == made


def test_drift_of_a_plug_in_is_measured_like_that_of_ours(site: Site) -> None:
    site.feature("mean", MEAN)
    plugins = installed.features(())
    bars = market.bars("A", market.moves(900, 1))
    learnt = features_with(bars, plugins).filter("scorable")
    reference = reference_of(learnt, ("mean",))
    assert set(reference.features) == {*reference_of(learnt).features, "mean"}
    shifted = learnt.with_columns(pl.col("mean") + 1)
    assert "mean" in measure(reference, shifted).psi
    assert measure(reference, shifted).psi["mean"] > 1 > measure(reference, learnt).psi["mean"]
    assert set(reference_of(features_of(bars).filter("scorable")).features) == set(reference_of(learnt).features)
