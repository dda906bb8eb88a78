"""The addresses of a lake's alerts, for the page: the same functions as ``financelake alerts address``.

Input: what a visitor types. Output: a secret file that is written or deleted, or a try-out. An address comes in once
and never goes out: what is said names its name and kind alone.
"""

from __future__ import annotations

from pydantic import SecretStr

from dash_app.data.alert_rules import NO_WAY_OUT, alone, may_change, writing
from financelake_assets.alerting import address_book
from financelake_assets.alerting.address_book import Known
from financelake_assets.alerting.addresses import send_to
from financelake_assets.alerting.messages import try_address
from financelake_assets.alerting.rules_file import read_rules
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

_REMEDY = "Use `financelake alerts address add`."


def listed(settings: Settings) -> list[Known]:
    """Every address that has a name, those that are variables of rules too."""
    try:
        named = [name for rule in read_rules(settings.rules_path) for name in rule.to]
    except FinanceLakeError:  # the list of rules says what is wrong with their file
        named = []
    return address_book.listed(settings, named)


def add(settings: Settings, name: str, to: SecretStr, *, replace: bool) -> str:
    """Set an address up; what is to be said about it.

    Raises:
        FinanceLakeError: the name or the address cannot be used, or the folder cannot be written.
    """
    may_change(settings)
    with writing(settings.addresses_dir, _REMEDY):
        found = address_book.set_up(settings, name, to, replace=replace)
    return f"{found.name} is set up: {found.kind}. Try it, then choose it in a rule."


def remove(settings: Settings, name: str) -> str:
    """Delete an address; what is to be said about it.

    Raises:
        FinanceLakeError: there is none, a rule uses it, or the folder cannot be written.
    """
    may_change(settings)
    with writing(settings.addresses_dir, "Use `financelake alerts address remove`."):
        address_book.remove(settings, name)
    return f"{name} is removed."


def try_out(settings: Settings, name: str) -> str:
    """Send a try-out to an address; what came of it.

    Raises:
        FinanceLakeError: there is no such address, or another visitor tries or checks one just now.
    """
    may_change(settings)
    address_book.named(settings, name)
    with alone():
        problem = send_to(name, settings, *try_address(name))
    return f"{name} took the try-out" if problem is None else f"{name} {problem}. {NO_WAY_OUT}"
