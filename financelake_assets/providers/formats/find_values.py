"""How a file writes its numbers, and whether the columns of prices are what they are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from financelake_assets.providers.base import NUMBERS, PRICES
from financelake_assets.providers.formats import names
from financelake_assets.providers.formats.numbers import NumberFormat, guess_numbers
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.sample import Sample

_LARGEST_WHOLE_PRICE = 1e10
_RANGE = ("open", "high", "low")
_NEAR = 2.0
_MOST = 0.95


def find_numbers(sample: Sample, found: Mapping[str, str]) -> NumberFormat:
    """How numbers are written.

    Raises:
        UnsureError: they can be read in several ways.
    """
    import polars as pl

    request, form = sample.request, sample.form
    columns = [found[field] for field in NUMBERS if field in found]
    texts = [cell for column in columns if sample.kind(column) == pl.String for cell in sample.texts(column)]
    dialect = sample.table.dialect
    style = guess_numbers(
        texts,
        given=request.decimal or (form.decimal if form else None),
        thousands=request.thousands,
        comma_file=dialect is None or (dialect.delimiter == "," and not dialect.quoted),
    )
    if not request.decimal and form and form.decimal:
        style = replace(style, told=False)
    volume = names.unit_of(found["volume"]) if "volume" in found else 1.0
    return replace(style, scale=_scale(sample, found), volume_scale=volume)


def _scale(sample: Sample, found: Mapping[str, str]) -> float:
    if sample.request.scale is not None:
        return sample.request.scale
    prices = [value for field in PRICES if field in found for value in sample.texts(found[field])]
    whole = bool(prices) and all(re.fullmatch(r"-?\d+", value) for value in prices)
    if sample.form and sample.form.scale != 1.0:
        return sample.form.scale if whole else 1.0
    if whole and sorted(abs(int(value)) for value in prices)[len(prices) // 2] >= _LARGEST_WHOLE_PRICE:
        raise UnsureError(
            f"prices such as {prices[0]} look like fixed point; say what to multiply them with by --scale, for "
            "example --scale 1e-9 (--scale 1 where they are meant so)",
            "--scale",
            ("1e-9", "1"),
        )
    return 1.0


def check_range(sample: Sample, found: Mapping[str, str], style: NumberFormat) -> None:
    """Ask where a file has a part of open, high and low by name, and other columns that look like the rest.

    Raises:
        UnsureError: columns of unknown names are as near to the price as a high and a low are.
    """
    missing = [field for field in _RANGE if field not in found and field not in sample.request.columns]
    if not missing or len(missing) == len(_RANGE):
        return
    close = sample.numbers(found["close"], style)
    alike = []
    for column in sample.unused(found):
        if names.known(column) or names.says_other_price(column):
            continue
        ratio = (sample.numbers(column, style) / close).drop_nulls().drop_nans()
        near = ratio.is_between(1 / _NEAR, _NEAR).mean()
        if len(ratio) and isinstance(near, float) and near >= _MOST:
            alike.append(column)
    if alike:
        options = " ".join(f"--map {field}=COLUMN" for field in missing)
        raise UnsureError(
            f"it has {', '.join(field for field in _RANGE if field in found)} and no {', '.join(missing)} by name, and "
            f"the columns {', '.join(alike)} look like prices; say which they are with {options} (- for one that it "
            "has not)",
            f"--map {missing[0]}=",
            (*alike, "-"),
        )
