"""``financelake model``: lists the registry's versions, shows one, rolls back to one, or makes one again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from financelake_assets.cli.rebuild_command import rebuild
from financelake_assets.config import get_settings
from financelake_assets.errors import FinanceLakeError

app = typer.Typer(
    no_args_is_help=True,
    help="List the trained models, show one, roll back to one, train one or make its predictions again.",
)
out, err = Console(highlight=False), Console(stderr=True, highlight=False)


@app.command("list")
def list_versions(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Show every trained version, the oldest first, and how each market of the lake stands."""
    from financelake_assets.cli.console import print_json
    from financelake_assets.cli.show import show_markets
    from financelake_assets.model import overview, registry

    found = versions()
    if as_json:
        print_json(found)
        return
    table = Table("version", "market", "status", "verdict", "baselines", "silver", "trained", "why")
    shown = ("model_version", "market", "status", "verdict")
    for row in found:
        table.add_row(*(str(row[name]) for name in shown), _beside(row), str(row["silver_version"]), *_rest(row))
    out.print(table)
    settings = get_settings()
    markets = overview.of_lake(settings, registry.versions(settings), datetime.now(UTC))
    show_markets(out, markets)
    err.print(state(markets))


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="A version from `financelake model list`.")],
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="VERSION|TIME", help="As gold.models was at this version or UTC time."),
    ] = None,
) -> None:
    """Print a version's card, in Markdown: its verdict, its figures beside those of the baselines, its settings."""
    from financelake_assets.model import registry
    from financelake_assets.model.schema import MODELS
    from financelake_assets.query import versions as kept

    settings = get_settings()
    then = None if as_of is None else kept.at(MODELS, settings, as_of)
    # as it is: a program may read it, and a terminal is narrower than its tables
    typer.echo(registry.card(settings, registry.get(settings, version, then)))


@app.command()
def rollback(
    version: Annotated[str, typer.Argument(help="A version from `financelake model list`.")],
    reason: Annotated[str, typer.Option(help="The reason, stored in the registry.")] = "rolled back by hand",
) -> None:
    """Make an earlier version the champion of its market; the gold query uses it from its next batch on."""
    from financelake_assets.model import registry
    from financelake_assets.model.artifacts import ArtifactError

    try:
        record = registry.promote(get_settings(), version, reason)
    except ArtifactError as error:
        raise FinanceLakeError(f"{error}.", remedy="Choose another version, or train a new model.") from error
    out.print(f"{record.model_version} is the champion of {record.market.name}")


app.command()(rebuild)


@app.command()
def reproduce(version: Annotated[str, typer.Argument(help="A version from `financelake model list`.")]) -> None:
    """Train a version again from its record, and compare its predictions with the saved model's; takes minutes."""
    from financelake_assets.model import registration, registry
    from financelake_assets.spark_sessions import job_session

    settings = get_settings()
    record = registry.get(settings, version)
    err.print(f"training {version} again on silver/bars at its version {record.silver_version} …")
    session = job_session(settings)
    try:
        found = registration.reproduce(session, settings, record)
    finally:
        session.stop()
    if found.differing:
        raise FinanceLakeError(
            f"{version}, trained again, gives other predictions for {found.differing} of {found.bars} bars.",
            remedy="Another release trained it, or its files were changed: train a new model (`financelake train`).",
        )
    out.print(f"{version}, trained again, gives the same predictions for all {found.bars} bars")


@app.command()
def trials(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Show every strategy that was tried in this lake; the deflated Sharpe ratio counts them."""
    from financelake_assets.cli.console import print_json
    from financelake_assets.model import trials as ledger
    from financelake_assets.model.overfitting import NOTHING_KNOWN

    settings = get_settings()
    rows = ledger.ledger(settings).to_dicts()
    if as_json:
        print_json([{**row, "tried_at": row["tried_at"].isoformat()} for row in rows])
        return
    table = Table("tried", "what", "variants", "Sharpe a day", "days")
    for row in rows:
        sharpe = "" if row["sharpe"] is None else f"{row['sharpe']:+.4f}"
        table.add_row(f"{row['tried_at']:%Y-%m-%d %H:%M}", row["what"], str(row["variants"]), sharpe, str(row["steps"]))
    out.print(table)
    count = ledger.tried(settings).count
    err.print(f"{count} in all: {len(ledger.BEFORE)} before this release's settings were chosen, and those above.")
    for market, found in (ledger.overfitting(settings) or {"All markets": NOTHING_KNOWN}).items():
        err.print(f"{market}: {found.sentence}")


@app.command()
def tried(
    what: Annotated[str, typer.Argument(help="What was compared, in words.")],
    variants: Annotated[int, typer.Option(min=1, help="How many strategies were compared.")] = 1,
) -> None:
    """Tell the ledger of a search that was made elsewhere, so that its best is not taken for more than luck."""
    from financelake_assets.model import trials as ledger

    settings = get_settings()
    if ledger.note(settings, ledger.Trial(what, {}, variants=variants)):
        out.print(f"noted; {ledger.tried(settings).count} strategies were tried in all")
    else:
        out.print("that is in the ledger already: say in words how this search differs")


def versions() -> list[dict[str, Any]]:
    """The registry's versions as plain values."""
    from financelake_assets.model import registry

    settings = get_settings()
    beside = registry.baselines(settings)
    return [
        {**registry.metadata(record), "status": record.status.value, "why": record.status_reason}
        | {"trained_at": record.trained_at.isoformat(), "baselines": beside.get(record.model_version, {})}
        for record in registry.versions(settings)
    ]


def state(markets: Mapping[str, Mapping[str, Any]]) -> str:
    """What the markets mean for signals, in one sentence."""
    if all(row["model_version"] is None for row in markets.values()):
        return "No champion: there are no signals until a model is trained, by itself or with `financelake train`."
    return "`financelake model rollback VERSION` makes another version the champion of its market."


def _beside(row: dict[str, Any]) -> str:
    """Each baseline's answer to the question that the verdict is of."""
    return ", ".join(f"{name}: {told['predictable']}" for name, told in row["baselines"].items())


def _rest(row: dict[str, Any]) -> tuple[str, str]:
    return row["trained_at"][:16], row["why"]
