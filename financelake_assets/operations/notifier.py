"""Sends alerts to the addresses in the settings, by Apprise: webhooks, e-mail and others. Addresses are secrets."""

from __future__ import annotations

from collections.abc import Callable

import apprise

from financelake_assets.config import AlertSettings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.operations.alerts import Alert, Outbox


class DeliveryFailedError(FinanceLakeError, RuntimeError):
    """At least one address did not accept an alert; the next check sends it again."""


def send(outbox: Outbox, settings: AlertSettings, log: Callable[[str], None]) -> None:
    """Send the contents of the outbox to the log and to every address.

    Raises:
        DeliveryFailedError: an address is wrong or did not accept the alert. The message contains no address.
    """
    messages = [_of(alert) for alert in outbox.alerts] + [("Over", key, "success") for key in outbox.over]
    for title, text, _ in messages:
        log(f"{title}: {text}")
    if not messages or not settings.urls:
        return
    channel = apprise.Apprise()
    for number, url in enumerate(settings.urls, start=1):
        if not channel.add(url.get_secret_value()):
            raise DeliveryFailedError(f"Apprise does not understand alert address {number}")
    failed = [title for title, text, kind in messages if not _notify(channel, title, text, kind)]
    if failed:
        raise DeliveryFailedError(f"not delivered to every address: {'; '.join(failed)}")


def _of(alert: Alert) -> tuple[str, str, str]:
    return alert.title, alert.text, "failure"


def _notify(channel: apprise.Apprise, title: str, text: str, kind: str) -> bool:
    return bool(channel.notify(body=text, title=f"FinanceLake: {title}", notify_type=kind))
