"""``financelake backfill``: reads the topics into silver once more, while the stream runs or not."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from financelake_assets.cli.console import Json, err, out, print_json
from financelake_assets.config import get_settings
from financelake_assets.errors import FinanceLakeError


def backfill(
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic, such as bronze.stock; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Read the topics into silver again, for example to fill a table that was lost; the stream may run.

    Messages that a table has counted do not change it, so the command is safe at any time, also after an interruption.
    """
    from financelake_assets.bronze.topics import watermarks
    from financelake_assets.silver.backfill import backfill as fill
    from financelake_assets.silver.ledger import read_ledger, uncounted
    from financelake_assets.spark_sessions import job_session

    settings = get_settings()
    known = watermarks(settings)
    if unknown := sorted(set(topic or ()) - known.keys()):
        raise FinanceLakeError(
            f"{', '.join(unknown)} is no topic of this lake.", remedy=f"Choose from {', '.join(sorted(known))}."
        )
    ranges = {name: spans for name, spans in known.items() if not topic or name in topic}
    spark = job_session(settings)
    try:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err) as shown:
            task = shown.add_task("messages", total=None)
            count = fill(spark, settings, ranges, lambda done, all_: shown.update(task, completed=done, total=all_))
    finally:
        spark.stop()
    ledger = read_ledger(settings)
    if as_json:
        print_json({"messages": count, "ledger": ledger.as_dict(), "uncounted": uncounted(settings)})
        return
    out.print(f"{count} messages are in silver, each once. Messages that retention deleted are not included.")
    if not ledger.balanced:
        err.print("The silver query has not read all of them yet; `financelake status` shows its lag.")
