"""What can go wrong with a question to the lake, in words for who asked it."""

from __future__ import annotations

from financelake_assets.errors import FinanceLakeError


class QueryError(FinanceLakeError, ValueError):
    """A question that the lake cannot answer; the message says why."""


class ReadOnlyError(QueryError):
    """A query that would change something."""


class QueryTimeoutError(QueryError):
    """A query that took longer than it was given."""


class UnknownTableError(QueryError):
    """No table of that name; the message names the nearest one."""


class VersionGoneError(QueryError):
    """A version that was never there, or that maintenance cleaned up; the message says what is kept."""
