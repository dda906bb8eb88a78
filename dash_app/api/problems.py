"""Errors of the API: a JSON object with a message, and a remedy for the person who reads it.

Input: what went wrong. Output: an answer with ``message`` and ``remedy``. It tells nothing about the machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from flask import Response
from werkzeug.exceptions import HTTPException

from financelake_assets.errors import FinanceLakeError

PREFIX = "/api/"
"""What every path of the API begins with."""

_REMEDIES = {
    400: "See /api/v1/openapi.json for the parameters.",
    404: "See /api/v1/openapi.json for the addresses.",
    405: "The API only reads: use GET.",
}


class ApiError(FinanceLakeError):
    """A request that the API does not answer with rows."""

    def __init__(self, status: int, message: str, *, remedy: str, retry_seconds: int | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.retry_seconds = retry_seconds

    def response(self) -> Response:
        """The answer to send."""
        headers = {} if self.retry_seconds is None else {"Retry-After": str(self.retry_seconds)}
        return problem(self.status, str(self), self.remedy, headers)


def problem(status: int, message: str, remedy: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that says what is wrong, and what to do."""
    body = orjson.dumps({"message": message, "remedy": remedy})
    return Response(body, status, dict(headers or {}), mimetype="application/json")


def of_exception(error: HTTPException) -> Response:
    """A refusal of Flask's, in the words of the API."""
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return problem(status, error.description or error.name, _REMEDIES.get(status, "See the dashboard's log."), headers)
