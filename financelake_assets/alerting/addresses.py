"""Addresses of people, by Apprise: Telegram, Discord, Slack, e-mail, webhooks. They are secrets and have names.

Input: the name of an address, or the address; a message. Output: whether it was taken. An address is never told.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import SecretStr

from financelake_assets.config import SECRETS_DIR, Settings, own_secrets

if TYPE_CHECKING:
    from apprise import Apprise

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""Of an environment variable, and of a file."""

TOOK_NONE = "took no alert"
Picture = Callable[[], bytes | None]
"""Makes a PNG; it is asked only where the address takes pictures."""
Kind = Literal["info", "success", "warning", "failure"]

_UNSAID: ContextVar[bool] = ContextVar("_UNSAID", default=False)
logging.getLogger("apprise").addFilter(lambda _: not _UNSAID.get())


def folders(settings: Settings) -> list[Path]:
    """Where files of addresses are looked for, in this order."""
    given = os.environ.get(SECRETS_DIR)
    found = [*([Path(given)] if given else []), own_secrets.folder(settings.data_dir), settings.addresses_dir]
    return list(dict.fromkeys(found))


def address(name: str, settings: Settings) -> SecretStr | None:
    """The address that a name stands for; ``None`` where nothing has it.

    An environment variable comes first, then a file of that name in ``FINANCELAKE_SECRETS_DIR``, then one in the
    lake's own folder of secrets, then one in the folder of addresses, where that is another.
    """
    if not NAME.fullmatch(name):
        return None
    found = os.environ.get(name, "").strip() or None
    if found is None and (file := file_of(name, settings)) is not None:
        found = own_secrets.read(file)
    return None if found is None else SecretStr(found)


def file_of(name: str, settings: Settings) -> Path | None:
    """The file that holds the address of a name, where no variable does; ``None`` where there is none."""
    return next((folder / name for folder in folders(settings) if own_secrets.read(folder / name)), None)


def send_to(name: str, settings: Settings, title: str, text: str, picture: Picture | None = None) -> str | None:
    """Send a message to the address that a name stands for; what is wrong, or ``None`` if it took the message."""
    to = address(name, settings)
    return (
        "has no environment variable and no file of the secrets"
        if to is None
        else send(to, title, text, "info", picture)
    )


def understood(to: SecretStr) -> Apprise | None:
    """What sends to an address; ``None`` where Apprise does not understand it.

    Apprise's log would quote an address that it does not understand.
    """
    import apprise  # takes a while, and the page, which knows the names of addresses, hardly ever needs it

    channel = apprise.Apprise()
    with _unsaid():
        return channel if channel.add(to.get_secret_value()) and len(channel) else None


@contextmanager
def _unsaid() -> Iterator[None]:
    """Keep Apprise's log silent in this thread."""
    before = _UNSAID.set(True)
    try:
        yield
    finally:
        _UNSAID.reset(before)


def send(to: SecretStr, title: str, text: str, kind: Kind, picture: Picture | None = None) -> str | None:
    """Send a message to an address; what is wrong with the address, or ``None`` if it took the message.

    It waits some seconds at most for an address that does not answer, if Apprise's service has a time-out.
    """
    import apprise
    from apprise.attachment.memory import AttachMemory

    channel = understood(to)
    if channel is None:
        return "is not an address that Apprise understands"
    shown = picture() if picture is not None and any(one.attachment_support for one in channel) else None
    sent = channel.notify(
        body=text,
        title=title,
        notify_type=apprise.NotifyType(kind),
        body_format=apprise.NotifyFormat.TEXT,
        attach=None if shown is None else AttachMemory(shown, name="chart.png", mimetype="image/png"),
    )
    return None if sent else TOOK_NONE
