"""``financelake alerts``: rules that tell people when something happens in the market or the paper portfolio.

Input: what a person types, and the file of rule alerts. Output: the rules, a changed file, a message that tries the
addresses out, or when a rule would have fired. No broker and no Spark is touched. Addresses are never shown.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from financelake_assets.cli.console import Json, err, out, print_json
from financelake_assets.config import Settings, get_settings
from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    from financelake_assets.alerting.evaluation import Watch
    from financelake_assets.alerting.rules_file import AlertRule

app = typer.Typer(
    no_args_is_help=True,
    help="Rules that tell people: signals, prices and the paper portfolio. They are in <data_dir>/alerts.yaml.",
)

address_app = typer.Typer(
    no_args_is_help=True,
    help="Addresses of people, each a secret file with a name. No command shows an address again.",
)
app.add_typer(address_app, name="address")

_MOST_SHOWN = 20
_RULE = 'Such as "signal is BUY and confidence > 60 %", "close crosses above 100000", "portfolio drawdown > 10 %".'

Rule = Annotated[str, typer.Argument(metavar="RULE", help=_RULE)]
AddressName = Annotated[str, typer.Argument(help="Such as OPS_TELEGRAM: letters, digits and _.")]
Symbols = Annotated[str, typer.Option(help="Only these symbols, separated by commas; default: all.")]
Interval = Annotated[str | None, typer.Option(help="Only bars of this interval; default: all.")]


@app.command("list")
def list_rules(as_json: Json = False) -> None:
    """Show every rule, where its alerts go, and how far the alerter is."""
    from financelake_assets.alerting.addresses import address
    from financelake_assets.alerting.rules_file import read_rules
    from financelake_assets.gold.alerter_state import read_state

    settings = get_settings()
    rules, state = read_rules(settings.rules_path), read_state(settings)
    rows = [
        {
            **rule.model_dump(mode="json", exclude={"to"}),
            "reads": rule.watch.rule.source,
            "to": {name: "known" if address(name, settings) is not None else "no address" for name in rule.to},
            "seen_version": state.versions.get(rule.name) if state is not None else None,
        }
        for rule in rules
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "rule", "series", "to", "quiet hours", "seen")
    for rule, row in zip(rules, rows, strict=True):
        series = " ".join([", ".join(rule.symbols) or "all", rule.interval or ""]).strip()
        to = ", ".join(name if known == "known" else f"{name} (no address)" for name, known in row["to"].items())
        quiet = "" if rule.quiet is None else f"{rule.quiet.start:%H:%M}-{rule.quiet.end:%H:%M} {rule.quiet.zone}"
        seen = "" if row["seen_version"] is None else f"version {row['seen_version']}"
        table.add_row(*map(escape, (rule.name, rule.rule, series, to, quiet, seen)))
    out.print(table)
    if not rules:
        err.print(f"No rule is declared in {settings.rules_path}: `financelake alerts add`.", markup=False)
    if state is not None:
        for part, problem in state.problems.items():
            err.print(f"{part}: {problem}", markup=False)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name for the rule, without blanks.")],
    rule: Rule,
    to: Annotated[
        list[str],
        typer.Option(
            help="Name of an environment variable, or of a file in FINANCELAKE_SECRETS_DIR or <data_dir>/secrets, "
            "that holds an Apprise address. May be repeated. Never the address itself."
        ),
    ],
    symbols: Symbols = "",
    interval: Interval = None,
    quiet: Annotated[str | None, typer.Option(metavar="HH:MM-HH:MM", help="Hold alerts in these hours.")] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of the quiet hours, such as Europe/Berlin.")] = None,
) -> None:
    """Declare a rule. It fires when it begins to hold, and once a crossing."""
    from financelake_assets.alerting import rules_file
    from financelake_assets.alerting.addresses import address
    from financelake_assets.alerting.rules_file import checked

    settings = get_settings()
    fields: dict[str, Any] = {"name": name, "rule": rule, "symbols": _split(symbols), "interval": interval}
    fields["to"] = tuple(to)
    if quiet is not None or zone is not None:
        fields["quiet"] = _quiet(quiet, zone)
    first = not settings.rules_path.is_file()
    declared = checked(fields)
    rules_file.add(settings.rules_path, declared)
    out.print(f"{name} is declared in {settings.rules_path}", markup=False)
    for one in declared.to:
        if address(one, settings) is None:
            err.print(f"There is no address {one} yet: `financelake alerts address add {one}`.", markup=False)
    if first:
        err.print(
            "It is the first rule. If the lake runs, stop and start it: `financelake down`, `financelake up`.",
            markup=False,
        )
    err.print(f"Try it: `financelake alerts test {name}`, `financelake alerts check {name}`.", markup=False)


@app.command()
def remove(name: Annotated[str, typer.Argument(help="A rule of `financelake alerts list`.")]) -> None:
    """Take a rule out of the file. Its alerts that were not sent yet are dropped."""
    from financelake_assets.alerting import rules_file

    rules_file.remove(get_settings().rules_path, name)
    out.print(f"{name} is removed", markup=False)


@app.command()
def test(name: Annotated[str, typer.Argument(help="A rule of `financelake alerts list`.")]) -> None:
    """Send a message, marked as a try-out, to each address of a rule. Exit code 1 if one does not take it."""
    from financelake_assets.alerting.addresses import send_to
    from financelake_assets.alerting.messages import try_out

    settings = get_settings()
    title, text = try_out(rule := _declared(settings, name))
    deaf = []
    for one in rule.to:
        problem = send_to(one, settings, title, text)
        if problem is None:
            out.print(f"✓ {one} took the try-out", markup=False)
        else:
            out.print(f"✗ {one} {problem}", markup=False)
            deaf.append(one)
    if deaf:
        raise typer.Exit(1)


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(help="A rule of `financelake alerts list`.")] = None,
    rule: Annotated[str | None, typer.Option(help="A rule that is not declared.")] = None,
    symbols: Symbols = "",
    interval: Interval = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only bars from then on, in UTC.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show when a rule would have fired on the bars, signals or portfolio that the lake has. Nothing is sent."""
    from financelake_assets.alerting.history import would_have_fired

    settings = get_settings()
    if (name is None) == (rule is None):
        raise typer.BadParameter("name a declared rule, or give one with --rule", param_hint="NAME")
    watch = _declared(settings, name).watch if name is not None else _undeclared(rule or "", symbols, interval)
    past = would_have_fired(watch, settings, None if since is None else since.replace(tzinfo=UTC))
    if as_json:
        print_json({"bars": past.bars, "fired": past.fired.to_dicts(), "holds_now": past.now.to_dicts()})
        return
    shown = past.fired.tail(_MOST_SHOWN)
    if shown.height:
        table = Table(*shown.columns)
        for row in shown.iter_rows():
            table.add_row(*(escape(_shown(value)) for value in row))
        out.print(table)
    times = "time" if past.fired.height == 1 else "times"
    out.print(f"It would have fired {past.fired.height} {times} on {past.bars} rows of {watch.table.full_name}.")
    if past.fired.height > shown.height:
        err.print(f"The last {shown.height} are shown; --json prints all.")
    series = [" ".join(map(str, row)) for row in past.now.select(watch.series).iter_rows()]
    if series:
        rest = f" and {len(series) - 10} more" if len(series) > 10 else ""
        err.print(f"It holds now for {', '.join(series[:10])}{rest}; it fires when it begins to hold.", markup=False)


