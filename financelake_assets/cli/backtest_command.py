"""``financelake backtest``: trades what a version forecast out of sample, by the rules of this lake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from financelake_assets.cli.console import Json, err, out, print_json, say
from financelake_assets.config import get_settings
from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    import polars as pl

    from financelake_assets.gold.paper.backtest import Backtest

_SHOWN = (
    ("total_return", "return", "+.1%"),
    ("yearly_return", "a year", "+.1%"),
    ("yearly_volatility", "volatility", ".1%"),
    ("sharpe", "Sharpe", "+.2f"),
    ("deflated_sharpe", "deflated", ".0%"),
    ("max_drawdown", "drawdown", ".1%"),
    ("trades", "trades", "d"),
    ("turnover", "turnover", ".0f"),
    ("luck_p", "luck p", ".3f"),
)


def backtest(
    version: Annotated[
        str | None, typer.Argument(help="A version of `financelake model list`; else the daily champion.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Trade this symbol alone; gold's tables stay as they are.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a tear sheet to this HTML file; it needs no network to be read.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Trade a version's out-of-sample forecasts of all history, as the paper portfolio would have done.

    The forecasts are those of the walk-forward that judged the version when it was trained. Signals and accounts come
    from the same code as live ones. The lake need not run. The result is kept in gold.backtest_equity,
    gold.backtest_trades and gold.backtest_portfolio.
    """
    from financelake_assets.gold.paper import backtest_store
    from financelake_assets.gold.paper.backtest import notes

    settings = get_settings()
    if report is not None and report.is_dir():
        raise FinanceLakeError(f"{report} is a folder.", remedy=f"Name a file, such as {report / 'tear_sheet.html'}.")
    record = backtest_store.version_of(settings, version)
    with err.status(f"back-testing {record.model_version}") as spinner:
        made = backtest_store.make(settings, record, spinner.update, symbol)
        if symbol is None:
            backtest_store.keep(settings, made)
    told = notes(made, settings.model.trains_after_days)
    if report is not None:
        _write_report(report, made, symbol, told)
    if as_json:
        print_json(as_values(made, told))
        return
    out.print(_statistics(made))
    out.print(_covered(made))
    for note in told:
        err.print(note)
    if symbol is None:
        say("kept in gold.backtest_equity, gold.backtest_trades and gold.backtest_portfolio")


def _write_report(file: Path, made: Backtest, symbol: str | None, told: list[str]) -> None:
    from financelake_assets.files import write_whole
    from financelake_assets.gold.paper.tear_sheet_page import page

    title = f"Back-test of {made.model_version}" + (f", {symbol} alone" if symbol else "")
    write_whole(file, page(title, told, made.equity, made.statistics))
    say(f"{file} holds the tear sheet")


def as_values(made: Backtest, told: list[str]) -> dict[str, Any]:
    """A back-test as plain values, for programs."""
    return {
        "model_version": made.model_version,
        "statistics": _plain(made.statistics),
        "covered": _told(made.covered),
        "folds": _told(made.folds),
        "notes": told,
        "equity": _plain(made.equity.drop("book", "computed_at")),
        "trades": _plain(made.trades),
    }


def _statistics(made: Backtest) -> Table:
    from financelake_assets.gold.paper.accounts import by_account

    table = Table("account", "curve", "equity", *(title for _, title, _ in _SHOWN), title=made.model_version)
    for account, rows in by_account(made.statistics.sort("curve", descending=True)):
        for row in rows.to_dicts():
            table.add_row(
                account.name,
                row["curve"],
                f"{row['equity']:,.0f}",
                *("" if row[name] is None else format(row[name], form) for name, _, form in _SHOWN),
            )
    return table


def _covered(made: Backtest) -> Table:
    from financelake_assets.gold.paper.accounts import AccountKey

    table = Table("account", "first", "last", "steps", "forecasts", "unscored", "left out", "luck band at the end")
    for one in made.covered:
        account = AccountKey.of(one)
        last = made.equity.filter(account.condition).sort("event_time").tail(1).to_dicts()
        first, end = (f"{one[name]:%Y-%m-%d}" if one[name] else "" for name in ("first", "last"))
        band = f"{last[0]['luck_low']:,.0f} to {last[0]['luck_high']:,.0f}" if last else ""
        numbers = (str(one[name]) for name in ("steps", "forecasts", "unscored", "left_out"))
        table.add_row(account.name, first, end, *numbers, band)
    return table


def _plain(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return _told(rows.to_dicts())


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Times as ISO 8601."""
    return [
        {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
        for row in rows
    ]
