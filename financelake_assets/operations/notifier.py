"""Sends operational alerts to the addresses in the settings, which are secrets (``alerting/addresses.py`` sends).

Input: what is wrong, and what each channel has sent before. Output: what each has sent then. The log is one channel,
and each address is another: if one takes no alert, the others still do, and it gets later what it missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import SecretStr

from financelake_assets.alerting.addresses import Kind, send
from financelake_assets.config import AlertSettings
from financelake_assets.operations.alerts import Alert, Cursor, Outbox, Said, outbox

LOG = "log"


@dataclass(frozen=True)
class Told:
    """What each channel has sent, what the log got now, and the addresses that took nothing, with the reason."""

    said: dict[str, Said]
    logged: Outbox
    deaf: dict[str, str]


def channels(settings: AlertSettings) -> list[str]:
    """The log, and the numbers of the addresses: an address is a secret, its place in the settings is not."""
    return [LOG, *(str(number) for number, _ in enumerate(settings.urls, start=1))]


def tell(
    active: Sequence[Alert], cursor: Cursor, now: float, settings: AlertSettings, log: Callable[[str], None]
) -> Told:
    """Send what is due on each channel.

    Args:
        active: what is wrong now.
        cursor: what each channel sent before.
        now: seconds since the epoch.
        settings: the addresses, and how often a lasting condition is repeated.
        log: writes a line of the lake's log.
    """
    logged = outbox(active, cursor.get(LOG, {}), now, settings)
    for title, text, _ in _messages(logged):
        log(f"{title}: {text}")
    told: dict[str, Said] = {LOG: logged.said}
    deaf: dict[str, str] = {}
    numbers = channels(settings)[1:]
    if not numbers:
        return Told(told, logged, deaf)

    def sent(number: str, url: SecretStr) -> tuple[Said, str | None]:
        before = cursor.get(number, {})
        return _send(outbox(active, before, now, settings), before, url)

    # at once: each that does not answer takes seconds, and a sensor's tick has a minute
    with ThreadPoolExecutor(max_workers=len(numbers)) as pool:
        answers = list(pool.map(sent, numbers, settings.urls))
    for number, (said, reason) in zip(numbers, answers, strict=True):
        told[number] = said
        if reason:
            deaf[number] = reason
            log(f"alert address {number} {reason}; the next check sends it what it missed")
    return Told(told, logged, deaf)


def _send(out: Outbox, before: Said, url: SecretStr) -> tuple[Said, str | None]:
    """Send to one address until it does not take one; what it has said then, and what is wrong with it."""
    messages = _messages(out)
    keys = [*(alert.key for alert in out.alerts), *out.over]
    for place, (title, text, kind) in enumerate(messages):
        if reason := send(url, f"FinanceLake: {title}", text, kind):
            missed = set(keys[place:])
            kept = {key: at for key, at in out.said.items() if key not in missed}
            return kept | {key: before[key] for key in missed if key in before}, reason
    return out.said, None


def _messages(out: Outbox) -> list[tuple[str, str, Kind]]:
    alerts: list[tuple[str, str, Kind]] = [(alert.title, alert.text, "failure") for alert in out.alerts]
    return alerts + [("Over", key, "success") for key in out.over]
