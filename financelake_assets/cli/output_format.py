"""The output formats of query answers, apart from what writes them: the command line loads faster without it."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """The output format of an answer."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


BINARY = (Format.PARQUET, Format.ARROW)
