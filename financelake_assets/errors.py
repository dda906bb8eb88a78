"""The root of FinanceLake's own errors: what is wrong, and what a person can do about it.

A command shows every ``FinanceLakeError`` in words, without a traceback. Anything else is a bug, and shown as one.
"""

from __future__ import annotations


class FinanceLakeError(Exception):
    """Something that a person can mend: ``str()`` says what is wrong, ``remedy`` what to do about it."""

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
