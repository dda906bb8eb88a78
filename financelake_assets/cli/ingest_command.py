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

from financelake_assets.config import get_settings

err = Console(stderr=True, highlight=False)


def ingest(
    context: typer.Context,
    provider: Annotated[
        str | None,
        typer.Option(help="csv (the default), yfinance, replay, synthetic, or an installed one.", show_default=False),
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
    timezone: Annotated[str, typer.Option(help="csv: the zone of times that name none.")] = "UTC",
    time_format: Annotated[str | None, typer.Option(help="csv: strptime format of the times.")] = None,
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

        financelake ingest --provider csv --path btc.csv --asset-class crypto --interval 1h --symbol BTC-USD
    """
    from financelake_assets.bronze.ingest import IngestProgress
    from financelake_assets.bronze.ingest import ingest as publish
    from financelake_assets.bronze.producer import Stopped
    from financelake_assets.bronze.universe_file import UniverseFileError, read_universe_file, remember, requests
    from financelake_assets.cli.console import out, print_json
    from financelake_assets.providers.request import IngestRequest

    given: dict[str, Any] = {
        "provider": provider or "csv",
        "path": path,
        "asset_class": asset_class,
        "interval": interval,
        "symbol": symbol,
        "symbols": tuple(symbols.split(",")) if symbols else (),
        "columns": _mapping([*(columns or []), *context.args]),
        "timezone": timezone,
        "time_format": time_format,
        "start": start,
        "end": end,
        "live": live,
        "rows": rows,
        "seed": seed,
    }
    interrupted = _interruptible()
    results = []
    try:
        asked = [given]
        file = universe or get_settings().universe_file
        if file is not None and not (path or symbol or symbols):
            entries = read_universe_file(file)
            from_file = requests(entries, provider, live)
            if universe is not None and not from_file:
                raise UniverseFileError(f"{file} has no symbol of {provider}")
            remember(get_settings(), entries)
            asked = [{**given, "live": False, **fields} for fields in from_file] or asked
        wanted = [IngestRequest.model_validate(fields) for fields in asked]
        with _progress() as bar:
            task = bar.add_task("published", total=None)

            def show(now: IngestProgress) -> None:
                bar.update(task, description=now.load or "published", completed=now.rows, total=now.total)
                if now.note:
                    bar.console.print(now.note, markup=False)

            for request in wanted:
                results.append(publish(request, get_settings(), show, stopping=interrupted))
                if interrupted():
                    break
    except ValidationError as error:
        raise typer.BadParameter("; ".join(_wrong(item) for item in error.errors())) from error
    except Stopped as error:
        raise KeyboardInterrupt from error
    if as_json:
        shown = [asdict(result) for result in results]
        print_json(shown[0] if len(asked) == 1 else shown)
        return
    for result in results:
        for name, value in asdict(result).items():
            out.print(f"{name:14} {value}", markup=False)
    err.print(
        "Next: `financelake status` shows it arrive in silver; what was refused is in `financelake quarantine list`."
    )


def _interruptible() -> Callable[[], bool]:
    """Let Ctrl-C and SIGTERM end the load between two chunks, with everything sent acknowledged."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    return asked.is_set


def _mapping(pairs: list[str]) -> dict[str, str]:
    """``field=column`` pairs, given one by one, after one ``--map``, or separated by commas."""
    mapping = {}
    for pair in (part for text in pairs for part in text.split(",")):
        field, separator, column = pair.partition("=")
        if not separator or not field or not column:
            raise typer.BadParameter(f"{pair!r} is not FIELD=COLUMN", param_hint="--map")
        mapping[field.strip()] = column.strip()
    return mapping


def _wrong(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    return f"--{place.replace('_', '-')}: {item['msg']}" if place else str(item["msg"])


def _progress() -> Progress:
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*parts, console=err, transient=True)
