"""A question that only the user can answer, with the option that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from financelake_assets.providers.base import ProviderError


@dataclass(frozen=True)
class Question:
    """What is not known of a file: ``option`` of ``financelake ingest`` answers it, perhaps with one of ``choices``."""

    text: str
    option: str = ""
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


class UnsureError(ProviderError):
    """A guess could be wrong: nothing is published until the user answers."""

    def __init__(self, text: str, option: str = "", choices: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.questions: tuple[Question, ...] = (Question(text, option, choices),)

    @classmethod
    def of(cls, errors: Sequence[UnsureError]) -> UnsureError:
        """Several questions of one file as one error."""
        if len(errors) == 1:
            return errors[0]
        error = cls("; ".join(str(one) for one in errors))
        error.questions = tuple(question for one in errors for question in one.questions)
        return error
