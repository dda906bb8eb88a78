"""Which columns gold is made of: every column that is named exists, and no column is forgotten."""

from __future__ import annotations

import dagster as dg
import pytest

from financelake_assets.catalogue import BACKTEST, PAPER, SCORED, SUMMARIES, TABLES
from financelake_assets.config import Settings
from financelake_assets.defs.resources import LakeResource, TablesResource
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec

SPECS = {table.full_name: table for table in TABLES}
WRITTEN = [*SCORED, *PAPER, *BACKTEST, *SUMMARIES]
SAYS_WHEN_OR_BY_WHAT = {
    *("model_version", "horizon", "coverage", "as_of", "scored_at", "corrected_at", "computed_at"),
    *("curve", "trials", "measure", "low", "feature"),
}


@pytest.mark.parametrize("table", WRITTEN, ids=lambda table: table.name)
def test_every_column_is_made_of_columns_that_exist(table: TableSpec) -> None:
    found = table.made_of
    assert set(found) <= set(table.schema.names)
    assert set(table.schema.names) - set(found) <= SAYS_WHEN_OR_BY_WHAT
    for sources in found.values():
        for source in sources:
            place, _, column = source.rpartition(".")
            assert column in SPECS[place].schema.names
            assert place != table.full_name


@pytest.mark.parametrize("table", WRITTEN, ids=lambda table: table.name)
def test_columns_come_from_tables_that_lie_upstream(
    table: TableSpec,
) -> None:
    from financelake_assets.definitions import defs

    graph = defs.resolve_asset_graph()
    above = graph.upstream_key_iterator(dg.AssetKey(["gold", table.name]))
    upstream = {"/".join(key.path) for key in above}
    places = {source.rpartition(".")[0] for sources in table.made_of.values() for source in sources}
    assert places <= upstream


def test_dagster_is_told_with_each_materialisation(monkeypatch: pytest.MonkeyPatch, offline_lake: Settings) -> None:
    monkeypatch.setattr(LakeResource, "settings", offline_lake)
    tables = TablesResource(lake=LakeResource())
    SIGNALS.ensure(offline_lake)
    BARS.ensure(offline_lake)
    lineage = tables.metadata(SIGNALS)["dagster/column_lineage"]
    assert isinstance(lineage, dg.TableColumnLineage)
    deps = lineage.deps_by_column["close"]
    assert deps == [dg.TableColumnDep(dg.AssetKey(["gold", "predictions"]), "close")]
    assert "dagster/column_lineage" not in tables.metadata(BARS)
