"""``financelake init``: a few questions, and the lake's universe file is written. Without a terminal: options."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from financelake_assets.cli.console import err, out
from financelake_assets.cli.symbols_command import keep, refuse_what_cannot_be_asked, take_up, universe_text
from financelake_assets.config import Settings, get_settings
from financelake_assets.errors import FinanceLakeError

_KNOWN = {
    "kraken": ("crypto: bars and single trades, without a key", "BTC/USD,ETH/USD", "1h"),
    "coinbase": ("crypto: bars and single trades, without a key", "BTC-USD,ETH-USD", "1h"),
    "binance": ("crypto: bars and aggregate trades, without a key", "BTCUSDT,ETHUSDT", "1h"),
    "yfinance": ("stocks, futures, currencies, crypto; for personal use", "AAPL,SPY,GC=F", "1d"),
}
"""By provider, what it has, and what is proposed."""


def init(
    symbols: Annotated[
        list[str] | None, typer.Argument(help="As their provider spells them: BTC/USD ETH/USD. Without any: questions.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="kraken, coinbase, binance, yfinance, or an installed.")] = None,
    asset_class: Annotated[
        str | None, typer.Option(help="stock, crypto or commodity, of all; default: by how each is written.")
    ] = None,
    interval: Annotated[str | None, typer.Option(help="Of their bars: 1m, 1h, 1d …. Default: 1d.")] = None,
    start: Annotated[str | None, typer.Option(help="From when on history is wanted, such as 2020-01-01.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Follow their trades or quotes too.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a universe file that is there.")] = False,
) -> None:
    """Choose the symbols that this lake follows, and write its universe file. Nobody is contacted before `up`.

    For example:

        financelake init BTC/USD ETH/USD --provider kraken --interval 1h --live
    """
    from financelake_assets.bronze.universe_edit import with_symbol
    from financelake_assets.bronze.universe_file import entries_of

    settings, asking = get_settings(), sys.stdin.isatty()
    _refuse_to_overwrite(settings, replace, asking)
    if symbols:
        if provider is None:
            raise FinanceLakeError("Whose symbols are they?", remedy="Name their provider: --provider kraken")
        given = {"asset_class": asset_class, "interval": interval, "start": start, "live": live or None}
        wanted = list(_fields(symbols, provider, given))
    elif asking:
        wanted = list(_asked())
    else:
        raise FinanceLakeError(
            "There is no terminal to ask at.", remedy="Name symbols: financelake init BTC/USD --provider kraken --live"
        )
    text = ""
    for fields in wanted:
        text = with_symbol(text, fields)
    entries = entries_of(text, settings.universe_path)
    for entry in entries:
        refuse_what_cannot_be_asked(entry)
    if asking and not symbols:
        err.print(text, markup=False)
        typer.confirm(f"Write {settings.universe_path}?", default=True, abort=True, err=True)
    keep(settings, text, entries)
    out.print(f"{len(entries)} symbols are in {settings.universe_path}", markup=False)
    take_up(settings)


def _refuse_to_overwrite(settings: Settings, replace: bool, asking: bool) -> None:
    if replace or not universe_text(settings):
        return
    if not asking:
        raise FinanceLakeError(
            f"{settings.universe_path} is there already.",
            remedy="Add to it with `financelake symbols add`, or replace it with --replace.",
        )
    typer.confirm(f"Replace {settings.universe_path}, which is there already?", abort=True, err=True)


def _fields(symbols: list[str], provider: str, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of symbols; where no class is given, that which each looks like."""
    from financelake_assets.providers.formats.symbols import guess_class
    from financelake_assets.providers.pairs import SEPARATORS

    for symbol in dict.fromkeys(one.strip().upper() for one in symbols if one.strip()):
        guessed = None if provider in SEPARATORS else guess_class(symbol)
        fields = {"symbol": symbol, "provider": provider, "asset_class": guessed}
        fields |= {name: value for name, value in given.items() if value is not None}
        yield {name: value for name, value in fields.items() if value is not None}


def _asked() -> Iterator[dict[str, Any]]:
    """The entries that the answers make."""
    for provider, (what, _, _) in _KNOWN.items():
        err.print(f"  {provider}: {what}", markup=False)
    more, proposed = True, "kraken"
    while more:
        provider = _ask("Provider", proposed)
        _, some, usual = _KNOWN.get(provider, ("", "", "1d"))
        symbols = _ask("Symbols, separated by commas", some).split(",")
        given = {
            "interval": _ask("Bars of (1m, 5m, 1h, 1d …)", usual),
            "start": _ask("History from (such as 2020-01-01; empty: as usual for the interval)", "") or None,
            "live": typer.confirm("Follow live trades or quotes too?", default=True, err=True) or None,
        }
        yield from _fields(symbols, provider, given)
        more, proposed = typer.confirm("Symbols of another provider too?", default=False, err=True), "yfinance"


def _ask(question: str, proposed: str) -> str:
    return str(typer.prompt(question, default=proposed, show_default=bool(proposed), err=True)).strip()
