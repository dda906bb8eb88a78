"""The file of rule alerts: ``<data_dir>/alerts.yaml``.

    alerts:
      - name: btc-100k
        rule: close crosses above 100000
        symbols: [BTC-USD]
        interval: 1d
        to: [OPS_TELEGRAM]
        quiet: {start: "22:00", end: "07:00", zone: Europe/Berlin}

Input: the file. Output: validated rules, or an error that names line and field. ``add`` and ``remove`` change only the
lines of one rule, so that a person's comments stay. Addresses are secrets and never in the file: ``to`` names them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime, time
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from financelake_assets.alerting.addresses import NAME
from financelake_assets.alerting.evaluation import Watch
from financelake_assets.alerting.language import nearest, parse
from financelake_assets.errors import FinanceLakeError
from financelake_assets.files import locked, write_whole
from financelake_assets.intervals import BAR_LENGTHS
from financelake_assets.providers.base import SYMBOL
from financelake_assets.yaml_places import child, refuse_twice, where

_HEADING = """# Rule alerts, see docs/alerts.md. `to` names variables or files that hold the addresses (secrets).
alerts:
"""
_LOCK_SECONDS = 10.0


class RulesFileError(FinanceLakeError, ValueError):
    """The file of rule alerts cannot be used; the message names each line and field that is wrong."""


class Quiet(BaseModel):
    """Hours of each day, on the clock of a time zone, in which nothing is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: time
    end: time
    zone: str = Field(description="such as Europe/Berlin")

    @field_validator("start", "end", mode="before")
    @classmethod
    def _clock(cls, value: object) -> object:
        """YAML reads an unquoted 22:30 as a number in base sixty."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
            return time(value // 60, value % 60)
        if isinstance(value, time) or (isinstance(value, str) and re.fullmatch(r"\d{1,2}:\d{2}", value.strip())):
            return value if isinstance(value, time) else value.strip().zfill(5)
        raise ValueError("write a time of day such as 22:00")

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        known = available_timezones()
        if value not in known:
            near = get_close_matches(value, known, n=1) or ["Europe/Berlin or UTC"]
            raise ValueError(f"no time zone {value!r}; write one such as {near[0]}")
        return value

    @model_validator(mode="after")
    def _has_a_length(self) -> Quiet:
        if self.start == self.end:
            raise ValueError("start and end are the same time: that is no time or the whole day")
        return self

    def covers(self, now: datetime) -> bool:
        """Whether a moment is in the quiet hours; the end is not."""
        clock = now.astimezone(ZoneInfo(self.zone)).time()
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


class AlertRule(BaseModel):
    """One rule, and whom it tells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    rule: str
    symbols: tuple[str, ...] = ()
    interval: str | None = None
    to: tuple[str, ...] = Field(min_length=1)
    quiet: Quiet | None = None

    @field_validator("rule")
    @classmethod
    def _understood(cls, value: str) -> str:
        parse(value)
        return value

    @field_validator("symbols", "to", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("symbols")
    @classmethod
    def _look_like_symbols(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(one.strip().upper() for one in value)
        wrong = [one for one in found if not SYMBOL.match(one)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no symbol")
        return found

    @field_validator("interval")
    @classmethod
    def _known_interval(cls, value: str | None) -> str | None:
        if value is not None and value not in BAR_LENGTHS:
            raise ValueError(f"{value!r} is no interval. {nearest(value, list(BAR_LENGTHS))}")
        return value

    @field_validator("to")
    @classmethod
    def _names_and_no_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(NAME.fullmatch(one) for one in value):  # what it is must not be told: it may be an address
            raise ValueError(
                "`to` holds what is no name. An address is a secret: put it into an environment variable or a file of "
                "the lake's secrets, and write the name of that here (letters, digits and _)"
            )
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _an_account_has_no_symbol(self) -> AlertRule:
        if self.symbols and "symbol" not in self.watch.series:
            raise ValueError("a rule on the portfolio has no symbols: an account holds an asset class")
        return self

    @cached_property
    def watch(self) -> Watch:
        """The rule with the series that it is asked of."""
        return Watch(parse(self.rule), self.symbols, () if self.interval is None else (self.interval,))

    @property
    def fingerprint(self) -> str:
        """What the rule looks at: another one begins anew."""
        told = repr((self.watch.rule, sorted(self.symbols), self.interval))
        return hashlib.sha256(told.encode()).hexdigest()[:16]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    alerts: list[AlertRule] = []

    @field_validator("alerts")
    @classmethod
    def _each_once(cls, value: list[AlertRule]) -> list[AlertRule]:
        refuse_twice(one.name for one in value)
        return value

    @field_validator("alerts", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return value or []


def read_rules(path: Path) -> list[AlertRule]:
    """The rules of a file; none where there is no file.

    Raises:
        RulesFileError: it cannot be read, or something in it is wrong.
    """
    try:
        return _parsed(path, path.read_text("utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise RulesFileError(f"the file of rule alerts {path} cannot be read: {error}") from error


def _parsed(path: Path, text: str) -> list[AlertRule]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f" in line {place.line + 1}" if place is not None else ""
        # PyYAML's own message quotes the line, which may hold an address
        raise RulesFileError(f"the file of rule alerts {path} is not YAML{line}.") from None
    if not isinstance(content, dict | None):
        raise RulesFileError(f"the file of rule alerts {path} has no list `alerts:`.")
    try:
        return _File.model_validate(content or {}).alerts
    except ValidationError as error:
        tree = yaml.compose(text, yaml.SafeLoader)
        wrong = "\n".join(_indented(f"{where(tree, one['loc'], 'alerts')}: {one['msg']}") for one in error.errors())
        # the input of a field may be an address: it must not be in a traceback
        raise RulesFileError(f"the file of rule alerts {path} cannot be used:\n{wrong}") from None


def _indented(text: str) -> str:
    """A message of several lines below each other: a rule with its mark stays in line."""
    head, _, rest = text.partition("Value error, ")
    lines = (head + rest).splitlines()
    if len(lines) == 1:
        return f"  {lines[0]}"
    return "\n".join([f"  {head.rstrip()}", *(f"    {line}" for line in rest.splitlines())])


def named(rules: Sequence[AlertRule], name: str) -> AlertRule:
    """The rule of a name.

    Raises:
        RulesFileError: there is none; the message names the nearest one.
    """
    for rule in rules:
        if rule.name == name:
            return rule
    names = [rule.name for rule in rules]
    remedy = nearest(name, names) if names else "No rule is declared: `financelake alerts add`."
    raise RulesFileError(f"There is no rule alert {name!r}.", remedy=remedy)


def checked(fields: dict[str, Any]) -> AlertRule:
    """A rule from its fields, as a command gives them.

    Raises:
        RulesFileError: something in it is wrong.
    """
    try:
        return AlertRule.model_validate(fields)
    except ValidationError as error:
        wrong = "\n".join(_indented(f"{'.'.join(map(str, one['loc']))}: {one['msg']}") for one in error.errors())
        raise RulesFileError(f"the rule alert cannot be used:\n{wrong}") from None


def add(path: Path, rule: AlertRule) -> None:
    """Append a rule to the file, which is made where there is none.

    Raises:
        RulesFileError: a rule has that name, the file is wrong, or it is written in a way that this cannot extend.
    """
    entry = rule.model_dump(mode="json", exclude_defaults=True)
    if rule.quiet is not None:
        entry["quiet"] |= {"start": f"{rule.quiet.start:%H:%M}", "end": f"{rule.quiet.end:%H:%M}"}
    text = yaml.safe_dump([entry], allow_unicode=True, sort_keys=False, width=10_000)

    def appended(before: str) -> str:
        known = _parsed(path, before)
        if any(one.name == rule.name for one in known):
            raise RulesFileError(f"There is a rule alert {rule.name!r} already.", remedy="Remove it first.")
        tree = yaml.compose(before, yaml.SafeLoader) if before.strip() else None
        entries = child(tree, "alerts")
        if entries is None or not getattr(entries, "value", None):
            before, indent = _HEADING if tree is None else f"{_without_list(before)}alerts:\n", 2
        else:
            indent = entries.start_mark.column
        lines = "".join(f"{' ' * indent}{line}\n" for line in text.splitlines())
        return f"{before.rstrip()}\n{lines}"

    _changed(path, appended, lambda before: [*before, rule])


def remove(path: Path, name: str) -> None:
    """Take a rule out of the file; with the last one, the file is deleted.

    Raises:
        RulesFileError: there is no such rule, the file is wrong, or it is written in a way that this cannot change.
    """

    def shortened(before: str) -> str:
        known = _parsed(path, before)
        place = known.index(named(known, name))
        node = child(child(yaml.compose(before, yaml.SafeLoader), "alerts"), place)
        lines = before.splitlines(keepends=True)
        if node is None or len(known) == 1:
            return ""
        first, last = node.start_mark.line, node.end_mark.line + (node.end_mark.column > node.start_mark.column)
        while last > first + 1 and (not lines[last - 1].strip() or lines[last - 1].lstrip().startswith("#")):
            last -= 1  # the comment of the next rule
        return "".join([*lines[:first], *lines[last:]])

    _changed(path, shortened, lambda before: [one for one in before if one.name != name])


def _without_list(text: str) -> str:
    return re.sub(r"(?m)^alerts:.*\n?", "", text).rstrip() + "\n"


def _changed(path: Path, change: Callable[[str], str], wanted: Callable[[list[AlertRule]], list[AlertRule]]) -> None:
    """Change the file's text, if that gives exactly the rules that are wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock"), _LOCK_SECONDS):
        before = path.read_text("utf-8") if path.exists() else ""
        rules = wanted(_parsed(path, before))
        after = change(before)
        try:
            same = _parsed(path, after) == rules
        except RulesFileError:
            same = False
        if not same:
            raise RulesFileError(
                f"{path} is written in a way that this command cannot change.", remedy="Edit it by hand."
            )
        if rules:
            write_whole(path, after)
        else:
            path.unlink(missing_ok=True)
