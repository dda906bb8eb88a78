"""Finished bars that wait for another series: they come again with each batch, until they can be scored.

Input: the changes of a batch, and the bars that it could not score yet. Output: those bars before the changes of the
next batch. After a start they are found in the tables, as bars without a signal. So many of a series wait at most; for
those before them, as for those that a newer champion has seen, there is gold/history.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from financelake_assets.gold.history import knew_until
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.gold.silver_changes import COMMIT
from financelake_assets.intervals import SERIES
from financelake_assets.model.champions import champions_of
from financelake_assets.model.markets import Market
from financelake_assets.model.record import ModelRecord
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables

MOST = 200
"""So many bars of a series wait."""

_KEY = list(BARS.key)
_ROW = [*BARS.schema.names, COMMIT]
_TIME = pl.Datetime("us", "UTC")


class Waiting:
    """The bars that wait, and the commits of silver that brought them."""

    def __init__(self, tables: OpenTables) -> None:
        """Start without any.

        Args:
            tables: of the lake.
        """
        self._tables = tables
        self._rows: list[pl.DataFrame] = []
        self._batch: pl.DataFrame | None = None
        self._looked: set[Market] = set()

    def before(self, changed: pl.DataFrame, versions: Sequence[ModelRecord]) -> pl.DataFrame:
        """The bars that wait, and behind them the changes; nothing waits any more.

        Args:
            changed: of the batch, see ``silver_changes.changes``.
            versions: of the registry.
        """
        champions = champions_of(versions)
        for market, champion in champions.items():
            if champion.asks_for_others and market not in self._looked:
                self._looked.add(market)
                self._rows.append(self._without_signal(champion))
        waited, self._rows = self._rows, []
        self._batch = changed
        if waited:
            seen: dict[str, int] = {}
            for market, champion in champions.items():
                seen[market.interval] = min(champion.silver_version, seen.get(market.interval, champion.silver_version))
            learnt = pl.col("interval").replace_strict(seen, default=None, return_dtype=pl.Int64)
            # bars of an interval wait for each of its horizons
            rows = pl.concat(waited).filter(pl.col(COMMIT) > learnt).sort(*SERIES, "event_time", COMMIT)
            rows = rows.unique(_KEY, keep="last", maintain_order=True)
            newest = rows.group_by(SERIES, maintain_order=True).tail(MOST)
            self._batch = pl.concat([newest.select(changed.columns).cast(changed.schema), changed])
        return self._batch

    def keep(self, bars: pl.DataFrame) -> None:
        """Let bars wait.

        Args:
            bars: finished ones of the batch, with the columns of silver.bars.
        """
        if bars.is_empty() or self._batch is None:
            return
        commits = self._batch.select(*_KEY, COMMIT).unique(_KEY, keep="last")
        # a bar that was finished by the one behind it is no change of the batch
        newest = pl.lit(self._batch[COMMIT].max())
        found = bars.join(commits, on=_KEY, how="left").with_columns(
            pl.col(COMMIT).fill_null(newest).cast(pl.Int64), processed_at=pl.lit(None, _TIME)
        )
        self._rows.append(found.select(_ROW))

    def _without_signal(self, champion: ModelRecord) -> pl.DataFrame:
        """The newest bars of a market that have no signal, and that its champion has not learnt."""
        own = pl.col("interval") == champion.interval
        unseen = pl.col("processed_at") > pl.lit(knew_until(self._tables, champion))
        learnt_to = pl.col("symbol").replace_strict(champion.learnt_until, default=None, return_dtype=_TIME)
        unlearnt = unseen | (pl.col("event_time") >= learnt_to)
        decided = self._tables.scan(SIGNALS).filter(own).select(_KEY)
        rows = self._tables.scan(BARS).filter(own & unlearnt).join(decided, on=_KEY, how="anti").collect()
        commit = pl.lit(champion.silver_version + 1, pl.Int64).alias(COMMIT)
        newest = rows.sort(*SERIES, "event_time").group_by(SERIES, maintain_order=True).tail(MOST)
        return newest.with_columns(commit).select(_ROW)
