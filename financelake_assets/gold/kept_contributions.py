"""The contributions to the newest prediction of each series, kept in gold.contributions.

Input: gold.latest. Output: one row for each input of each of its predictions, and one for what the version predicts
without any; they add up to the prediction. A newer prediction's rows take the place of the older one's, so the table
stays as small as the number of series. Where there are no exact values, one row says why.
"""

from __future__ import annotations

from typing import Any

import polars as pl
from deltalake import write_deltalake

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.gold import explain
from financelake_assets.gold.explain import Explained, Version
from financelake_assets.gold.schema import CONTRIBUTIONS, LATEST
from financelake_assets.intervals import SERIES
from financelake_assets.model import registry
from financelake_assets.storage.open_tables import OpenTables

BASE = "nothing known"
"""The feature of the row that has what a version predicts without any input. No input has such a name."""

_MADE = [*SERIES, "event_time", "horizon", "model_version", "as_of"]
"""What tells a prediction of gold.latest from any other."""

_GONE = "silver no longer has the bars of this prediction"
_OTHER_BARS = "bars of this prediction were corrected after it was made: `financelake why` explains it with them"


class KeptContributions:
    """Keeps gold.contributions up to date. The versions that it keeps loaded only save time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables = OpenTables(settings)
        self._loaded: dict[str, Version] = {}

    def refresh(self) -> bool:
        """Explain the predictions of gold.latest that are not explained yet, and forget those that are no longer there.

        Returns:
            Whether there were any.
        """
        newest = self._tables.scan(LATEST).filter(pl.col("predicted_return").is_not_null()).collect()
        known = self._tables.scan(CONTRIBUTIONS).collect()
        stay = known.join(newest, on=_MADE, how="semi", nulls_equal=True)
        left = newest.join(known, on=_MADE, how="anti", nulls_equal=True)
        if left.is_empty() and stay.height == known.height:
            return False
        # the bars of a series that ended long ago are not read together with those of today
        alike = left.with_columns(_day=pl.col("event_time").dt.date()).partition_by("model_version", "_day")
        rows = [row for some in alike for row in self._rows(some)]
        whole = pl.concat([stay, pl.DataFrame(rows, schema=CONTRIBUTIONS.empty.schema, orient="row")])
        source = whole.sort(CONTRIBUTIONS.key).to_arrow().cast(CONTRIBUTIONS.schema)
        write_deltalake(self._tables.newest(CONTRIBUTIONS), source, mode="overwrite")
        in_use = set(newest["model_version"])
        self._loaded = {name: version for name, version in self._loaded.items() if name in in_use}
        return True

    def _rows(self, predictions: pl.DataFrame) -> list[dict[str, Any]]:
        """The rows of predictions of one version."""
        made = predictions.select(_MADE).to_dicts()
        try:
            version = self._version(predictions["model_version"][0])
            found = explain.explained(self._settings, version, predictions)
        except FinanceLakeError as error:  # of one version: all others are explained
            return [_without(one, str(error)) for one in made]
        by_bar = {(one.symbol, one.interval, one.event_time): one for one in found}
        return [row for one in made for row in _rows_of(one, by_bar.get(tuple(one[name] for name in _MADE[:3])))]

    def _version(self, name: str) -> Version:
        if name not in self._loaded:
            self._loaded[name] = explain.load(self._settings, registry.get(self._settings, name))
        return self._loaded[name]


def _rows_of(made: dict[str, Any], found: Explained | None) -> list[dict[str, Any]]:
    if found is None:
        return [_without(made, _GONE)]
    if not found.made_of_these_bars:
        return [_without(made, _OTHER_BARS)]
    base = _row(made, feature=BASE, contribution=found.base)
    return [
        base,
        *(_row(made, feature=one.name, value=one.value, contribution=one.contribution) for one in found.parts),
    ]


def _without(made: dict[str, Any], reason: str) -> dict[str, Any]:
    return _row(made, feature=BASE, reason=reason)


def _row(made: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**dict.fromkeys(CONTRIBUTIONS.schema.names), **made, **more}
