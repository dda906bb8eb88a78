"""Addresses of people that the page and the command set up: a secret file each, which only its owner reads.

Input: a name and an Apprise address. Output: a file in ``Settings.addresses_dir``; and the list of all addresses by
name, kind and day. An address is never told: not in an error, and not in a list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from pydantic import SecretStr

from financelake_assets.alerting.addresses import NAME, address, file_of, folders, understood
from financelake_assets.alerting.rules_file import read_rules
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.files import is_own_folder, locked, write_whole

COMMON = {
    "tgram": ("Telegram", "tgram://BOT_TOKEN/CHAT_ID"),
    "discord": ("Discord", "discord://WEBHOOK_ID/WEBHOOK_TOKEN"),
    "slack": ("Slack", "slack://TOKEN_A/TOKEN_B/TOKEN_C"),
    "mailto": ("e-mail", "mailto://USER:PASSWORD@example.org"),
    "mailtos": ("e-mail", "mailtos://USER:PASSWORD@example.org"),
    "json": ("webhook", "json://HOST/PATH"),
    "jsons": ("webhook", "jsons://HOST/PATH"),
    "ntfy": ("ntfy", "ntfy://TOPIC"),
    "ntfys": ("ntfy", "ntfys://TOKEN@HOST/TOPIC"),
    "pover": ("Pushover", "pover://USER_KEY@TOKEN"),
    "matrixs": ("Matrix", "matrixs://USER:PASSWORD@HOST/#ROOM"),
}
"""Kinds that most people have: what an address begins with, what it is, and how it is written."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9]{0,19})://")
_LONGEST = 4000
"""Characters of an address; Apprise's own are far shorter."""
_LOCK_SECONDS = 10.0
_OURS = "FINANCELAKE_"
"""How the names of the lake's own secrets begin, which are in the same folder."""
_LOOKS = f"Write it as one of these: {', '.join(form for _, form in COMMON.values())}. docs/alerts.md names more."


class AddressError(FinanceLakeError, ValueError):
    """An address cannot be set up or removed; the message says why, and never what the address is."""


@dataclass(frozen=True)
class Known:
    """An address as it may be shown: its name, its kind, since when its file is so, and whether it can be removed."""

    name: str
    kind: str
    since: datetime | None
    """``None`` for a variable of the environment."""
    removable: bool
    """Whether it is one of those that the page and the command set up."""

    def __str__(self) -> str:
        """Such as ``Telegram, set up 2026-11-28``."""
        return f"{self.kind}, {'a variable' if self.since is None else f'set up {self.since:%Y-%m-%d}'}"


def is_address_name(name: str) -> bool:
    """Whether an address may have a name; those of the lake's own secrets are no addresses."""
    return NAME.fullmatch(name) is not None and not name.upper().startswith(_OURS)


def listed(settings: Settings, named: Iterable[str] = ()) -> list[Known]:
    """Every address in a file, and each of ``named`` that is one, by name. Files that hold no address are left out."""
    found = set(named)
    for folder in folders(settings):
        with suppress(OSError):
            found |= set(os.listdir(folder))  # noqa: PTH208  # the folder may not be there
    return [one for name in sorted(found) if (one := known(settings, name))]


def known(settings: Settings, name: str) -> Known | None:
    """What may be shown of the address that a name stands for; ``None`` where nothing has it, or no address."""
    if not is_address_name(name):
        return None
    try:
        to = address(name, settings)
        kind = None if to is None else _kind(to)
        if kind is None:
            return None
        file = None if os.environ.get(name, "").strip() else file_of(name, settings)
        if file is None:
            return Known(name, kind, None, removable=False)
        since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except (OSError, UnicodeDecodeError):  # a folder, a file that is no text, or one that is removed just now
        return None
    return Known(name, kind, since, removable=file.parent == settings.addresses_dir)


def named(settings: Settings, name: str) -> Known:
    """The address of a name.

    Raises:
        AddressError: there is none; the message names the nearest one.
    """
    found = known(settings, name)
    if found is None:
        names = [one.name for one in listed(settings)]
        near = get_close_matches(name, names, n=1) or names
        remedy = f"Known: {', '.join(near)}." if near else "None is set up: `financelake alerts address add`."
        raise AddressError("There is no address of that name.", remedy=remedy)
    return found


