"""``financelake tables``: lists the lake's tables, and describes one of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from financelake_assets.cli.console import Json, err, out, print_json
from financelake_assets.config import Settings, get_settings


def tables(
    name: Annotated[str | None, typer.Argument(help="Describe this table, such as gold.signals.")] = None,
    as_json: Json = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the table's rows.")] = False,
) -> None:
    """List the lake's tables with rows, version, size and meaning; with a name, its columns and kept versions.

    The schema is that of a row as JSON: of a message on the topic of that name, and of the HTTP API's rows.
    """
    if schema:
        print_json(_schema(name))
        return
    settings = get_settings()
    if not as_json:
        described(settings, name)
    elif name is None:
        from financelake_assets import lake

        print_json([asdict(info) for info in lake.tables(settings)])
    else:
        print_json(facts_of(settings, name))


def _schema(name: str | None) -> dict[str, Any]:
    """The JSON Schema of a table's rows.

    Raises:
        UnknownTableError: there is no such table.
    """
    from financelake_assets.query.names import known
    from financelake_assets.query.row_schema import document

    if name is None:
        raise typer.BadParameter("name a table, such as gold.signals", param_hint="--schema")
    return document(known(name))


def described(settings: Settings, name: str | None) -> None:
    """Show all tables, or one."""
    if name is None:
        _show_all(settings)
    else:
        _show_one(facts_of(settings, name))


def facts_of(settings: Settings, name: str) -> dict[str, Any]:
    """A table's meaning, key, kept versions and columns.

    Raises:
        UnknownTableError: there is no such table.
    """
    from financelake_assets.query.names import dotted, known
    from financelake_assets.query.versions import kept

    spec = known(name)
    oldest, newest = kept(spec, settings) or (None, None)
    columns = [
        {
            "column": field.name,
            "type": str(field.type),
            "key": field.name in spec.key,
            "made_of": [source.replace("/", ".") for source in spec.made_of.get(field.name, ())],
        }
        for field in spec.schema
    ]
    return {
        "name": dotted(spec),
        "description": spec.description,
        "key": list(spec.key),
        "oldest_version": oldest,
        "version": newest,
        "columns": columns,
    }


def _show_all(settings: Settings) -> None:
    from financelake_assets import lake

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("table", "rows", "version", "size", "newest (UTC)", "meaning"):
        table.add_column(name, justify="right" if name in ("rows", "version", "size") else "left")
    for info in lake.tables(settings):
        table.add_row(
            info.name,
            f"{info.rows:,}",
            "" if info.version is None else str(info.version),
            decimal(info.bytes) if info.version is not None else "",
            "" if info.newest is None else f"{info.newest:%Y-%m-%d %H:%M:%S}",
            escape(info.description),
        )
    out.print(table)
    err.print("Next: `financelake tables NAME` for columns, `financelake sql` for queries.")


def _show_one(facts: dict[str, Any]) -> None:
    out.print(f"[bold]{facts['name']}[/bold]  {escape(facts['description'])}")
    kept = f"{facts['oldest_version']} to {facts['version']}" if facts["version"] is not None else "none yet"
    out.print(f"Versions kept: {kept}. Key: {', '.join(facts['key'])}.")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("column", "type", "key", "made of"):
        table.add_column(name)
    for column in facts["columns"]:
        sources = ", ".join(column["made_of"])
        table.add_row(column["column"], column["type"], "key" if column["key"] else "", sources)
    out.print(table)
