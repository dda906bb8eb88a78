"""What rule alerts say. Pure.

Input: a rule, and a bar at which it fired with the values that made it fire. Output: a title and a text; for many
alerts at once, a summary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from financelake_assets.alerting.evaluation import TIME
from financelake_assets.alerting.rules_file import AlertRule

MOST_LINES = 20
"""Alerts of a summary that are told one by one."""


@dataclass(frozen=True)
class Chart:
    """The bar of a series that an alert is about, for its picture."""

    symbol: str
    interval: str
    at: datetime


@dataclass(frozen=True)
class Message:
    """What one alert says. ``id`` is the same for the same rule, series and bar, so that a repeat can be told."""

    id: str
    rule: str
    title: str
    text: str
    chart: Chart | None = None


def fired(rule: AlertRule, row: Mapping[str, Any], earlier: int, page: str) -> Message:
    """The alert of a rule at a bar.

    Args:
        rule: the rule.
        row: the bar, as ``evaluate`` gives it.
        earlier: bars of the series at which it fired too, in the same commit.
        page: the address of FinanceLake Pro.
    """
    series = " ".join(str(row[name]) for name in rule.watch.series if row[name] is not None)
    at: datetime = row[TIME]
    values = [_value(name, row) for name in row if f"before_{name}" in row]
    lines = [f"{series}: {rule.rule}", *values, f"Bar of {_utc(at)}"]
    if earlier:
        lines.append(f"It also fired at {earlier} earlier {'bar' if earlier == 1 else 'bars'} that came with this one.")
    digest = hashlib.sha256("\n".join([rule.name, rule.fingerprint, series, at.isoformat()]).encode()).hexdigest()[:12]
    lines += [link(rule, row, page), f"Alert {digest}"]
    chart = Chart(row["symbol"], row["interval"], at) if "symbol" in rule.watch.series else None
    return Message(digest, rule.name, f"FinanceLake: {rule.name}: {series}", "\n".join(lines), chart)


def unseen(rule: AlertRule, first: int, last: int, table: str) -> Message:
    """Says that a rule did not see some commits, because they are no longer kept."""
    text = (
        f"The alerter did not run for so long that versions {first} to {last} of {table} are no longer kept. "
        f"The rule goes on with version {last + 1}; what it would have fired on before is not known."
    )
    digest = hashlib.sha256(f"{rule.name} {table} {first} {last}".encode()).hexdigest()[:12]
    return Message(digest, rule.name, f"FinanceLake: {rule.name} has missed data", f"{text}\nAlert {digest}")


def try_out(rule: AlertRule) -> tuple[str, str]:
    """A message that tries an address out."""
    return (
        f"FinanceLake: TRY-OUT of {rule.name}",
        f"This is a try-out: the rule has not fired. Alerts of “{rule.rule}” will arrive here.",
    )


def try_address(name: str) -> tuple[str, str]:
    """A message that tries an address out, which no rule needs to have."""
    return (f"FinanceLake: TRY-OUT of {name}", "This is a try-out: no rule has fired. Alerts can arrive here.")


def summary(messages: Sequence[Message], *, after_quiet_hours: bool) -> tuple[str, str]:
    """Title and text of one message for several alerts."""
    why = "in the quiet hours" if after_quiet_hours else "at once"
    shown = [_line(one) for one in messages[-MOST_LINES:]]
    left_out = len(messages) - len(shown)
    if left_out:
        shown.insert(0, f"({left_out} earlier ones are left out)")
    return f"FinanceLake: {len(messages)} alerts {why}", "\n".join(shown)


def _line(message: Message) -> str:
    """An alert without the lines that a summary has no room for."""
    lines = [line for line in message.text.splitlines() if not line.startswith(("http://", "https://"))]
    return f"• {message.rule}: {'; '.join(lines)}"


def link(rule: AlertRule, row: Mapping[str, Any], page: str) -> str:
    """Where FinanceLake Pro shows the series."""
    if rule.watch.rule.source == "portfolio":
        named = {"interval": row["interval"], "class": row["asset_class"], "currency": row["currency"]}
        return f"{page}/portfolio?{urlencode({name: value for name, value in named.items() if value is not None})}"
    return f"{page}/?{urlencode({'symbol': row['symbol'], 'interval': row['interval']})}"


def _value(name: str, row: Mapping[str, Any]) -> str:
    now, before = _shown(row[name]), _shown(row[f"before_{name}"])
    return f"{name} {now}" if now == before else f"{name} {now} (bar before: {before})"


def _shown(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _utc(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
