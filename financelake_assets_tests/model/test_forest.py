"""A forest that MLlib saved, read without Spark: its files by hand here; against Spark itself in test_registry.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.model import forest
from financelake_assets.model.features import SYMBOL_WEEKDAY
from financelake_assets.model.outputs import RAW, RAW_SIZE, RAW_UP, WEEKDAY_EFFECT

Node = tuple[int, float, int, int, int, float]
"""Id, prediction, left child, right child, index and threshold of the split; a leaf has no children."""


def leaf(number: int, prediction: float) -> Node:
    return (number, prediction, -1, -1, -1, 0.0)


STUMPS: list[list[Node]] = [
    [(0, 0.0, 1, 2, 0, 1.5), leaf(1, -1.0), leaf(2, 3.0)],
    [(0, 0.0, 1, 2, 1, 0.25), leaf(1, 0.5), (2, 0.0, 3, 4, 0, 0.0), leaf(3, 5.0), leaf(4, 7.0)],
]


UP: list[list[Node]] = [[(0, 0.0, 1, 2, 0, 0.0), leaf(1, 0.0), leaf(2, 1.0)]]
"""A classifier's leaves, by the class that they predict; ``VOTES`` is what they count."""
VOTES = {0.0: [6.0, 2.0], 1.0: [1.0, 3.0]}


def save(
    folder: Path,
    trees: list[list[Node]],
    encoder: dict[float, tuple[float, float]],
    votes: dict[float, list[float]] = VOTES,
) -> Path:
    """Files as MLlib writes them, of inputs ``rsi`` and the weekday's effect; sizes have each tree twice."""
    parts: dict[str, dict[str, Any]] = {
        "feature.TargetEncoderModel": {"smoothing": 10.0},
        "feature.SQLTransformer": {},
        "feature.VectorAssembler": {"inputCols": ["rsi", WEEKDAY_EFFECT]},
    }
    forests = [
        ("regression.RandomForestRegressionModel", trees),
        ("classification.RandomForestClassificationModel", UP),
        ("regression.RandomForestRegressionModel", [*trees, *trees]),
    ]
    stages = [*parts.items(), *((name, dict[str, Any]()) for name, _ in forests)]
    for place, (name, parameters) in enumerate(stages):
        stage = folder / "stages" / f"{place}_{name.split('.')[1]}"
        (stage / "metadata").mkdir(parents=True)
        (stage / "data").mkdir()
        text = json.dumps({"class": f"org.apache.spark.ml.{name}", "paramMap": parameters})
        (stage / "metadata" / "part-00000-x.txt").write_text(text)
    learnt = {
        "categories": list(encoder),
        "counts": [count for count, _ in encoder.values()],
        "stats": [mean for _, mean in encoder.values()],
    }
    pl.DataFrame([learnt]).write_parquet(folder / "stages" / "0_TargetEncoderModel" / "data" / "part-0.parquet")
    for place, (name, forest_trees) in enumerate(forests, len(parts)):
        stage = folder / "stages" / f"{place}_{name.split('.')[1]}"
        # in no order, as the files of several tasks are
        nodes = pl.DataFrame(
            [saved(number, node, votes) for number, tree in enumerate(forest_trees) for node in tree][::-1]
        )
        nodes.write_parquet(stage / "data" / "part-0.parquet")
    return folder


def saved(tree: int, node: Node, votes: dict[float, list[float]]) -> dict[str, Any]:
    """A node as a row of the file."""
    return {
        "treeID": tree,
        "nodeData": {
            **dict(zip(("id", "prediction", "leftChild", "rightChild"), node[:4], strict=True)),
            "impurityStats": votes.get(node[1], [1.0, 1.0]),
            "split": {"featureIndex": node[4], "leftCategoriesOrThreshold": [node[5]] if node[2] >= 0 else []},
        },
    }


EFFECTS = {7.0: (30.0, 0.5), 8.0: (0.0, 9.0), 2_147_483_647.0: (100.0, 0.1)}


def rows(rsi: list[float | None], weekday: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"rsi": rsi, SYMBOL_WEEKDAY: weekday}, schema={"rsi": pl.Float64, SYMBOL_WEEKDAY: pl.Int32})


