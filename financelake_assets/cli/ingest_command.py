"""``financelake ingest``: publish a provider's history, or a user's own file, to this lake's topics."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from financelake_assets.cli.formats_command import dry_run_of, is_pair, mapping, remember
from financelake_assets.config import get_settings

err = Console(stderr=True, highlight=False)


def ingest(
    context: typer.Context,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A file or folder of yours, as --path.", show_default=False)
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            help="csv (the default), kraken, coinbase, binance, yfinance, replay, synthetic, or an installed one.",
            show_default=False,
        ),
    ] = None,
    universe: Annotated[
        Path | None,
        typer.Option(help="YAML list of symbols to ask for. Default: FINANCELAKE_UNIVERSE_FILE.", show_default=False),
    ] = None,
    path: Annotated[Path | None, typer.Option(help="csv: a CSV or Parquet file, or a folder of them.")] = None,
    asset_class: Annotated[str | None, typer.Option(help="stock, crypto or commodity.")] = None,
    interval: Annotated[str | None, typer.Option(help="1m, 1h, 1d …, or tick for single trades.")] = None,
    symbol: Annotated[str | None, typer.Option(help="csv: the symbol of a file without a symbol column.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Only these, separated by commas.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--map", metavar="FIELD=COLUMN", help="csv: which column is which field.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="csv: the zone of times that name none. Default: UTC.", show_default=False)
    ] = None,
    time_format: Annotated[str | None, typer.Option(help="csv: strptime format of the times.")] = None,
    decimal: Annotated[str | None, typer.Option(help="csv: the decimal sign, . or a comma.")] = None,
    thousands: Annotated[str | None, typer.Option(help="csv: the thousands' separator.")] = None,
    scale: Annotated[
        float | None, typer.Option(help="csv: what prices are multiplied with, such as 1e-9, or 0.01 for pence.")
    ] = None,
    header: Annotated[
        str | None,
        typer.Option("--columns", help="csv: names of the columns of a file without a header; - leaves one out."),
    ] = None,
    format_name: Annotated[str | None, typer.Option("--format", help="csv: one of `financelake formats`.")] = None,
    accept_odd: Annotated[
        bool, typer.Option("--accept-odd", help="csv: publish although many rows have a value that cannot be read.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be published; publish nothing. Needs no running lake.")
    ] = False,
    start: Annotated[str | None, typer.Option(help="First event time, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="Event times before this, ISO 8601.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Go on with live data until interrupted.")] = False,
    rows: Annotated[int, typer.Option(help="synthetic: how many rows.")] = 100_000,
    seed: Annotated[int, typer.Option(help="synthetic: the same seed gives the same market.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON: an object, or a list if several were loaded.")
    ] = False,
) -> None:
    """Publish history, live data or a file of your own to this lake, and add its symbols to the universe.

    A load that was interrupted goes on where it stopped: run the same command again. A user's own file needs no
    network, and no provider is contacted unless it is named here. For example:

        financelake ingest btc.csv --dry-run
        financelake ingest --provider csv --path btc.csv --asset-class crypto --interval 1h --symbol BTC-USD
    """
    from financelake_assets.bronze.ingest import IngestProgress
    from financelake_assets.bronze.ingest import ingest as publish
    from financelake_assets.bronze.producer import Stopped
    from financelake_assets.bronze.universe_file import UniverseFileError, read_universe_file, requests
    from financelake_assets.bronze.universe_file import remember as make_known
    from financelake_assets.cli.console import out, print_json
    from financelake_assets.providers.request import IngestRequest

    pairs = [*(columns or []), *context.args]
    if file is not None:
        if is_pair(file) and not Path(file).exists():
            pairs.append(file)  # typer takes the second pair behind one --map for it
        elif path is not None:
            raise typer.BadParameter(f"{file} and --path {path}: say one", param_hint="FILE")
        else:
            path = Path(file)
    given: dict[str, Any] = {
        "provider": provider or "csv",
        "path": path,
        "asset_class": asset_class,
        "interval": interval,
        "symbol": symbol,
        "symbols": tuple(symbols.split(",")) if symbols else (),
        "columns": mapping(pairs),
        **({"timezone": timezone} if timezone else {}),
        "decimal": decimal,
        "thousands": thousands,
        "scale": scale,
        "header": tuple(one.strip() for one in header.split(",")) if header else (),
        "format": format_name,
        "accept_odd": accept_odd,
        "time_format": time_format,
        "start": start,
        "end": end,
        "live": live,
        "rows": rows,
        "seed": seed,
    }
    if dry_run:
        try:
            dry_run_of(IngestRequest.model_validate(given), as_json)
        except ValidationError as error:
            raise typer.BadParameter("; ".join(_wrong(item) for item in error.errors())) from error
        return
    interrupted = _interruptible()
    results = []
    try:
        asked = [given]
        listed = universe or get_settings().universe_path
        if (universe or get_settings().universe_file or listed.exists()) and not (path or symbol or symbols):
            entries = read_universe_file(listed)
            from_file = requests(entries, provider, live)
            if universe is not None and not from_file:
                raise UniverseFileError(f"{listed} has no symbol of {provider}")
            make_known(get_settings(), entries)
            own_start = {"start": start} if start else {}
            asked = [{**given, "live": False, **fields, **own_start} for fields in from_file] or asked
        wanted = [IngestRequest.model_validate(fields) for fields in asked]
        with _progress() as bar:
            task = bar.add_task("published", total=None)

            def show(now: IngestProgress) -> None:
                bar.update(task, description=now.load or "published", completed=now.rows, total=now.total)
                if now.note:
                    bar.console.print(now.note, markup=False)

            for request in wanted:
                results.append(publish(request, get_settings(), show, stopping=interrupted))
                remember(request)
                if interrupted():
                    break
    except ValidationError as error:
        raise typer.BadParameter("; ".join(_wrong(item) for item in error.errors())) from error
    except Stopped as error:
        raise KeyboardInterrupt from error
    refused = [one for result in results for one in result.refused]
    if as_json:
        shown = [asdict(result) for result in results]
        print_json(shown[0] if len(asked) == 1 else shown)
        if refused:
            raise typer.Exit(1)
        return
    for result in results:
        for name, value in asdict(result).items():
            out.print(f"{name:14} {value}", markup=False)
    err.print(
        "Next: `financelake status` shows it arrive in silver; what was refused is in `financelake quarantine list`."
    )
    if refused:
        err.print(f"{len(refused)} files were refused and are not published:")
        for one in refused:
            err.print(f"  {one}", markup=False)
        raise typer.Exit(1)


def _interruptible() -> Callable[[], bool]:
    """Let Ctrl-C and SIGTERM end the load between two chunks, with everything sent acknowledged."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    return asked.is_set


def _wrong(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    place = {"columns": "map", "header": "columns"}.get(place, place)
    return f"--{place.replace('_', '-')}: {item['msg']}" if place else str(item["msg"])


def _progress() -> Progress:
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*parts, console=err, transient=True)
