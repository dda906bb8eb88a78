"""The one error of the runtime that a user is meant to read: what is wrong, and what to do."""

from __future__ import annotations


class RuntimeProblem(RuntimeError):  # noqa: N818  # a problem with a remedy, shown as such
    """Something on this machine keeps the lake from running; ``remedy`` says what to do about it."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
