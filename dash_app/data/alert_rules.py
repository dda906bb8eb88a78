"""The rule alerts of a lake, for the page: the same functions as ``financelake alerts``.

Input: what a visitor types. Output: rules, a changed file, when a rule would have fired, or a try-out. Names of
addresses are shown, and never an address.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from financelake_assets.alerting import rules_file
from financelake_assets.alerting.addresses import NAME, address, send_to
from financelake_assets.alerting.history import Past, would_have_fired
from financelake_assets.alerting.messages import try_out
from financelake_assets.alerting.rules_file import AlertRule, read_rules
from financelake_assets.config import SECRETS_DIR, Settings, own_secrets
from financelake_assets.errors import FinanceLakeError

_ONE = threading.Lock()
"""A check reads a table and a try-out waits for addresses: one at a time, so that they take no thread from the page."""


class AlertsError(FinanceLakeError):
    """What the page was asked to do with a rule cannot be done; the message says why."""


@dataclass(frozen=True)
class Declared:
    """A rule, and which of the names of its addresses stand for nothing."""

    rule: AlertRule
    unknown: tuple[str, ...]


def changeable(settings: Settings) -> bool:
    """Whether the page may change rules: only where it asks its visitors for a token or a login."""
    return settings.web_token is not None or settings.dashboard.login is not None


def declared(settings: Settings) -> list[Declared]:
    """Every rule of the file.

    Raises:
        RulesFileError: the file is wrong.
    """
    return [
        Declared(rule, tuple(name for name in rule.to if address(name, settings) is None))
        for rule in read_rules(settings.rules_path)
    ]


def names(settings: Settings, rules: list[Declared]) -> list[str]:
    """Names that can be chosen: those that rules have, and the files of secrets that are not the lake's own."""
    found = {name for one in rules for name in one.rule.to}
    for folder in (os.environ.get(SECRETS_DIR), own_secrets.folder(settings.data_dir)):
        try:
            found |= set(os.listdir(folder)) if folder else set()  # noqa: PTH208  # the folder may not be there
        except OSError:
            continue
    return sorted(name for name in found if NAME.fullmatch(name) and not name.startswith("FINANCELAKE_"))


def add(settings: Settings, fields: Mapping[str, Any]) -> str:
    """Declare a rule; what is to be said about it.

    Raises:
        FinanceLakeError: something in it is wrong, or the file cannot be written.
    """
    _may_change(settings)
    first = not settings.rules_path.is_file()
    rule = rules_file.checked(dict(fields))
    with _writing(settings):
        rules_file.add(settings.rules_path, rule)
    said = f"{rule.name} is declared."
    unknown = [name for name in rule.to if address(name, settings) is None]
    if unknown:
        said += f" There is no address {', '.join(unknown)} yet: set the variable for `up`, or write the file."
    if first:
        said += " It is the first rule: the alerter starts with the next `financelake down` and `financelake up`."
    return said


def remove(settings: Settings, name: str) -> AlertRule:
    """Take a rule out of the file; the rule.

    Raises:
        FinanceLakeError: there is no such rule, or the file cannot be written.
    """
    _may_change(settings)
    rule = rules_file.named(read_rules(settings.rules_path), name)
    with _writing(settings):
        rules_file.remove(settings.rules_path, name)
    return rule


def try_addresses(settings: Settings, name: str) -> list[str]:
    """Send a try-out to each address of a rule; a line for each, by its name.

    Raises:
        FinanceLakeError: there is no such rule, or another visitor tries or checks one just now.
    """
    _may_change(settings)
    rule = rules_file.named(read_rules(settings.rules_path), name)
    with _alone():
        answers = {one: send_to(one, settings, *try_out(rule)) for one in rule.to}
    return [f"{one} {'took the try-out' if problem is None else problem}" for one, problem in answers.items()]


def check(settings: Settings, rule: AlertRule) -> Past:
    """When a rule would have fired on what the lake has.

    Raises:
        FinanceLakeError: another visitor tries or checks one just now.
    """
    with _alone():
        return would_have_fired(rule.watch, settings)


def _may_change(settings: Settings) -> None:
    if not changeable(settings):
        raise AlertsError(
            "This page asks nobody for a token or a login, so it changes no rules.",
            remedy="Use `financelake alerts`, or set FINANCELAKE_DASHBOARD__LOGIN.",
        )


@contextmanager
def _writing(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AlertsError(
            f"The page cannot write {settings.rules_path}: {error.strerror or error}.",
            remedy="Use `financelake alerts`, or edit the file.",
        ) from error


@contextmanager
def _alone() -> Iterator[None]:
    if not _ONE.acquire(blocking=False):
        raise AlertsError("Another rule is being checked or tried out.", remedy="Try again in a moment.")
    try:
        yield
    finally:
        _ONE.release()
