"""Addresses of people, by Apprise: Telegram, Discord, Slack, e-mail, webhooks. They are secrets and have names.

Input: the name of an address, or the address; a message. Output: whether it was taken. An address is never told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from financelake_assets.config import SECRETS_DIR, Settings, own_secrets

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""Of an environment variable, and of a file."""

TOOK_NONE = "took no alert"
Picture = Callable[[], bytes | None]
"""Makes a PNG; it is asked only where the address takes pictures."""
Kind = Literal["info", "success", "warning", "failure"]


def address(name: str, settings: Settings) -> SecretStr | None:
    """The address that a name stands for; ``None`` where nothing has it.

    An environment variable comes first, then a file of that name in ``FINANCELAKE_SECRETS_DIR``, then one in the
    lake's own folder of secrets.
    """
    if not NAME.fullmatch(name):
        return None
    found = os.environ.get(name, "").strip() or None
    for folder in (os.environ.get(SECRETS_DIR), own_secrets.folder(settings.data_dir)):
        if found is None and folder:
            found = own_secrets.read(Path(folder, name))
    return None if found is None else SecretStr(found)


def send_to(name: str, settings: Settings, title: str, text: str, picture: Picture | None = None) -> str | None:
    """Send a message to the address that a name stands for; what is wrong, or ``None`` if it took the message."""
    to = address(name, settings)
    return (
        "has no environment variable and no file of the secrets"
        if to is None
        else send(to, title, text, "info", picture)
    )


def send(to: SecretStr, title: str, text: str, kind: Kind, picture: Picture | None = None) -> str | None:
    """Send a message to an address; what is wrong with the address, or ``None`` if it took the message.

    It waits some seconds at most for an address that does not answer, if Apprise's service has a time-out.
    """
    import apprise  # takes a while, and the page, which knows the names of addresses, hardly ever needs it
    from apprise.attachment.memory import AttachMemory

    channel = apprise.Apprise()
    if not channel.add(to.get_secret_value()):
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
