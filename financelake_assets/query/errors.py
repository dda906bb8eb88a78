"""Errors of queries, with messages for the person who asked."""

from __future__ import annotations

from financelake_assets.errors import FinanceLakeError


class QueryError(FinanceLakeError, ValueError):
    """A query that the lake cannot answer; the message says why."""


class ReadOnlyError(QueryError):
    """A query that would change something."""


class QueryTimeoutError(QueryError):
    """A query that exceeded its time limit."""


class UnknownTableError(QueryError):
    """No table of that name; the message names the nearest one."""


class VersionGoneError(QueryError):
    """A version that never existed, or that maintenance deleted; the message says which versions are kept."""