def test_trees_are_walked_and_their_mean_is_the_prediction(tmp_path: Path) -> None:
    read = forest.read(save(tmp_path, STUMPS, EFFECTS))
    # effects: 7 has 0.75 · 0.5 + 0.25 · 0.1 = 0.4, the others 0.1
    found = read.predict(rows([1.5, 1.6, -1.0, 1.0], [8, 8, 7, 7]))
    expected = [(-1 + 0.5) / 2, (3 + 0.5) / 2, (-1 + 5) / 2, (-1 + 7) / 2]
    assert found[RAW].to_list() == expected
    assert found[RAW_SIZE].to_list() == expected, "the mean of four trees, not half of their sum"


def test_many_rows_are_scored_as_each_by_itself(tmp_path: Path) -> None:
    read = forest.read(save(tmp_path, STUMPS * 5, EFFECTS))  # trees of several parts, rows of several blocks
    many = rows([number / 5_000 - 2 for number in range(20_001)], [7] * 20_001)
    found = read.predict(many)
    for at in (0, 8_191, 8_192, 16_384, 20_000):
        assert found[at].equals(read.predict(many[at]))
    assert found.n_unique() == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
@pytest.mark.parametrize("alone", ["one usable core", "OMP_NUM_THREADS=1"])
def test_rows_are_scored_on_one_core(tmp_path: Path, alone: str) -> None:
    save(tmp_path, STUMPS, EFFECTS)
    program = (
        "import os, sys, pathlib, polars as pl\n"
        f"{'os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})' if 'core' in alone else ''}\n"
        "from financelake_assets.model.forest import read\n"
        "rows = pl.DataFrame({'rsi': [0.1], 'symbol_weekday': [7]}, schema_overrides={'symbol_weekday': pl.Int64})\n"
        "print(read(pathlib.Path(sys.argv[1])).predict(rows).height)\n"
    )
    threads = {} if "core" in alone else {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **threads},
    )
    assert done.stdout == "1\n", done.stderr


def test_a_probability_is_the_mean_share_of_the_leaves_rows_that_rose(tmp_path: Path) -> None:
    read = forest.read(save(tmp_path, STUMPS, EFFECTS))
    assert read.predict(rows([-1.0, 1.0], [7, 7]))[RAW_UP].to_list() == [0.25, 0.75]


def test_where_no_bar_rose_the_probability_is_nought(tmp_path: Path) -> None:
    read = forest.read(save(tmp_path, STUMPS, EFFECTS, votes={0.0: [8.0], 1.0: [4.0]}))
    assert read.predict(rows([-1.0, 1.0], [7, 7]))[RAW_UP].to_list() == [0.0, 0.0]


def test_an_effect_is_drawn_to_that_of_all_by_how_few_rows_it_has(tmp_path: Path) -> None:
    read = forest.read(save(tmp_path, STUMPS, EFFECTS))
    assert read.effects == {7: pytest.approx(0.4), 8: pytest.approx(0.1)}
    assert read.unknown_effect == pytest.approx(0.1)
    assert read.predict(rows([0.0], [12345])).equals(read.predict(rows([0.0], [8])))


def test_a_row_with_an_input_missing_has_no_prediction(tmp_path: Path) -> None:
    read = forest.read(save(tmp_path, STUMPS, EFFECTS))
    found = read.predict(rows([None, 1.0, float("nan")], [7, 7, 7]))
    assert found[RAW].to_list() == [None, 3.0, None]
    assert found[RAW_UP].to_list() == [None, 0.75, None]
    assert read.predict(rows([None], [7])).row(0) == (None, None, None)
    assert read.predict(rows([], [])).shape == (0, 3)


def test_a_pipeline_of_other_stages_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, STUMPS, EFFECTS)
    for file in (folder / "stages" / "1_SQLTransformer" / "metadata").iterdir():
        file.write_text(file.read_text().replace("SQLTransformer", "Bucketizer"))
    with pytest.raises(ValueError, match="Bucketizer"):
        forest.read(folder)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30), st.floats(-1e6, 1e6))
def test_a_split_is_compared_in_double_precision(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], threshold: float
) -> None:
    stump = [(0, 0.0, 1, 2, 0, threshold), leaf(1, -1.0), leaf(2, 1.0)]
    read = forest.read(save(tmp_path_factory.mktemp("forest"), [stump], EFFECTS))
    values = [*values, threshold, float(np.nextafter(threshold, np.inf))]
    found = read.predict(rows(list(values), [7] * len(values)))
    assert found[RAW].to_list() == [-1.0 if value <= threshold else 1.0 for value in values]
