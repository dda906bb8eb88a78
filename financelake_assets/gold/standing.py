"""Brings the paper portfolio and the summary tables up to date.

Input: a lake. Output: gold.equity and gold.trades with all complete steps, and the current summaries. A second call
changes nothing. It runs beside the gold query, so a signal never waits for a summary. The contributions to the newest
predictions come last and, behind the first time, beside all others: they cost most, and nothing waits for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from deltalake import write_deltalake

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.gold import schema, summaries
from financelake_assets.gold.kept_contributions import KeptContributions
from financelake_assets.gold.paper import performance
from financelake_assets.gold.paper.book_store import PaperPortfolio
from financelake_assets.gold.paper.schema import EQUITY, PORTFOLIO, POSITIONS, TRADES
from financelake_assets.gold.schema import CALIBRATION, DAILY, LATEST, SUMMARY
from financelake_assets.model import registry, trials
from financelake_assets.model.markets import FURTHER
from financelake_assets.seldom import Seldom
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.open_tables import OpenTables


@dataclass(frozen=True)
class Taken:
    """Steps that the paper portfolio took, and the tables that were written."""

    steps: int
    written: tuple[TableSpec, ...]


class Standing:
    """Keeps the derived tables up to date. Its caches only save reads; they never change a result."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables = OpenTables(settings)
        self._portfolio = PaperPortfolio(settings)
        self._contributions = KeptContributions(settings)
        self._explained = Seldom[bool](beside=True)
        self._made_of: dict[str, int] = {}

    def refresh(self) -> Taken:
        """Move the paper portfolio forward, and write each table again whose inputs have changed.

        Raises:
            CommitFailedError: other writers committed to the same account at each retry.
        """
        steps = self._portfolio.advance()
        written: list[TableSpec] = [EQUITY, TRADES] if steps else []
        for source, make in (
            (EQUITY, self._performance),
            (schema.SIGNALS, self._latest),
            (schema.SCORECARD, self._scorecard),
        ):
            version = self._version(source)
            if version is not None and version != self._made_of.get(source.full_name):
                written += make()
                self._made_of[source.full_name] = version
        latest = self._version(LATEST)
        if latest is not None:
            self._explained.of(None, latest, self._contributions.refresh)
        return Taken(steps, tuple(written))

    def _version(self, table: TableSpec) -> int | None:
        """A table's current version; ``None`` if it does not exist yet."""
        if table.open(self._settings) is None:
            return None
        return int(self._tables.newest(table).version())

    def _performance(self) -> list[TableSpec]:
        equity = self._tables.scan(EQUITY).drop("book").collect()
        trades = self._tables.scan(TRADES).collect()
        for market, record in registry.champions(self._settings).items():
            if market.further is not None:  # the account does not trade it
                continue
            # rules for signals and positions that were changed after the training are another strategy
            trained = ModelSettings.model_validate(record.parameters)
            trials.note(self._settings, trials.strategy_trial(trained, self._settings, made_with=record.made_with))
        tried = trials.tried(self._settings)
        self._replace(PORTFOLIO, performance.statistics_of(equity, trades, tried.count, tried.variance))
        self._replace(POSITIONS, performance.positions_of(self._portfolio.books()))
        return [PORTFOLIO, POSITIONS]

    def _latest(self) -> list[TableSpec]:
        known = self._tables.scan(LATEST).collect()
        since = known["as_of"].max()
        new = pl.lit(True) if since is None else pl.col("as_of") >= pl.lit(since)
        signals, predictions = (
            self._tables.scan(table).filter(new).collect() for table in (schema.SIGNALS, schema.PREDICTIONS)
        )
        self._replace(LATEST, summaries.latest(known, signals, predictions))
        return [LATEST]

    def _scorecard(self) -> list[TableSpec]:
        scorecard = self._tables.scan(schema.SCORECARD).collect()
        self._replace(SUMMARY, summaries.summary(scorecard))
        of_signals = scorecard.filter(~FURTHER)
        self._replace(DAILY, summaries.daily(of_signals))
        self._replace(CALIBRATION, summaries.calibration(of_signals))
        return [SUMMARY, DAILY, CALIBRATION]

    def _replace(self, table: TableSpec, rows: pl.DataFrame) -> None:
        source = rows.select(table.schema.names).to_arrow().cast(table.schema)
        write_deltalake(self._tables.newest(table), source, mode="overwrite")
