"""The root of FinanceLake's own errors: what is wrong, and what the user can do about it.

A command shows every ``FinanceLakeError`` without a traceback. Any other error is a bug, and its traceback is shown.
"""

from __future__ import annotations


class FinanceLakeError(Exception):
    """An error that a user can correct: ``str()`` says what is wrong, ``remedy`` what to do."""

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
