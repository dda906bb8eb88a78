from __future__ import annotations

import pytest

from financelake_assets.config import Settings
from financelake_assets.operations import firsts
from financelake_assets_tests.dash_app import written


def test_each_first_row_of_gold_is_announced_once(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firsts, "_LOOK_SECONDS", 0.0)
    looked_at = firsts.Firsts(offline_lake)
    assert looked_at.news() == []
    written.write_lake(offline_lake, ("AAPL",))
    said = looked_at.news()
    assert [line.split(" is there")[0] for line in said] == ["the first prediction", "the first signal"]
    assert looked_at.news() == []


def test_a_lake_that_has_signals_announces_nothing(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firsts, "_LOOK_SECONDS", 0.0)
    written.write_lake(offline_lake, ("AAPL",))
    assert firsts.Firsts(offline_lake).news() == []