def set_up(settings: Settings, name: str, to: SecretStr, *, replace: bool = False) -> Known:
    """Keep an address under a name.

    Args:
        settings: of the lake.
        name: as rules will have it in ``to``.
        to: as Apprise reads it.
        replace: an address of that name, which was set up so too, is replaced.

    Raises:
        AddressError: the name cannot be used or is taken, Apprise does not understand the address, or the folder is
            open to others.
        OSError: the folder cannot be written.
    """
    if not is_address_name(name):  # which is not told: it may be the address, in the wrong field
        raise AddressError(
            "The name of an address cannot be used.",
            remedy="Write letters, digits and _, such as OPS_MAIL: no digit first, at most 64, not FINANCELAKE_….",
        )
    text = _one_line(to)
    kind = _checked_kind(SecretStr(text))
    folder = _closed(settings.addresses_dir)
    with locked(folder / ".addresses.lock", _LOCK_SECONDS):
        _refuse_taken(settings, name, replace=replace)
        write_whole(folder / name, f"{text}\n", private=True)
    return Known(name, kind, datetime.now(UTC), removable=True)


def remove(settings: Settings, name: str) -> None:
    """Delete the address of a name.

    Raises:
        AddressError: there is none, a rule sends to it, or it was not set up by the page or the command.
        RulesFileError: the file of rules is wrong, so nobody knows who sends to it.
        OSError: the folder cannot be written.
    """
    found = named(settings, name)
    if not found.removable:
        where = "a variable of the environment" if found.since is None else "a secret that was not set up here"
        raise AddressError(f"{name} is {where}.", remedy="Take it away where it was set.")
    users = [rule.name for rule in read_rules(settings.rules_path) if name in rule.to]
    if users:
        raise AddressError(
            f"{name} is still used by {'a rule' if len(users) == 1 else 'rules'}: {', '.join(users)}.",
            remedy="Remove them first. To change where they send to, replace the address.",
        )
    (settings.addresses_dir / name).unlink()


def _one_line(to: SecretStr) -> str:
    text = to.get_secret_value().strip()
    if not text:
        raise AddressError("There is no address.", remedy=_LOOKS)
    if len(text) > _LONGEST or not text.isprintable():
        raise AddressError(f"An address is one line of at most {_LONGEST} characters.", remedy=_LOOKS)
    return text


def _checked_kind(to: SecretStr) -> str:
    """The kind of an address that Apprise understands; others are refused, by what is wrong with them."""
    scheme = _scheme(to)
    if scheme is None:
        raise AddressError("An address begins with its kind and ://, and this one does not.", remedy=_LOOKS)
    channel = understood(to)
    if channel is not None and len(channel) == 1:
        return _kind(to) or scheme
    if scheme in COMMON:
        kind, form = COMMON[scheme]
        raise AddressError(f"Apprise does not understand this {kind} address.", remedy=f"Write it as {form}.")
    near = get_close_matches(scheme, COMMON, n=1)
    raise AddressError(
        "Apprise does not understand this address, or does not know its kind.",
        remedy=f"Did you mean {near[0]}://? {_LOOKS}" if near else _LOOKS,
    )


def _kind(to: SecretStr) -> str | None:
    """The kind of an address, by what it begins with; ``None`` where it does not look like one."""
    scheme = _scheme(to)
    return COMMON[scheme][0] if scheme in COMMON else scheme


def _scheme(to: SecretStr) -> str | None:
    begin = _SCHEME.match(to.get_secret_value())
    return None if begin is None else begin[1].lower()


def _closed(folder: Path) -> Path:
    """The folder, made where it is missing, if nobody else can enter it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_own_folder(folder) or folder.stat().st_mode & 0o077:
        raise AddressError(
            f"Others can enter the folder of addresses, {folder}, or it is a link.",
            remedy=f"Make it your own: chmod 700 {folder}",
        )
    return folder


def _refuse_taken(settings: Settings, name: str, *, replace: bool) -> None:
    if address(name, settings) is None:
        return
    found = known(settings, name)
    if found is None or not found.removable:
        raise AddressError(
            f"{name} is a variable of the environment or a secret that was not set up here.",
            remedy="Choose another name.",
        )
    if not replace:
        raise AddressError(f"There is an address {name} already.", remedy="Choose another name, or replace it.")
