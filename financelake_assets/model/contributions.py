"""Contributions: how much each input moved a forest's prediction, exactly, as pure functions of arrays.

Input: the nodes of a forest's trees. Output: for each row a base and one number for each input, whose sum is the
forest's prediction. They are Shapley values: an input's number is what knowing it changes on average, over all orders
in which the inputs could become known. An input that is not known is averaged over the training rows at each split
("path-dependent" TreeSHAP, Lundberg et al. 2020). Among inputs that move together the credit is shared by the trees'
own splits, so a contribution explains the forest and no market.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from financelake_assets.model.metrics import Floats

_ROWS_A_BLOCK = 64
_NONE = -1

_Conditions = dict[int, tuple[float, float, float]]
"""By input on the way to a leaf: above what and up to what it leads there, and the share of training rows that did."""


@dataclass(frozen=True)
class Paths:
    """The ways to all leaves of a forest, one row for each leaf; shorter ways are filled up with ``_NONE``.

    ``value``: what the leaf adds to the mean of the trees; ``feature``: the inputs that its way asks about; ``low`` and
    ``high``: an input leads there if it is above the one and at most the other; ``share``: of the training rows at the
    splits of that input, how many went that way.
    """

    value: Floats
    feature: NDArray[np.int64]
    low: Floats
    high: Floats
    share: Floats

    @property
    def base(self) -> float:
        """What the forest predicts when no input is known: the mean of its trees' roots."""
        return float(np.sum(self.value * np.prod(self.share, axis=1)))


def paths_of(trees: Iterable[pl.DataFrame]) -> Paths:
    """The paths of a forest.

    Args:
        trees: the nodes of each tree: id, leftChild and rightChild (negative in a leaf), ``split`` with featureIndex
            and the threshold up to which a row goes left, ``value`` (the prediction) and ``cover`` (the weight of the
            training rows that reached it).
    """
    found, count = [], 0
    for tree in trees:
        found += list(_leaves({node["id"]: node for node in tree.iter_rows(named=True)}))
        count += 1
    longest = max(1, max(len(conditions) for _, conditions in found))
    shape = (len(found), longest)
    feature, share = np.full(shape, _NONE), np.ones(shape)
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    for place, (_, conditions) in enumerate(found):
        for slot, (name, condition) in enumerate(conditions.items()):
            feature[place, slot] = name
            low[place, slot], high[place, slot], share[place, slot] = condition
    return Paths(np.array([value for value, _ in found]) / count, feature, low, high, share)


def _leaves(nodes: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[float, _Conditions]]:
    """Each leaf's prediction with the conditions on the way from the root."""
    waiting: list[tuple[int, _Conditions]] = [(0, {})]
    while waiting:
        place, conditions = waiting.pop()
        node = nodes[place]
        if node["leftChild"] < 0:
            yield node["value"], conditions
            continue
        name = node["split"]["featureIndex"]
        (threshold,) = node["split"]["leftCategoriesOrThreshold"]  # every input is numeric
        low, high, share = conditions.get(name, (-math.inf, math.inf, 1.0))
        for child, low_there, high_there in (
            (node["leftChild"], low, min(high, threshold)),
            (node["rightChild"], max(low, threshold), high),
        ):
            went = share * nodes[child]["cover"] / node["cover"]
            waiting.append((child, {**conditions, name: (low_there, high_there, went)}))


def contributions(paths: Paths, rows: Floats) -> Floats:
    """The contribution of each input to the prediction of each row.

    Args:
        paths: of a forest.
        rows: one column for each input, without missing values.

    Returns:
        As many rows and columns; a row and ``paths.base`` add up to the forest's prediction.
    """
    inputs = rows.shape[1]
    places = [np.eye(inputs + 1)[slot] for slot in paths.feature.T]  # the last column takes what fills ways up
    blocks = range(0, len(rows), _ROWS_A_BLOCK)
    found = [_of_block(paths, rows[start : start + _ROWS_A_BLOCK], places) for start in blocks]
    return np.concatenate([np.empty((0, inputs)), *found])


def _of_block(paths: Paths, rows: Floats, places: list[Floats]) -> Floats:
    asked = rows[:, paths.feature]
    leads = ((asked > paths.low) & (asked <= paths.high)) | (paths.feature == _NONE)
    slots = range(paths.feature.shape[1])
    found = np.zeros((len(rows), rows.shape[1] + 1))
    for slot in slots:
        known = _average_of_the_others(leads, paths.share, [other for other in slots if other != slot])
        found += (paths.value * (leads[:, :, slot] - paths.share[:, slot]) * known) @ places[slot]
    return found[:, :-1]


def _average_of_the_others(leads: NDArray[np.bool_], share: Floats, others: list[int]) -> Floats:
    """The mean weight of each leaf over all orders in which the other inputs become known before this one.

    With k of n others known there are as many orders as ``k! (n-k)! / (n+1)!`` of all. What the leaf weighs with k of
    them known, summed over all choices, is a coefficient of the product of ``share + leads·t``.
    """
    count, (rows, leaves) = len(others), leads.shape[:2]
    known = [np.ones((rows, leaves))]
    for other in others:
        one, without = leads[:, :, other], share[:, other]
        none = np.zeros((rows, leaves))
        stays, comes = [*(part * without for part in known), none], [none, *(part * one for part in known)]
        known = [first + second for first, second in zip(stays, comes, strict=True)]
    orders = (math.factorial(k) * math.factorial(count - k) / math.factorial(count + 1) for k in range(count + 1))
    return np.asarray(sum(weight * part for weight, part in zip(orders, known, strict=True)))
