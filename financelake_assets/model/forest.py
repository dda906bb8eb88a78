"""A saved pipeline evaluated in this process: what Spark learnt, without a Spark job for every few bars.

Enters: the files of a pipeline as MLlib saves it (``training.pipeline``). Leaves: the forest's raw predictions, the
same numbers as ``PipelineModel.transform`` gives, which a test compares row by row. The trees are walked by treelite's
reference interpreter; the weekday's effect is a look-up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import treelite
from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

from financelake_assets.model.features import SYMBOL_WEEKDAY
from financelake_assets.model.training import WEEKDAY_EFFECT

_UNSEEN = 2_147_483_647.0  # how MLlib's encoder names every category that it has not learnt
_THREADS = 2  # as many as the smallest machine has; a batch of the stream needs one


@dataclass(frozen=True)
class Forest:
    """The evaluated parts of a pipeline.

    ``effects``: the weekday's effect by category, that of an unknown one beside it; ``inputs``: the columns that the
    trees see, in their order.
    """

    effects: dict[int, float]
    unknown_effect: float
    inputs: tuple[str, ...]
    trees: treelite.Model

    def predict(self, rows: pl.DataFrame) -> pl.Series:
        """The forest's own prediction, in units of the expected move.

        Args:
            rows: the features, and the category of symbol and weekday.

        Returns:
            One number a row; null where an input is missing.
        """
        effect = pl.col(SYMBOL_WEEKDAY).cast(pl.Int64).replace_strict(self.effects, default=self.unknown_effect)
        inputs = rows.lazy().with_columns(effect.cast(pl.Float64).alias(WEEKDAY_EFFECT)).select(self.inputs).collect()
        known = inputs.select(pl.all_horizontal(pl.all().is_not_null() & pl.all().is_not_nan())).to_series()
        whole = inputs.filter(known).cast(pl.Float64).to_numpy(order="c")
        made = treelite.gtil.predict(self.trees, whole, nthread=_THREADS).reshape(-1) if whole.size else []
        places = known.arg_true()
        return pl.Series([None] * rows.height, dtype=pl.Float64).scatter(places, pl.Series(made, dtype=pl.Float64))


def read(pipeline: Path) -> Forest:
    """Read a pipeline's files.

    Args:
        pipeline: the folder that MLlib saved it in.

    Raises:
        ValueError: the pipeline has other stages than ``training.pipeline`` makes.
    """
    stages = {_metadata(stage)["class"].rsplit(".", 1)[-1]: stage for stage in sorted((pipeline / "stages").iterdir())}
    expected = {"TargetEncoderModel", "SQLTransformer", "VectorAssembler", "RandomForestRegressionModel"}
    if set(stages) != expected:
        raise ValueError(f"the pipeline in {pipeline} has the stages {sorted(stages)}, not {sorted(expected)}; train")
    effects = _effects(stages["TargetEncoderModel"])
    unknown = effects.pop(int(_UNSEEN))
    inputs = tuple(_metadata(stages["VectorAssembler"])["paramMap"]["inputCols"])
    return Forest(effects, unknown, inputs, read_trees(stages["RandomForestRegressionModel"], len(inputs)))


def _metadata(stage: Path) -> dict[str, Any]:
    (part,) = (stage / "metadata").glob("part-*")
    return dict(json.loads(part.read_text()))


def _effects(encoder: Path) -> dict[int, float]:
    """The mean label of each category, drawn towards that of all by how few rows it has.

    As Spark's ``TargetEncoder`` does with a continuous target: ``w = n / (n + smoothing)``.
    """
    (learnt,) = pl.read_parquet(encoder / "data" / "*.parquet").to_dicts()
    smoothing = float(_metadata(encoder)["paramMap"]["smoothing"])
    means = dict(zip(learnt["categories"], zip(learnt["counts"], learnt["stats"], strict=True), strict=True))
    _, overall = means[_UNSEEN]
    weighed = {int(category): (count / (count + smoothing), mean) for category, (count, mean) in means.items()}
    return {category: weight * mean + (1 - weight) * overall for category, (weight, mean) in weighed.items()}


def read_trees(forest: Path, inputs: int) -> treelite.Model:
    """The trees of a random forest regressor.

    Args:
        forest: the folder that MLlib saved the fitted stage in.
        inputs: how many columns it was fitted on, all of them numbers.
    """
    nodes = pl.read_parquet(forest / "data" / "*.parquet").unnest("nodeData").sort("treeID", "id")
    trees = nodes.partition_by("treeID", maintain_order=True)
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


def _add(builder: ModelBuilder, node: dict[str, Any]) -> None:
    builder.start_node(node["id"])
    if node["leftChild"] < 0:
        builder.leaf(node["prediction"])
    else:
        split = node["split"]
        (threshold,) = split["leftCategoriesOrThreshold"]  # every input is a number
        builder.numerical_test(
            split["featureIndex"],
            threshold,
            default_left=True,
            opname="<=",
            left_child_key=node["leftChild"],
            right_child_key=node["rightChild"],
        )
    builder.end_node()
