"""The job that maintains the lake's Delta tables, beside the live queries, and notes how each lies on disk."""

import dagster as dg

from financelake_assets.gold import derived
from financelake_assets.gold import schema as gold
from financelake_assets.resources import progress
from financelake_assets.resources.dagster import RETRIES, LakeResource
from financelake_assets.resources.delta import TableSpec
from financelake_assets.resources.maintenance import maintain
from financelake_assets.resources.table_assets import table_key
from financelake_assets.silver import schema as silver


def all_tables() -> list[TableSpec]:
    """Every table that the lake declares."""
    modules = (silver, gold, derived, progress)
    found = [table for module in modules for table in vars(module).values() if isinstance(table, TableSpec)]
    return list({table.full_name: table for table in found}.values())


@dg.op(pool="maintenance", retry_policy=RETRIES)
def maintain_each(context: dg.OpExecutionContext, lake: LakeResource) -> None:
    """Merge small files, delete replaced ones after their retention, keep the logs short, forget old progress."""
    progress.forget_old(lake.settings)
    for table in all_tables():
        work = maintain(table, lake.settings)
        if work is not None:
            context.log_event(dg.AssetObservation(table_key(table), metadata=work.metadata()))


@dg.job(
    executor_def=dg.in_process_executor,
    tags={"dagster/priority": "-2"},
    description="OPTIMIZE, VACUUM and log clean-up of every Delta table.",
)
def maintain_tables() -> None:
    """Maintain them."""
    maintain_each()
