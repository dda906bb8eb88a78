"""What a user is meant to read when something keeps the lake from running: what is wrong, and what to do."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_settings import SettingsError

from financelake_assets.bronze.access import AccessError
from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.config import SECRETS_DIR
from financelake_assets.storage.store import StoreError


class RuntimeProblem(RuntimeError):  # noqa: N818  # a problem with a remedy, shown as such
    """Something on this machine keeps the lake from running; ``remedy`` says what to do about it."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


EXPECTED = (RuntimeProblem, ValidationError, SettingsError, AccessError, BrokerUnavailableError, StoreError)
"""What is a person's to mend: shown in words, without a stack trace."""


def explained(error: Exception) -> str:
    """The message and, on lines of its own behind an arrow, the remedy. No value of a setting is repeated."""
    message, remedy = str(error), getattr(error, "remedy", "")
    if isinstance(error, ValidationError):
        wrong = [f"{_variable(item['loc'])}: {item['msg']}" for item in error.errors(include_input=False)]
        message = "A setting is wrong:\n  " + "\n  ".join(wrong)
        remedy = "Correct the variable, or unset it for the default."
    elif isinstance(error, SettingsError):
        message, remedy = f"The settings cannot be read: {error}.", f"Look at {SECRETS_DIR}."
    return message + (f"\n  → {remedy}" if remedy else "")


def _variable(place: tuple[int | str, ...]) -> str:
    return "FINANCELAKE_" + "__".join(str(part).upper() for part in place)
