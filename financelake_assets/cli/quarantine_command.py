"""``financelake quarantine list | show | replay``: shows bad messages, and sends them again when they are repaired."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from financelake_assets.cli.console import Json
from financelake_assets.config import get_settings

if TYPE_CHECKING:
    import polars as pl

    from financelake_assets.silver.repairs import Repair

err = Console(stderr=True, highlight=False)
quarantine = typer.Typer(no_args_is_help=True, help="Show bad messages, and send them again when repaired.")

_SHOWN_BYTES = 100


@quarantine.command("list")
def list_(
    reason: Annotated[str | None, typer.Option(help="List the messages with this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="With --reason: at most this many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Count the messages in quarantine by reason, or list those with one reason."""
    from financelake_assets.silver import quarantine as kept
    from financelake_assets.silver.reasons import DESCRIPTIONS, Reason

    if reason is None:
        found = [
            {**row, "means": DESCRIPTIONS[Reason(row["reason"])]}
            for row in kept.counts(get_settings()).iter_rows(named=True)
        ]
    else:
        known = _known_reason(reason)
        found = [_described(row) for row in kept.rows(get_settings(), known, limit).iter_rows(named=True)]
    _print(found, as_json)
    if not as_json:
        nothing = "Nothing is in quarantine." if reason is None else f"Nothing is in quarantine for {reason}."
        more = (
            "`financelake quarantine list --reason REASON`" if reason is None else "`financelake quarantine show PLACE`"
        )
        err.print(f"Next: {more}." if found else nothing, markup=False)


@quarantine.command()
def show(
    place: Annotated[str, typer.Argument(help="topic/partition/offset, as `list` prints it.")], as_json: Json = False
) -> None:
    """Write the raw bytes of one message to standard output, and its details to standard error.

    On a terminal, control characters are shown as escapes; a file or another program gets the exact bytes.
    """
    from financelake_assets.silver import quarantine as kept

    row = kept.at(get_settings(), [kept.Place.parse(place)]).row(0, named=True)
    if as_json:
        _print([{**_described(row, None), "raw_hex": (row["raw"] or b"").hex()}], True)
        return
    for name, value in _described(row).items():
        if name != "raw":
            err.print(f"{name:14} {visible(str(value))}", markup=False)
    if sys.stdout.isatty():
        sys.stdout.write(visible(_text(row["raw"] or b"", None)) + "\n")
    else:
        sys.stdout.buffer.write(row["raw"] or b"")
    sys.stdout.flush()


@quarantine.command()
def replay(
    places: Annotated[list[str] | None, typer.Argument(help="topic/partition/offset of each; or use --reason.")] = None,
    reason: Annotated[str | None, typer.Option(help="All messages with this reason.")] = None,
    fields: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the JSON; repeatable.")
    ] = None,
    without: Annotated[list[str] | None, typer.Option("--unset", metavar="FIELD", help="Remove a field.")] = None,
    file: Annotated[Path | None, typer.Option(help="Send the bytes of this file instead, for one place.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Send messages in quarantine through bronze again, repaired or unchanged.

    Each message is sent once: messages that were replayed before are skipped. The original stays in quarantine, marked.
    A value of --set is read as JSON if possible, otherwise as text. Example, after you added the symbol to the
    universe:

        financelake quarantine replay --reason unknown_symbol

    or with a repair:

        financelake quarantine replay bronze.stock/0/17 --set close=101.5 --unset volume
    """
    from financelake_assets.silver import quarantine as kept
    from financelake_assets.silver.replays import replay as send_again

    if bool(places) == bool(reason):
        raise typer.BadParameter("name either places or a --reason")
    if file is not None and (len(places or []) != 1 or fields or without):
        raise typer.BadParameter("--file is for one place, without --set and --unset")
    repair = _repair(fields or [], without or [], file)
    settings = get_settings()
    messages: pl.DataFrame = (
        kept.at(settings, [kept.Place.parse(place) for place in places])
        if places
        else kept.rows(settings, _known_reason(str(reason)))
    )
    if dry_run:
        would = [
            {"place": str(_place(row)), "sends": _text(repair.mend(row["raw"]), None)}
            for row in messages.iter_rows(named=True)
            if row["replayed_as"] is None
        ]
        _print(would, as_json)
        return
    done = send_again(settings, messages, repair)
    _print([{"place": str(old), "replayed_as": str(new)} for old, new in done.sent.items()], as_json)
    if done.before:
        err.print(f"{len(done.before)} were replayed before and were skipped.")
    err.print(f"{len(done.sent)} sent. Next: `financelake quarantine list` shows whether silver accepted them.")


def _repair(fields: Sequence[str], without: Sequence[str], file: Path | None) -> Repair:
    from financelake_assets.silver.repairs import Repair

    changes: dict[str, object] = {}
    for text in fields:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{text!r} is not FIELD=VALUE", param_hint="--set")
        changes[name] = _json_or_text(value)
    if file is not None and not file.is_file():
        raise typer.BadParameter(f"{file} is not a file", param_hint="--file")
    return Repair(changes, without, None if file is None else file.read_bytes())


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _known_reason(text: str) -> str:
    from financelake_assets.silver.reasons import Reason

    if text not in set(Reason):
        raise typer.BadParameter(
            f"{text!r} is not a reason; the reasons are {', '.join(Reason)}", param_hint="--reason"
        )
    return text


def _place(row: dict[str, Any]) -> str:
    from financelake_assets.silver.quarantine import Place

    topic_id = row["topic_id"] if row["shared_place"] else None
    return str(Place(row["topic"], row["partition"], row["offset"], topic_id))


def _described(row: dict[str, Any], most: int | None = _SHOWN_BYTES) -> dict[str, Any]:
    return {
        "place": _place(row),
        "reason": row["reason"],
        "provider": row["provider"],
        "quarantined_at": row["quarantined_at"],
        "replayed_as": row["replayed_as"],
        "raw": None if row["raw"] is None else _text(row["raw"], most),
    }


def _text(raw: bytes, most: int | None) -> str:
    return raw[:most].decode(errors="backslashreplace")


def _print(found: list[dict[str, Any]], as_json: bool) -> None:
    from financelake_assets.cli.console import out, print_json

    if as_json:
        print_json(found)
        return
    if not found:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in found[0]:
        table.add_column(name, overflow="fold")
    for row in found:
        table.add_row(*("" if value is None else escape(_shown(value)) for value in row.values()))
    out.print(table)


def _shown(value: Any) -> str:
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" ", timespec="seconds"))
    return visible(str(value))


def visible(text: str) -> str:
    """Text from outside, safe for a terminal: control characters and direction marks become escapes."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )
