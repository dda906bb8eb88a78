"""``financelake symbols``: which symbols this lake follows, from whom, and since when; add and remove them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from financelake_assets.cli.console import Json, err, out, print_json, say
from financelake_assets.config import Settings, get_settings
from financelake_assets.errors import FinanceLakeError

app = typer.Typer(no_args_is_help=True, help="The symbols that this lake follows: list, add, remove.")


@app.command("list")
def list_symbols(as_json: Json = False) -> None:
    """Show the symbols of the universe file, and how each does."""
    from financelake_assets.operations.status import feeds_status

    settings = get_settings()
    feeds = feeds_status(settings)
    rows = [_shown(entry, feeds) for entry in _entries(settings)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        err.print(
            "This lake follows no symbols of yours. Next: `financelake symbols add BTC/USD --provider kraken --live`"
        )
        return
    for row in rows:
        out.print(
            "  ".join(f"{name} {value}" for name, value in row.items() if value not in (None, "", False)), markup=False
        )
    err.print(f"They are in {settings.universe_path}, which you may edit.")


@app.command()
def add(
    symbol: Annotated[str, typer.Argument(help="As its provider spells it: BTC/USD, AAPL, GC=F.")],
    provider: Annotated[str, typer.Option(help="kraken, coinbase, binance, yfinance, or an installed one.")],
    asset_class: Annotated[
        str | None, typer.Option(help="stock, crypto or commodity; not needed for kraken, coinbase and binance.")
    ] = None,
    interval: Annotated[str | None, typer.Option(help="Of its bars: 1m, 1h, 1d …. Default: 1d.")] = None,
    start: Annotated[str | None, typer.Option(help="From when on history is wanted, such as 2020-01-01.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Follow its trades or quotes too.")] = False,
    calendar: Annotated[str | None, typer.Option(help="Of exchange_calendars, where it is not its class's.")] = None,
    currency: Annotated[
        str | None, typer.Option(help="That its prices are in. Default: that of the pair, or USD.")
    ] = None,
) -> None:
    """Add a symbol to the universe file; a lake that runs takes it up at once.

    For example:

        financelake symbols add BTC/USD --provider kraken --live --interval 1h --start 2024-01-01
    """
    from financelake_assets.bronze.universe_edit import with_symbol
    from financelake_assets.bronze.universe_file import entries_of

    settings = get_settings()
    given: dict[str, Any] = {
        "symbol": symbol.strip().upper(),
        "provider": provider,
        "asset_class": asset_class,
        "interval": interval,
        "start": start,
        "live": live or None,
        "calendar": calendar,
        "currency": currency,
    }
    text = with_symbol(universe_text(settings), {name: value for name, value in given.items() if value is not None})
    entries = entries_of(text, settings.universe_path)
    refuse_what_cannot_be_asked(entries[-1])
    keep(settings, text, entries[-1:])
    out.print(f"{entries[-1].symbol} of {provider} is in {settings.universe_path}", markup=False)
    take_up(settings)


@app.command()
def remove(symbol: Annotated[str, typer.Argument(help="As `financelake symbols list` shows it.")]) -> None:
    """Take a symbol out of the universe file. What is known of it stays in the lake."""
    from financelake_assets.bronze.universe_edit import without_symbol
    from financelake_assets.bronze.universe_file import entries_of
    from financelake_assets.providers.pairs import canonical

    settings = get_settings()
    entries = _entries(settings)
    wanted = symbol.strip().upper()
    places = [
        place for place, entry in enumerate(entries) if entry.symbol in (wanted, canonical(entry.provider, wanted))
    ]
    if not places:
        known = ", ".join(entry.symbol for entry in entries) or "none"
        raise FinanceLakeError(f"{wanted} is not in {settings.universe_path}: there are {known}.")
    if len(entries) == 1:
        _remove_file(settings)
    else:
        text = without_symbol(universe_text(settings), places[0])
        entries_of(text, settings.universe_path)
        write_universe(settings, text)
    out.print(f"{entries[places[0]].symbol} is not followed any more; what is known of it stays", markup=False)
    take_up(settings)


def _entries(settings: Settings) -> list[Any]:
    from financelake_assets.bronze.universe_file import read_universe_file

    return read_universe_file(settings.universe_path) if settings.universe_path.exists() else []


def keep(settings: Settings, text: str, new: list[Any]) -> None:
    """Write the universe file and make its new entries known to the lake, or leave both as they were.

    Raises:
        FinanceLakeError: the lake holds a replay, or knows a symbol as something else.
    """
    from financelake_assets.bronze.feed_choice import refuse_mixture
    from financelake_assets.bronze.universe_file import remember

    before = universe_text(settings)
    write_universe(settings, text)
    try:
        refuse_mixture(settings)
        remember(settings, new)
    except FinanceLakeError:
        write_universe(settings, before)
        raise


def universe_text(settings: Settings) -> str:
    """The universe file's text; empty where there is none."""
    return settings.universe_path.read_text("utf-8") if settings.universe_path.exists() else ""


def write_universe(settings: Settings, text: str) -> None:
    """Write the universe file; without a text there is none."""
    from financelake_assets.files import write_whole

    # where the lake's own name of the file is a link, the file that it leads to is the user's
    file = settings.universe_path.resolve()
    if not text:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, text)


def _remove_file(settings: Settings) -> None:
    if settings.universe_path.is_symlink() or settings.universe_file is not None:
        raise FinanceLakeError(
            f"It is the last symbol of {settings.universe_path.resolve()}, and a universe file has at least one.",
            remedy="Delete the file yourself if you mean it.",
        )
    settings.universe_path.unlink()


def refuse_what_cannot_be_asked(entry: Any) -> None:
    """Let the provider look at it; nothing is sent."""
    from financelake_assets.bronze.feed_choice import NOT_FOLLOWED
    from financelake_assets.providers.registry import make_provider
    from financelake_assets.providers.request import IngestRequest

    if entry.provider in NOT_FOLLOWED:
        raise FinanceLakeError(
            f"{entry.provider} has no market to follow.", remedy="Publish a file with `financelake ingest FILE`."
        )
    made = make_provider(IngestRequest(provider=entry.provider, symbols=(entry.symbol,), interval=entry.interval))
    if entry.live and not made.capabilities.live:
        raise FinanceLakeError(f"{entry.provider} has no live data.", remedy="Leave --live out.")


def take_up(settings: Settings) -> None:
    """Let a lake that runs take up what the universe file says, and name the next command."""
    from financelake_assets.operations.lake import take_up_symbols
    from financelake_assets.supervision.supervisor import wanted

    if wanted(settings) and take_up_symbols(settings, say):
        err.print("Next: `financelake status` shows how it does.")
    else:
        err.print("Next: `financelake up` starts the lake, which follows it.")


def _shown(entry: Any, feeds: dict[str, Any]) -> dict[str, Any]:
    told = feeds.get(entry.provider, {}).get("symbols", {}).get(entry.symbol, {})
    return {
        "symbol": entry.symbol,
        "provider": entry.provider,
        "asset_class": entry.asset_class,
        "interval": entry.interval,
        "start": entry.start,
        "live": entry.live,
        "state": told.get("state"),
        "newest": told.get("newest"),
        "unit": told.get("unit"),
        "problem": told.get("problem"),
    }
