"""The command line: ``financelake``; ``financelake --help`` lists its commands.

Progress and messages go to stderr, results to stdout, so that ``--json`` can be piped. Exit codes: 0 success, 1 an
error that the message explains, 2 wrong usage, 3 ``status`` of a lake that is not healthy, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from financelake_assets.cli.alerts_command import app as alerts_app
from financelake_assets.cli.backfill_command import backfill
from financelake_assets.cli.backtest_command import backtest
from financelake_assets.cli.check_leaks_command import check_leaks
from financelake_assets.cli.console import Json, err, out, print_json, say
from financelake_assets.cli.features_command import features
from financelake_assets.cli.formats_command import formats
from financelake_assets.cli.ingest_command import ingest
from financelake_assets.cli.init_command import init
from financelake_assets.cli.model_command import app as model_app
from financelake_assets.cli.quarantine_command import quarantine
from financelake_assets.cli.sql_command import sql
from financelake_assets.cli.symbols_command import app as symbols_app
from financelake_assets.cli.tables_command import tables
from financelake_assets.cli.tune_command import tune
from financelake_assets.cli.why_command import why
from financelake_assets.config import Settings, get_settings, settings_file
from financelake_assets.errors import FinanceLakeError
from financelake_assets.explanations import EXPECTED, explained

UNHEALTHY = 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="FinanceLake: market feeds to signals you can trust. Start with `financelake up`.",
)


@app.callback()
def with_settings(
    file: Annotated[
        Path | None,
        typer.Option("--config", help="Settings file; default: financelake.toml in this folder, if it is there."),
    ] = None,
) -> None:
    """Name the settings file, for this command and for all that it starts."""
    if file is not None:
        os.environ[settings_file.VARIABLE] = str(file.expanduser().absolute())
        get_settings.cache_clear()


app.command()(init)


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when every process is healthy; the lake continues to run.")
    ] = False,
    universe: Annotated[
        Path | None,
        typer.Option(help="YAML list of symbols to follow, instead of the replay. The lake remembers the file."),
    ] = None,
) -> None:
    """Start the lake: broker, Spark, Dagster, dashboard, and the replay or your own symbols. Ctrl-C stops it.

    A second start is harmless. All data are in FINANCELAKE_DATA_DIR (default: .financelake in this folder).
    """
    from financelake_assets.cli.downloads import downloads
    from financelake_assets.operations import lake
    from financelake_assets.supervision.supervisor import Supervisor

    if universe is not None:
        os.environ["FINANCELAKE_UNIVERSE_FILE"] = str(universe.expanduser().absolute())
        get_settings.cache_clear()
    settings = get_settings()
    signal.signal(signal.SIGTERM, _interrupt)
    ran_before = Supervisor(settings).alive()
    try:
        with downloads(err) as progress:
            settings = lake.up(settings, say, progress)
        _welcome(settings, detach or ran_before)
        if not detach and not ran_before:
            lake.await_end(settings, say)
    except KeyboardInterrupt:
        if ran_before:  # another `up` started it
            raise
        lake.down(settings, say)
        say("the lake is down; `financelake up` continues where it stopped")


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # the signal module's signature
    raise KeyboardInterrupt


def _welcome(settings: Settings, detached: bool) -> None:
    from financelake_assets.bronze.feed_choice import chosen, followed_providers
    from financelake_assets.servers.web_token import opening

    err.print()
    page = settings.dashboard_url if settings.dashboard.login else opening(settings.dashboard_url, settings)
    out.print(f"FinanceLake Pro  {page}")
    out.print(f"Dagster          {opening(settings.dagster_url, settings)}")
    out.print(f"Data folder      {settings.data_dir}")
    if chosen(settings) == "universe":
        err.print(
            f"\nThe lake follows {', '.join(followed_providers(settings))}; `financelake status` shows each symbol."
        )
    elif chosen(settings) == "replay":
        err.print("\nReal market history is being [bold]replayed[/bold]; the first model is trained within minutes.")
    stop = (
        "`financelake down` stops the lake" if detached else "Ctrl-C, or `financelake down` elsewhere, stops the lake"
    )
    if settings.web_token is not None:
        err.print("These addresses hold the lake's token, for you alone. Your browser needs it once.")
    err.print(f"Next: `financelake status`. {stop}.")


@app.command()
def down() -> None:
    """Stop exactly what `up` started, in order. This keeps the data."""
    from financelake_assets.operations import lake

    settings = get_settings()
    if lake.down(settings, say):
        say("the lake is down; `financelake up` continues where it stopped")
    else:
        err.print(f"No lake runs in {settings.data_dir}.")


@app.command()
def status(as_json: Json = False) -> None:
    """Show processes, topics and lag, streams, tables, the ledger and the champion model."""
    from financelake_assets.cli.show import show_status
    from financelake_assets.operations import status as lake_status

    found = lake_status.status(get_settings())
    if as_json:
        print_json(found)
    else:
        show_status(out, found)
    if not found["healthy"]:
        raise typer.Exit(UNHEALTHY)


@app.command()
def config(
    as_json: Json = False,
    init: Annotated[bool, typer.Option("--init", help="Write financelake.toml here, every setting commented.")] = False,
) -> None:
    """Show the effective settings, with secrets masked, and the environment variable of each."""
    from financelake_assets.cli.show import show_settings

    if init:
        _write_template(Path(settings_file.NAME))
        return
    settings = get_settings()
    if as_json:
        print_json(settings.model_dump(mode="json"))
    else:
        show_settings(out, settings)


def _write_template(file: Path) -> None:
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(settings_file.template(Settings))
    except FileExistsError as error:
        raise FinanceLakeError(f"{file} is there already.", remedy="Edit it, or move it away first.") from error
    out.print(f"{file} holds every setting, commented. Take the # away in front of what you change.")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this machine: Python, Java, memory, disk, ports and the JVM jars. Exit code 1 if a check fails."""
    from financelake_assets.cli.downloads import downloads
    from financelake_assets.operations.doctor import examine

    settings = get_settings()
    with downloads(err) as progress:
        findings = examine(settings, progress)
    if as_json:
        print_json({"well": all(finding.well for finding in findings), "checks": [vars(item) for item in findings]})
    else:
        for finding in findings:
            mark = "[green]✓[/green]" if finding.well else "[red]✗[/red]"
            out.print(f"{mark} [bold]{finding.name}[/bold]  {finding.detail}")
            if finding.remedy:
                out.print(f"    → {finding.remedy}")
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


