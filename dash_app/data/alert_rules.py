"""The rule alerts of a lake, for the page: the same functions as ``financelake alerts``.

Input: what a visitor types. Output: rules, a changed file, when a rule would have fired, or a try-out. Names of
addresses are shown, and never an address.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from financelake_assets.alerting import address_book, rules_file
from financelake_assets.alerting.addresses import address, send_to
from financelake_assets.alerting.history import Past, would_have_fired
from financelake_assets.alerting.messages import try_out
from financelake_assets.alerting.rules_file import AlertRule, read_rules
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.supervision import health

NO_WAY_OUT = "If this page has no way out, as in containers, try it by command: docs/alerts.md names it."
"""Said where an address takes nothing: the page cannot tell a closed network from a dead address."""
_REMEDY = "Use `financelake alerts`, or edit the file."
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
    named = {name for one in rules for name in one.rule.to}
    return sorted(named | {one.name for one in address_book.listed(settings)})


def add(settings: Settings, fields: Mapping[str, Any]) -> str:
    """Declare a rule; what is to be said about it.

    Raises:
        FinanceLakeError: something in it is wrong, or the file cannot be written.
    """
    may_change(settings)
    first = not settings.rules_path.is_file()
    rule = rules_file.checked(dict(fields))
    with writing(settings.rules_path, _REMEDY):
        rules_file.add(settings.rules_path, rule)
    said = f"{rule.name} is declared."
    unknown = [name for name in rule.to if address(name, settings) is None]
    if unknown:
        said += f" There is no address {', '.join(unknown)} yet: set one up below, or set the variable for `up`."
    if first and health.alerter(settings) is not None:  # in containers it always runs
        said += " It is the first rule: the alerter starts with the next `financelake down` and `financelake up`."
    return said


def remove(settings: Settings, name: str) -> AlertRule:
    """Take a rule out of the file; the rule.

    Raises:
        FinanceLakeError: there is no such rule, or the file cannot be written.
    """
    may_change(settings)
    rule = rules_file.named(read_rules(settings.rules_path), name)
    with writing(settings.rules_path, _REMEDY):
        rules_file.remove(settings.rules_path, name)
    return rule


def try_addresses(settings: Settings, name: str) -> list[str]:
    """Send a try-out to each address of a rule; a line for each, by its name.

    Raises:
        FinanceLakeError: there is no such rule, or another visitor tries or checks one just now.
    """
    may_change(settings)
    rule = rules_file.named(read_rules(settings.rules_path), name)
    with alone():
        answers = {one: send_to(one, settings, *try_out(rule)) for one in rule.to}
    said = [f"{one} {'took the try-out' if problem is None else problem}" for one, problem in answers.items()]
    return said if not any(answers.values()) else [*said, NO_WAY_OUT]


def check(settings: Settings, rule: AlertRule) -> Past:
    """When a rule would have fired on what the lake has.

    Raises:
        FinanceLakeError: another visitor tries or checks one just now.
    """
    with alone():
        return would_have_fired(rule.watch, settings)


def may_change(settings: Settings) -> None:
    """Refuse a change where the page asks its visitors for nothing.

    Raises:
        AlertsError: it does.
    """
    if not changeable(settings):
        raise AlertsError(
            "This page asks nobody for a token or a login, so it changes no rules and no addresses.",
            remedy="Use `financelake alerts`, or set FINANCELAKE_DASHBOARD__LOGIN.",
        )


@contextmanager
def writing(place: Path, remedy: str) -> Iterator[None]:
    """Say why the page cannot write a place, and what to do instead.

    Raises:
        AlertsError: it cannot.
    """
    try:
        yield
    except OSError as error:
        raise AlertsError(f"The page cannot write {place}: {error.strerror or error}.", remedy=remedy) from error


@contextmanager
def alone() -> Iterator[None]:
    """The turn of one check or try-out.

    Raises:
        AlertsError: another visitor has it.
    """
    if not _ONE.acquire(blocking=False):
        raise AlertsError("Another rule or address is being checked or tried out.", remedy="Try again in a moment.")
    try:
        yield
    finally:
        _ONE.release()
