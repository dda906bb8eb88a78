"""A saved pipeline, evaluated in this process without a Spark job.

Input: the files of a pipeline as MLlib saves it (``pipeline.fit``). Output: the forests' raw predictions, the same
numbers as those of ``PipelineModel.transform``; a test compares them row by row. treelite's reference interpreter
evaluates the trees, a few at a time; the weekday effect is a look-up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import treelite
from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

from financelake_assets.model.features import SYMBOL_WEEKDAY
from financelake_assets.model.outputs import OUTPUTS, RETURNS, WEEKDAY_EFFECT

_UNSEEN = 2_147_483_647.0  # MLlib's code for every category that was not in the training data
_MOST_THREADS = 2  # a batch of the stream needs one
_TREES_A_PART, _ROWS_A_BLOCK = 8, 8_192
"""Trees and rows that fit in a core's cache. All 100 trees at once take three times as long (docs/benchmarks.md)."""
_STAGES = (
    "TargetEncoderModel",
    "SQLTransformer",
    "VectorAssembler",
    "RandomForestRegressionModel",
    "RandomForestClassificationModel",
    "RandomForestRegressionModel",
)
"""The forests come last, in the order of ``OUTPUTS``."""


@dataclass(frozen=True)
class Trees:
    """The trees of several forests.

    ``parts``: a few trees each, in their order; ``forests``: the index of the forest of each tree.
    """

    parts: tuple[treelite.Model, ...]
    forests: tuple[int, ...]

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """The mean prediction of each forest's trees.

        Args:
            rows: C-contiguous float64, without missing values.

        Returns:
            One column for each forest.
        """
        sizes = np.bincount(self.forests)
        sums, threads = np.zeros((len(rows), len(sizes))), _threads()
        for start in range(0, len(rows), _ROWS_A_BLOCK):
            block = slice(start, start + _ROWS_A_BLOCK)
            forests = iter(self.forests)
            for part in self.parts:
                said = treelite.gtil.predict_per_tree(part, rows[block], nthread=threads)
                for tree in range(said.shape[1]):  # add in MLlib's order: the sum is the same to the last bit
                    sums[block, next(forests)] += said[:, tree, 0]
        return sums / sizes


def _threads() -> int:
    """How many threads treelite may use: it refuses more than OpenMP grants, which a container may limit to one."""
    granted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST_THREADS, usable, int(granted) if granted.isdecimal() else usable))


@dataclass(frozen=True)
class Forest:
    """The evaluated parts of a pipeline.

    ``effects``: the weekday effect by category, and that of an unknown category; ``inputs``: the columns of the trees,
    in their order; ``trees``: of all forests, with ``OUTPUTS`` as targets.
    """

    effects: dict[int, float]
    unknown_effect: float
    inputs: tuple[str, ...]
    trees: Trees

    def inputs_of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The inputs of the trees: the features, and the effect of symbol and weekday."""
        effect = pl.col(SYMBOL_WEEKDAY).cast(pl.Int64).replace_strict(self.effects, default=self.unknown_effect)
        return rows.lazy().with_columns(effect.cast(pl.Float64).alias(WEEKDAY_EFFECT)).select(self.inputs).collect()

    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The forests' raw predictions.

        Args:
            rows: the features, and the category of symbol and weekday.

        Returns:
            ``OUTPUTS`` of each row; null if an input is missing.
        """
        inputs = self.inputs_of(rows)
        known = inputs.select(pl.all_horizontal(pl.all().is_not_null() & pl.all().is_not_nan())).to_series()
        whole = inputs.filter(known).cast(pl.Float64).to_numpy(order="c")
        all_of_them = np.full((rows.height, len(OUTPUTS)), np.nan)
        all_of_them[known.to_numpy()] = self.trees.predict(whole)
        return pl.DataFrame(all_of_them, schema=dict.fromkeys(OUTPUTS, pl.Float64)).fill_nan(None)


def read(pipeline: Path) -> Forest:
    """Read a pipeline's files.

    Args:
        pipeline: the folder in which MLlib saved it.

    Raises:
        ValueError: the pipeline has other stages than ``pipeline.fit`` makes.
    """
    stages = stages_of(pipeline)
    found = tuple(_metadata(stage)["class"].rsplit(".", 1)[-1] for stage in stages)
    if found != _STAGES:
        raise ValueError(
            f"the pipeline in {pipeline} has the stages {list(found)}, not {list(_STAGES)}; train a new model"
        )
    effects = _effects(stages[0])
    unknown = effects.pop(int(_UNSEEN))
    inputs = tuple(_metadata(stages[2])["paramMap"]["inputCols"])
    return Forest(effects, unknown, inputs, read_trees(stages[RETURNS:], len(inputs)))


