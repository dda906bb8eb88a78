"""The model card's figure: skill by symbol, the reliability curve, and the importance of each input.

Input: a record and its metrics. Output: a PNG inside Markdown, without a separate file.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from financelake_assets.model.evaluation import HOLDOUT
from financelake_assets.model.record import ModelRecord
from financelake_assets.model.training import Trained

_BLUE, _GREY = "#1f6fb2", "#8a8f98"


def figure_markdown(trained: Trained, record: ModelRecord) -> str:
    """The figure as a Markdown image."""
    return as_markdown(figure_png(trained.metrics, record), "skill by symbol, reliability and importance")


def as_markdown(png: bytes, title: str) -> str:
    """A picture inside Markdown, without a separate file."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"


def as_png(figure: Figure) -> bytes:
    """A figure as a PNG."""
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()


def figure_png(metrics: list[dict[str, Any]], record: ModelRecord) -> bytes:
    """The figure as a PNG.

    Args:
        metrics: the version's rows of gold.model_metrics.
        record: the version.
    """
    # pyplot has global state, which threads would share
    figure = Figure(figsize=(13, 4.2), layout="constrained", dpi=80)
    left, middle, right = figure.subplots(1, 3)
    _skill(left, [row for row in metrics if row["fold"] == HOLDOUT])
    _reliability(middle, record.reliability)
    _importance(right, record)
    figure.suptitle(f"{record.model_version}: {record.verdict.value}")
    return as_png(figure)


def _skill(axes: Axes, rows: list[dict[str, Any]]) -> None:
    known = [row for row in rows if row["skill_low"] is not None and np.isfinite(row["skill_low"])]
    place = range(len(known))
    skill = np.array([row["skill"] for row in known])
    # the bootstrap interval of an earlier release need not contain the estimate
    ends = [
        np.maximum(0, skill - np.array([row["skill_low"] for row in known])),
        np.maximum(0, np.array([row["skill_high"] for row in known]) - skill),
    ]
    axes.axvline(0, color=_GREY, linewidth=1)
    axes.errorbar(skill, place, xerr=ends, fmt="o", color=_BLUE, capsize=3)
    axes.set_yticks(place, [row["symbol"] for row in known])
    axes.set_title("skill over the naive forecast, holdout")


def _reliability(axes: Axes, bins: list[dict[str, float]]) -> None:
    stated, happened = [one["predicted"] for one in bins], [one["observed"] for one in bins]
    for one in bins:
        axes.plot([one["predicted"]] * 2, [one["low"], one["high"]], color=_GREY, linewidth=1)
    axes.plot(stated, happened, "o-", color=_BLUE)
    axes.axline((0.5, 0.5), slope=1, color=_GREY, linestyle="--", linewidth=1)
    axes.set_xlabel("stated probability of a rise")
    axes.set_ylabel("share that rose")
    axes.set_title("reliability, holdout")


def _importance(axes: Axes, record: ModelRecord) -> None:
    by = record.importance or record.permutation  # only a forest has the first
    names = sorted(by, key=lambda name: by[name])[-12:]
    place = np.arange(len(names))
    axes.barh(place + 0.2, [record.importance.get(name, 0.0) for name in names], 0.4, color=_BLUE, label="impurity")
    shuffled = [record.permutation.get(name, 0.0) for name in names]
    axes.barh(place - 0.2, shuffled, 0.4, color=_GREY, label="permutation")
    axes.set_yticks(place, names)
    axes.set_title("importance of inputs")
    axes.legend(loc="lower right")