@app.command()
def train(
    interval: Annotated[
        str | None,
        typer.Option(
            help="Learn from these bars, such as 5m; else from those of FINANCELAKE_MODEL__INTERVAL. 5m+20 is the "
            "model that looks 20 bars ahead, one of the further horizons."
        ),
    ] = None,
    refits: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Judge it with so many refits of the newest time, made as often as a live lake makes them; each costs "
            "one more training. Else as many as FINANCELAKE_MODEL__REFITS says.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the model of one market now, as a Dagster run of this lake, and show its quality."""
    from financelake_assets.model import markets
    from financelake_assets.operations.train_now import train_now

    settings = get_settings()
    market = markets.asked(settings.model.interval if interval is None else interval, settings.model)
    with err.status("training") as spinner:
        record = train_now(settings, market, spinner.update, refits)
    if as_json:
        print_json(record)
    else:
        for name, value in record.items():
            out.print(f"{name:18} {value}")


app.command()(tune)
app.command(context_settings={"allow_extra_args": True})(ingest)
app.command()(formats)
app.command()(backfill)
app.add_typer(symbols_app, name="symbols")
app.add_typer(model_app, name="model")
app.command()(backtest)
app.command("check-leaks")(check_leaks)
app.add_typer(alerts_app, name="alerts")
app.add_typer(quarantine, name="quarantine")
app.command()(sql)
app.command()(tables)
app.command()(why)
app.command()(features)


@app.command(context_settings={"ignore_unknown_options": True})  # unknown options belong to the benchmark
def bench(
    name: Annotated[str | None, typer.Argument(help="The benchmark; without a name, list all.")] = None,
    arguments: Annotated[list[str] | None, typer.Argument(help="Arguments for the benchmark.")] = None,
) -> None:
    """Run one of the benchmarks of a checkout; each prints JSON."""
    from financelake_assets.cli.benches import available, run

    if name is None:
        for known, purpose in available().items():
            out.print(f"{known:16} {purpose}")
        return
    raise typer.Exit(run(name, arguments or []))


@app.command()
def backup(folder: Annotated[Path, typer.Argument(help="A new folder, best on another disk.")]) -> None:
    """Copy the tables and models of this lake to a folder; the lake may run."""
    from financelake_assets.operations.backup import back_up

    manifest = back_up(get_settings(), folder, say)
    out.print(f"{len(manifest.tables)} tables, {len(manifest.files)} files in {folder}")


@app.command()
def restore(folder: Annotated[Path, typer.Argument(help="The folder of a `financelake backup`.")]) -> None:
    """Fill an empty lake from a back-up and check the hash of each file; then start it with `financelake up`."""
    from financelake_assets.operations.backup import restore as restore_lake

    restore_lake(get_settings(), folder, say)


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete all data of this lake: topics, tables, checkpoints, models, logs. Refuses while the lake runs."""
    from financelake_assets.operations.resetting import contents, reset_lake

    settings = get_settings()
    found = contents(settings)
    if not found:
        err.print(f"{settings.data_dir} contains no lake.")
        return
    if not yes:
        err.print(f"This deletes {', '.join(found)}")
        typer.confirm("Delete it all?", abort=True, err=True)
    reset_lake(settings)
    say(f"{settings.data_dir} is empty")


def main() -> None:
    """Run the command line; an error becomes its message and remedy, without a stack trace."""
    try:
        app(standalone_mode=True)
    except EXPECTED as error:
        err.print(f"[red]✗[/red] {escape(explained(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
