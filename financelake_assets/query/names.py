"""Names of tables: ``silver.bars``, and ``silver/bars`` as in paths."""

from __future__ import annotations

from difflib import get_close_matches

from financelake_assets.catalogue import TABLES
from financelake_assets.query.errors import UnknownTableError
from financelake_assets.storage.delta import TableSpec


def dotted(spec: TableSpec) -> str:
    """``layer.name``, as in SQL."""
    return f"{spec.layer}.{spec.name}"


CATALOG = "financelake"
"""The name of all tables together, for tools that put one before ``silver.bars``."""

BY_NAME = {dotted(spec): spec for spec in TABLES}
"""Every table of the catalogue by its name in SQL."""


def known(name: str) -> TableSpec:
    """The table with a name.

    Raises:
        UnknownTableError: there is no such table; the message names the nearest one.
    """
    wanted = name.strip().replace('"', "").replace("/", ".").lower().removeprefix(f"{CATALOG}.")
    if wanted in BY_NAME:
        return BY_NAME[wanted]
    same_end = [full for full in BY_NAME if full.split(".")[1] == wanted.rsplit(".", 1)[-1]]
    nearest = same_end or get_close_matches(wanted, BY_NAME, n=1, cutoff=0.5) or _by_ending(wanted)
    remedy = f"Did you mean {nearest[0]}? " if nearest else ""
    raise UnknownTableError(
        f"There is no table {name}.", remedy=f"{remedy}`financelake tables` lists all of them."
    ) from None


def _by_ending(wanted: str) -> list[str]:
    endings = {spec.name: full for full, spec in BY_NAME.items()}
    return [endings[name] for name in get_close_matches(wanted.rsplit(".", 1)[-1], endings, n=1, cutoff=0.6)]