@address_app.command("list")
def list_addresses(as_json: Json = False) -> None:
    """Show every address by name and kind, and never what it is."""
    from financelake_assets.alerting import address_book
    from financelake_assets.alerting.rules_file import read_rules

    settings = get_settings()
    found = address_book.listed(settings, [name for rule in read_rules(settings.rules_path) for name in rule.to])
    if as_json:
        print_json([{"name": one.name, "kind": one.kind, "since": one.since} for one in found])
        return
    for one in found:
        out.print(f"{one.name}: {one}", markup=False)
    if not found:
        err.print("No address is set up: `financelake alerts address add`.", markup=False)


@address_app.command("add")
def add_address(
    name: AddressName,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the address of that name.")] = False,
) -> None:
    """Set up an Apprise address. It is asked for, or read from standard input: never an argument, which others see."""
    from pydantic import SecretStr

    from financelake_assets.alerting import address_book

    hidden = sys.stdin.isatty()
    to = SecretStr(typer.prompt("Address (it is not shown)", hide_input=True) if hidden else sys.stdin.read())
    found = address_book.set_up(get_settings(), name, to, replace=replace)
    out.print(f"{name} is set up: {found.kind}", markup=False)
    err.print(f"Try it: `financelake alerts address test {name}`.", markup=False)


@address_app.command("remove")
def remove_address(name: AddressName) -> None:
    """Delete an address that was set up on the page or by this command. One that a rule uses is kept."""
    from financelake_assets.alerting import address_book

    address_book.remove(get_settings(), name)
    out.print(f"{name} is removed", markup=False)


@address_app.command("test")
def test_address(name: AddressName) -> None:
    """Send a message, marked as a try-out, to an address. Exit code 1 if it does not take it."""
    from financelake_assets.alerting import address_book
    from financelake_assets.alerting.addresses import send_to
    from financelake_assets.alerting.messages import try_address

    settings = get_settings()
    address_book.named(settings, name)
    problem = send_to(name, settings, *try_address(name))
    out.print(f"✓ {name} took the try-out" if problem is None else f"✗ {name} {problem}", markup=False)
    if problem is not None:
        raise typer.Exit(1)


def _declared(settings: Settings, name: str) -> AlertRule:
    from financelake_assets.alerting.rules_file import named, read_rules

    return named(read_rules(settings.rules_path), name)


def _undeclared(rule: str, symbols: str, interval: str | None) -> Watch:
    from financelake_assets.alerting.rules_file import checked

    fields = {"name": "try", "rule": rule, "symbols": _split(symbols), "interval": interval, "to": ("NOBODY",)}
    return checked(fields).watch


def _split(symbols: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in symbols.split(",") if one.strip())


def _quiet(hours: str | None, zone: str | None) -> dict[str, Any]:
    start, separator, end = (hours or "").partition("-")
    if not separator or zone is None:
        raise FinanceLakeError(
            "Quiet hours need a beginning, an end and a time zone.",
            remedy="Write for example --quiet 22:00-07:00 --zone Europe/Berlin.",
        )
    return {"start": start, "end": end, "zone": zone}


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
