"""Contributions beside Shapley's definition, on trees made up at random."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.model.contributions import contributions, paths_of

INPUTS = 4
Node = dict[str, Any]


def grown(chance: np.random.Generator, depth: int) -> list[Node]:
    """The nodes of a tree, with thresholds that rows can be equal to; a node's cover is that of its children."""
    nodes: list[Node] = []

    def grow(left: int) -> int:
        place = len(nodes)
        node: Node = {"id": place, "leftChild": -1, "rightChild": -1, "value": float(chance.normal()), "split": None}
        nodes.append(node)
        if left == 0 or chance.random() < 0.2:
            node["cover"] = float(chance.integers(1, 20))
            return place
        threshold = float(chance.integers(-2, 3))
        node["split"] = {"featureIndex": int(chance.integers(INPUTS)), "leftCategoriesOrThreshold": [threshold]}
        node["leftChild"], node["rightChild"] = grow(left - 1), grow(left - 1)
        node["cover"] = nodes[node["leftChild"]]["cover"] + nodes[node["rightChild"]]["cover"]
        return place

    grow(depth)
    return nodes


def frame(nodes: list[Node]) -> pl.DataFrame:
    split = pl.Struct({"featureIndex": pl.Int64, "leftCategoriesOrThreshold": pl.List(pl.Float64)})
    return pl.DataFrame(nodes, schema_overrides={"split": split})


def expected(nodes: list[Node], row: np.ndarray, known: frozenset[int], place: int = 0) -> float:
    """What a tree predicts of a row of which only some inputs are known."""
    node = nodes[place]
    if node["leftChild"] < 0:
        return float(node["value"])
    left, right = (expected(nodes, row, known, node[side]) for side in ("leftChild", "rightChild"))
    feature, (threshold,) = node["split"]["featureIndex"], node["split"]["leftCategoriesOrThreshold"]
    if feature in known:
        return left if row[feature] <= threshold else right
    went = nodes[node["leftChild"]]["cover"] / node["cover"]
    return went * left + (1 - went) * right


def shapley(trees: list[list[Node]], row: np.ndarray) -> list[float]:
    """By the definition: over all sets of the other inputs."""

    def worth(known: frozenset[int]) -> float:
        return sum(expected(nodes, row, known) for nodes in trees) / len(trees)

    found = []
    for one in range(INPUTS):
        others = [other for other in range(INPUTS) if other != one]
        total = 0.0
        for size in range(INPUTS):
            weight = math.factorial(size) * math.factorial(INPUTS - 1 - size) / math.factorial(INPUTS)
            for known in map(frozenset, combinations(others, size)):
                total += weight * (worth(known | {one}) - worth(known))
        found.append(total)
    return found


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(0, 4))
def test_they_are_shapleys_values_and_add_up_to_the_prediction(seed: int, count: int, depth: int) -> None:
    chance = np.random.default_rng(seed)
    trees = [grown(chance, depth) for _ in range(count)]
    rows = chance.integers(-3, 4, (3, INPUTS)).astype(np.float64)
    paths = paths_of(frame(nodes) for nodes in trees)
    found = contributions(paths, rows)
    for row, own in zip(rows, found, strict=True):
        assert own.tolist() == pytest.approx(shapley(trees, row), abs=1e-12)
        predicted = sum(expected(nodes, row, frozenset(range(INPUTS))) for nodes in trees) / count
        assert paths.base + own.sum() == pytest.approx(predicted, abs=1e-12)


def test_many_rows_are_as_each_by_itself() -> None:
    chance = np.random.default_rng(3)
    paths = paths_of([frame(grown(chance, 4))])
    rows = chance.normal(size=(150, INPUTS))
    alone = np.concatenate([contributions(paths, row[None, :]) for row in rows])
    assert np.array_equal(contributions(paths, rows), alone)
    assert contributions(paths, rows[:0]).shape == (0, INPUTS)


def test_an_input_that_no_tree_asks_about_contributes_nothing() -> None:
    leaf = {"leftChild": -1, "rightChild": -1, "split": None}
    split = {"featureIndex": 2, "leftCategoriesOrThreshold": [0.0]}
    root = {"id": 0, "leftChild": 1, "rightChild": 2, "value": 0.0, "split": split, "cover": 4.0}
    nodes = [root, {**leaf, "id": 1, "value": -1.0, "cover": 1.0}, {**leaf, "id": 2, "value": 1.0, "cover": 3.0}]
    paths = paths_of([frame(nodes)])
    assert paths.base == 0.5
    assert contributions(paths, np.array([[9.0, 9.0, 1.0, 9.0], [9.0, 9.0, 0.0, 9.0]])).tolist() == [
        [0.0, 0.0, 0.5, 0.0],
        [0.0, 0.0, -1.5, 0.0],
    ]
