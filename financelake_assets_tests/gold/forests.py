"""Lakes with a forest that nobody trained: its files by hand, so that real tables are scored without Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from deltalake import write_deltalake

from financelake_assets.config import Settings
from financelake_assets.model import artifacts
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.schema import MODELS
from financelake_assets_tests.gold.frames import frame
from financelake_assets_tests.model import test_forest as files
from financelake_assets_tests.model.records import record

_RSI, _WEEKDAY = 0, 1


def registered(settings: Settings, version: str = "rf-1", seed: int = 1, **more: Any) -> ModelRecord:
    """A champion with trees made up at random, which see the RSI and the weekday's effect."""
    chance = np.random.default_rng(seed)
    trees = [_grown(chance) for _ in range(5)]

    def save(folder: Path) -> None:
        files.save(folder / artifacts.PIPELINE, trees, files.EFFECTS)

    digest = artifacts.write(save, settings.models_dir, version)
    made = record(version, **{"promoted": 0, "features": ("rsi",), "manifest_sha256": digest, **more})
    rows = frame(MODELS, [made.row()])
    write_deltalake(MODELS.ensure(settings), rows.to_arrow().cast(MODELS.schema), mode="append")
    return made


def _grown(chance: np.random.Generator) -> list[files.Node]:
    """Two splits on the RSI and one on the weekday, with thresholds that bars are on both sides of."""
    first, second = sorted(float(one) for one in chance.uniform(0.3, 0.7, 2))
    leaves = [files.leaf(number, float(chance.normal(0, 0.3))) for number in (2, 5, 6, 4)]
    return [
        (0, 0.0, 1, 4, _RSI, second),
        (1, 0.0, 2, 3, _RSI, first),
        leaves[0],
        (3, 0.0, 5, 6, _WEEKDAY, 0.2),
        leaves[3],
        leaves[1],
        leaves[2],
    ]
