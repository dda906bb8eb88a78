"""Error texts: the message, and the remedy after an arrow."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_settings import SettingsError

from financelake_assets.config import SECRETS_DIR
from financelake_assets.errors import FinanceLakeError

EXPECTED = (FinanceLakeError, ValidationError, SettingsError)
"""Errors that a user can correct: shown without a traceback."""


def explained(error: Exception) -> str:
    """The message and, on a new line after an arrow, the remedy. It contains no value of a setting."""
    message, remedy = str(error), getattr(error, "remedy", "")
    if isinstance(error, ValidationError):
        wrong = [f"{_variable(item['loc'])}: {item['msg']}" for item in error.errors(include_input=False)]
        message = "A setting is wrong:\n  " + "\n  ".join(wrong)
        remedy = "Correct the variable, or unset it for the default."
    elif isinstance(error, SettingsError):
        message, remedy = f"The settings cannot be read: {error}.", f"Check {SECRETS_DIR}."
    return message + (f"\n  → {remedy}" if remedy else "")


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """``Did you mean AAPL? ``, or nothing where no known name is like it."""
    folded = {one.casefold(): one for one in known}
    found = get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return f"Did you mean {folded[found[0]]}? " if found else ""


def _variable(place: tuple[int | str, ...]) -> str:
    return "FINANCELAKE_" + "__".join(str(part).upper() for part in place)