def stages_of(pipeline: Path) -> list[Path]:
    """The folders of a saved pipeline's stages, in their order."""
    return sorted((pipeline / "stages").iterdir(), key=lambda stage: int(stage.name.split("_")[0]))


def _metadata(stage: Path) -> dict[str, Any]:
    (part,) = (stage / "metadata").glob("part-*")
    return dict(json.loads(part.read_text()))


def _effects(encoder: Path) -> dict[int, float]:
    """The mean label of each category, shrunk to the mean of all categories by its number of rows.

    Same formula as Spark's ``TargetEncoder`` with a continuous target: ``w = n / (n + smoothing)``.
    """
    (learnt,) = pl.read_parquet(encoder / "data" / "*.parquet").to_dicts()
    smoothing = float(_metadata(encoder)["paramMap"]["smoothing"])
    means = dict(zip(learnt["categories"], zip(learnt["counts"], learnt["stats"], strict=True), strict=True))
    _, overall = means[_UNSEEN]
    weighed = {int(category): (count / (count + smoothing), mean) for category, (count, mean) in means.items()}
    return {category: weight * mean + (1 - weight) * overall for category, (weight, mean) in weighed.items()}


def read_trees(forests: list[Path], inputs: int) -> Trees:
    """The trees of fitted random forests.

    Args:
        forests: the folders in which MLlib saved the fitted stages; a classifier of two classes predicts the
            probability of the second.
        inputs: the number of columns in training, all numeric.
    """
    found = [(number, tree) for number, forest in enumerate(forests) for tree in nodes_of(forest)]
    parts = (found[at : at + _TREES_A_PART] for at in range(0, len(found), _TREES_A_PART))
    return Trees(
        tuple(_part([tree for _, tree in part], inputs) for part in parts), tuple(number for number, _ in found)
    )


def _part(trees: list[pl.DataFrame], inputs: int) -> treelite.Model:
    builder = ModelBuilder(
        threshold_type="float64",
        leaf_output_type="float64",
        metadata=Metadata(
            num_feature=inputs,
            task_type="kRegressor",
            average_tree_output=True,
            num_target=1,
            num_class=[1],
            leaf_vector_shape=(1, 1),
        ),
        tree_annotation=TreeAnnotation(num_tree=len(trees), target_id=[0] * len(trees), class_id=[0] * len(trees)),
        postprocessor=PostProcessorFunc(name="identity"),
        base_scores=[0.0],
    )
    for tree in trees:
        builder.start_tree()
        for node in tree.iter_rows(named=True):
            _add(builder, node)
        builder.end_tree()
    return builder.commit()


def nodes_of(forest: Path) -> Iterator[pl.DataFrame]:
    """The nodes of each tree of a fitted random forest, as ``contributions.paths_of`` takes them.

    Args:
        forest: the folder in which MLlib saved the fitted stage.
    """
    nodes = pl.read_parquet(forest / "data" / "*.parquet").unnest("nodeData").sort("treeID", "id")
    value, cover = pl.col("prediction"), pl.col("impurityStats").list.get(0)
    if _metadata(forest)["class"].endswith("ClassificationModel"):
        # the number of training rows of each class in the leaf; if no price rose there is only one class
        votes = pl.col("impurityStats")
        cover = votes.list.sum()
        value = votes.list.get(1, null_on_oob=True).fill_null(0.0) / votes.list.sum()
    yield from nodes.with_columns(value=value, cover=cover).partition_by("treeID", maintain_order=True)


def _add(builder: ModelBuilder, node: Mapping[str, Any]) -> None:
    builder.start_node(node["id"])
    if node["leftChild"] < 0:
        builder.leaf(node["value"])
    else:
        split = node["split"]
        (threshold,) = split["leftCategoriesOrThreshold"]  # every input is numeric
        builder.numerical_test(
            split["featureIndex"],
            threshold,
            default_left=True,
            opname="<=",
            left_child_key=node["leftChild"],
            right_child_key=node["rightChild"],
        )
    builder.end_node()
