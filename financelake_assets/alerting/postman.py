"""Brings the alerts of one address to it, in a thread of its own: an address that is dead or slow delays no other.

Input: the outbox. Output: messages. An address that takes none is tried again after a while that grows to five minutes.
Quiet hours hold alerts; what they held comes as one message after them, and so do many alerts at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog

from financelake_assets.alerting import messages
from financelake_assets.alerting.addresses import Picture, send_to
from financelake_assets.alerting.outbox import Outbox, Waiting
from financelake_assets.alerting.picture import of_chart
from financelake_assets.alerting.rules_file import AlertRule
from financelake_assets.config import Settings

MOST_SINGLE = 5
"""Alerts that wait at once are sent one by one up to here; more come as one message."""

_LONGEST_WAIT_S = 300.0
_LOOK_S = 30.0
"""How often it looks whether quiet hours are over."""

Rules = Callable[[], Mapping[str, AlertRule]]

log = structlog.get_logger()


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Postman(threading.Thread):
    """One address. ``problem`` says why it took nothing, and never what it is."""

    def __init__(self, name: str, settings: Settings, outbox: Outbox, rules: Rules) -> None:
        super().__init__(name=f"alerts to {name}", daemon=True)  # one that hangs must not keep the process
        self._address, self._settings, self._outbox, self._rules = name, settings, outbox, rules
        self._wake, self._ended = threading.Event(), threading.Event()
        self._failures = 0
        self.problem: str | None = None

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def stop(self) -> None:
        """End after the message that is on its way."""
        self._ended.set()
        self._wake.set()

    def run(self) -> None:
        """Send until told to stop."""
        while not self._ended.is_set():
            try:
                again = self.round()
            except Exception as error:
                log.exception("an address's alerts wait", address=self._address)
                self.problem = f"cannot be served: {type(error).__name__}"
                again = _LOOK_S
            if again is None:
                self._wake.wait(_LOOK_S)
                self._wake.clear()
            elif again:
                self._ended.wait(again)

    def round(self) -> float | None:
        """Send one message; the seconds until the next try, ``None`` where there is nothing to send."""
        due = self._due()
        if not due:
            return None
        held = any(one.held for one in due)
        chosen = due if held or len(due) > MOST_SINGLE else due[:1]
        if len(chosen) == 1:
            title, text = chosen[0].message.title, chosen[0].message.text
        else:
            title, text = messages.summary([one.message for one in chosen], after_quiet_hours=held)
        why = send_to(self._address, self._settings, title, text, self._picture(chosen))
        if why is None:
            self._outbox.taken([one.number for one in chosen])
            self._failures, self.problem = 0, None
            return 0.0
        if why != self.problem:
            log.warning("an address takes no alert; it is tried again", address=self._address, problem=why)
        self.problem = why
        self._failures += 1
        return min(_LONGEST_WAIT_S, 2.0 ** min(self._failures, 10))

    def _picture(self, chosen: list[Waiting]) -> Picture | None:
        """What draws the chart of one alert. After a failure it is left out: it may be what the address refuses."""
        chart = chosen[0].message.chart
        if len(chosen) > 1 or chart is None or self._failures or not self._settings.alerts.picture:
            return None
        return lambda: of_chart(chart, self._settings)

    def _due(self) -> list[Waiting]:
        """What may be sent now; the rest is noted as held."""
        rules, clock = self._rules(), now()
        waiting = self._outbox.waiting(self._address)

        def quiet(one: Waiting) -> bool:
            rule = rules.get(one.message.rule)
            return rule is not None and rule.quiet is not None and rule.quiet.covers(clock)

        held = [one for one in waiting if quiet(one)]
        self._outbox.hold([one.number for one in held if not one.held])
        return [one for one in waiting if one not in held]
