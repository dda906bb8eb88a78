"""The output of ``status`` and ``config`` for people."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from financelake_assets.config import Settings

LONG_BATCH_SECONDS = 60.0
"""After this many seconds without an end, ``status`` mentions a micro-batch."""


def show_status(console: Console, found: dict[str, Any]) -> None:
    """Print the state of a lake as tables."""
    word = "[green]healthy[/green]" if found["healthy"] else "[red]not healthy[/red]"
    console.print("  ".join([f"The lake in {found['data_dir']} is {word}.", *found["urls"].values()]))
    _show_processes(console, found["processes"])
    _show_topics(console, found["topics"])
    _show_streams(console, found["streams"])
    _show_tables(console, found["tables"])
    show_markets(console, found["markets"])
    _show_feeds(console, found["feeds"])
    lines = {part: _line(found[part]) for part in ("feed", "ledger", "model")}
    for part, line in {
        **lines,
        "published": _published(found["published"]),
        "alerts": _alerts(found["alerts"]),
    }.items():
        console.print(f"[bold]{part}[/bold]  {escape(line)}")


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _show_processes(console: Console, running: dict[str, Any]) -> None:
    table = _table("process", "state", "pid", "MiB", "restarts", "problem")
    for name, process in running.items():
        colour = "green" if process["healthy"] else "red"
        table.add_row(
            name,
            f"[{colour}]{process['state']}[/{colour}]",
            _text(process["pid"]),
            _text(process["memory_mb"]),
            _text(process["restarts"]),
            _text(process["problem"]),
        )
    console.print(table)
    console.print(f"[bold]memory[/bold]  {sum(one['memory_mb'] or 0 for one in running.values())} MiB together")


def _cannot_be_told(console: Console, name: str, found: dict[str, Any]) -> bool:
    """Whether a part could not be found out; then its error is printed."""
    if "error" in found:
        console.print(f"[bold]{name}[/bold]  [red]{escape(found['error'])}[/red]")
    return "error" in found


def _show_topics(console: Console, topics: dict[str, Any]) -> None:
    if _cannot_be_told(console, "topics", topics):
        return
    table = _table("topic/partition", "low", "high", "consumed", "lag")
    for topic, partitions in topics.items():
        for number, marks in partitions.items():
            table.add_row(f"{topic}/{number}", *(str(marks[name]) for name in ("low", "high", "consumed", "lag")))
    console.print(table)


def _show_streams(console: Console, streams: dict[str, Any]) -> None:
    table = _table("stream", "state", "batch", "rows/s", "ms per batch", "note")
    for name, stream in streams.items():
        waits = stream.get("waits_for")
        state = "[green]running[/green]" if stream["running"] else "waiting" if waits else "[red]not running[/red]"
        rate = stream.get("processed_rows_per_second")
        table.add_row(
            name,
            state,
            _text(stream.get("batch_id")),
            "" if rate is None else f"{rate:.0f}",
            _text(stream.get("batch_duration_ms")),
            _text(waits or _problem(stream)),
        )
    console.print(table)


def _problem(stream: dict[str, Any]) -> str:
    seconds = stream.get("open_batch_seconds") or 0
    long = f"its batch has not ended for {seconds:.0f} s" if seconds > LONG_BATCH_SECONDS else ""
    return (stream.get("error") or long).split("\n")[0]


def _show_tables(console: Console, tables: dict[str, Any]) -> None:
    table = _table("table", "rows", "version", "newest")
    for name, facts in tables.items():
        if "error" in facts:
            table.add_row(name, "[red]cannot be read[/red]", "", _text(facts["error"]))
        else:
            table.add_row(name, *(_text(facts[key]) for key in ("rows", "version", "newest_event_time")))
    console.print(table)


def show_markets(console: Console, markets: dict[str, Any]) -> None:
    """Print each market with its champion, or with the reason why it has none."""
    if _cannot_be_told(console, "markets", markets):
        return
    table = _table("market", "bars", "champion", "verdict", "state")
    for name, row in markets.items():
        table.add_row(name, f"{row['bars']:,}", *(_text(row[key]) for key in ("model_version", "verdict", "note")))
    if markets:
        console.print(table)


def _show_feeds(console: Console, feeds: dict[str, Any]) -> None:
    for provider, feed in feeds.items():
        console.print(f"[bold]feed of {escape(provider)}[/bold]  {escape(_of_feed(feed))}")
        if not feed.get("symbols"):
            continue
        table = _table("symbol", "interval", "state", "newest bar", "last trade", "note")
        for symbol, one in feed["symbols"].items():
            colour = "red" if one["problem"] else "green"
            state = f"[{colour}]{one['state']}[/{colour}]" + (", live" if one["live"] else "")
            shown = (symbol, one["interval"], state, one["newest"], one["last_trade"], one["problem"] or _unit(one))
            table.add_row(escape(symbol), shown[1], state, *(_text(value) for value in shown[3:]))
        console.print(table)


def _unit(symbol: dict[str, Any]) -> str:
    # a feed of an older release says nothing of units
    return f"in {symbol['unit']}" if symbol.get("unit") else ""


def _of_feed(feed: dict[str, Any]) -> str:
    live = feed.get("live") or {}
    names = ("connected", "per_second", "trades", "reconnects", "gaps", "missed", "filled", "open", "absent")
    numbers = ", ".join(f"{name.replace('_', ' ')} {live[name]}" for name in names if name in live)
    return "; ".join(one for one in (numbers, feed.get("problem"), feed.get("remedy")) if one) or "follows no trades"


def _published(topics: dict[str, Any]) -> str:
    """How far each topic of gold is, and what keeps the publisher."""
    said = []
    for topic, state in topics.items():
        far = "none yet" if state["version"] is None else f"up to version {state['version']}"
        said.append(f"{topic} {far}" + (f": {state['problem']}" if state["problem"] else ""))
    return "; ".join(said) or "none yet"


def _alerts(found: dict[str, Any]) -> str:
    if not found:
        return "none yet"
    waiting = [f"{count} wait for {address}" for address, count in found["waiting"].items()]
    problems = [f"{part}: {problem}" for part, problem in found["problems"].items()]
    return "; ".join([f"{len(found['versions'])} rules", *waiting, *problems])


def _line(values: dict[str, Any]) -> str:
    shown = {key: value for key, value in values.items() if not isinstance(value, dict | list)}
    return ", ".join(f"{key} {value}" for key, value in shown.items()) or "none yet"


def _text(value: object) -> str:
    return "" if value is None else escape(str(value))


def show_settings(console: Console, settings: Settings) -> None:
    """Print every setting: its variable, its effective value (secrets masked), and its meaning."""
    table = _table("variable", "value", "meaning")
    _add_settings(table, settings, "FINANCELAKE_")
    console.print(table)


def _add_settings(table: Table, group: BaseModel, prefix: str) -> None:
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            _add_settings(table, value, f"{prefix}{name.upper()}__")
        else:
            table.add_row(f"{prefix}{name.upper()}", escape(str(value)), _meaning(field))


def _meaning(field: FieldInfo) -> str:
    return escape(field.description or "")
