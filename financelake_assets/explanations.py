"""Errors in words: the message, and the remedy behind an arrow."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_settings import SettingsError

from financelake_assets.config import SECRETS_DIR
from financelake_assets.errors import FinanceLakeError

EXPECTED = (FinanceLakeError, ValidationError, SettingsError)
"""What a person can mend: shown in words, without a traceback."""


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
