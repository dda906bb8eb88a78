"""The alerter: a process that follows bars, signals and the portfolio, and tells people when a rule fires.

Input: the file of rule alerts, and Delta's commits. Output: messages to the rules' addresses, and ``run/alerter.json``
in the data folder, which says how far it is. Run it with ``python -m financelake_assets.alerting.alerter``. It sleeps
until a table's log has a new file. A rule begins with the version that its table has when the rule is first seen. A
changed file is read at the next round; a file that is wrong leaves the rules as they were.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import structlog
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from financelake_assets.alerting import messages
from financelake_assets.alerting.evaluation import TABLES, TIME, evaluate, newest
from financelake_assets.alerting.messages import Message
from financelake_assets.alerting.outbox import KEEP_SECONDS, Outbox, Progress
from financelake_assets.alerting.postman import Postman
from financelake_assets.alerting.rules_file import AlertRule, RulesFileError, read_rules
from financelake_assets.config import Settings
from financelake_assets.gold.alerter_state import AlerterState, state_file
from financelake_assets.own_process import run_alone, say
from financelake_assets.query import following
from financelake_assets.query.errors import VersionGoneError
from financelake_assets.query.names import dotted
from financelake_assets.storage.delta import TableSpec
from financelake_assets.storage.log_events import LogFollower
from financelake_assets.storage.log_watch import SETTLED_NS
from financelake_assets.storage.store import StoreError
from financelake_assets.supervision import clock

_STOP_SECONDS = 10.0
"""Longer than Apprise waits for an answer, and shorter than the supervisor waits for the process."""

_NO_TABLE = ""
"""The id of a table that does not exist yet: its first commit is new to every rule."""

log = structlog.get_logger()


class Alerter(LogFollower):
    """One run of the alerter."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(TABLES.values(), settings)
        self._outbox = Outbox(settings)
        self._read: tuple[int, int, int] | None = None
        self._rules: dict[str, AlertRule] = {}
        self._postmen: dict[str, Postman] = {}
        self._versions: dict[str, int] = {}
        self._problems: dict[str, str] = {}
        self._page = (settings.alerts.page_url or settings.dashboard_url).rstrip("/")

    def close(self) -> None:
        """End the threads of the addresses; one that hangs ends with the process."""
        ends = time.monotonic() + _STOP_SECONDS
        for postman in self._postmen.values():
            postman.stop()
        for postman in self._postmen.values():
            postman.join(max(0.0, ends - time.monotonic()))
        self._outbox.close()

    def round(self) -> bool:
        """Evaluate everything that is committed now; false if it has to be tried again soon."""
        self._read_rules()
        self._drop_old()
        done = True
        for spec in TABLES.values():
            rules = [rule for rule in self._rules.values() if rule.watch.table is spec]
            if rules and not self._stopping.is_set():
                done &= self._follow(spec, rules)
        self._serve()
        return done

    def _drop_old(self) -> None:
        """Drop alerts that no address took for a week, unless the clock was set: then it does not tell their age."""
        if clock.look(self._settings).moved_within(KEEP_SECONDS):
            return
        if expired := self._outbox.expire(time.time()):
            log.warning("alerts that no address took for a week are dropped", alerts=expired)

    def _read_rules(self) -> None:
        """Read the file again where it may have changed: rounds come with each commit, and YAML is slow."""
        place = _settled(self._settings.rules_path)
        if place is not None and place == self._read:
            return
        self._read = None
        try:
            found = read_rules(self._settings.rules_path)
        except RulesFileError as error:
            self._note("rules", str(error))
            return
        self._read = place
        self._problems.pop("rules", None)
        self._rules = {rule.name: rule for rule in found}
        self._versions = {name: one for name, one in self._versions.items() if name in self._rules}
        if gone := self._outbox.forget(list(self._rules)):
            log.info("rules that are no longer declared are forgotten", rules=gone)

    def _follow(self, spec: TableSpec, rules: list[AlertRule]) -> bool:
        name = dotted(spec)
        try:
            table = self._tables[spec.full_name].newest()
            places = self._places(rules, table)
            if table is not None:
                self._evaluate(spec, table, rules, places)
        except (DeltaError, OSError, StoreError) as error:
            self._note(name, f"{name} cannot be read: {error}")
            return False
        self._problems.pop(name, None)
        return True

    def _places(self, rules: list[AlertRule], table: DeltaTable | None) -> dict[str, Progress]:
        """How far each rule is; a new rule, a changed one, and one whose table was made again begin now."""
        table_id = _NO_TABLE if table is None else str(table.metadata().id)
        places, begun = {}, {}
        for rule in rules:
            known = self._outbox.progress(rule.name)
            if known is not None and known.fingerprint == rule.fingerprint and known.table_id == table_id:
                places[rule.name] = known
            elif known is not None and known.fingerprint == rule.fingerprint and known.table_id == _NO_TABLE:
                places[rule.name] = Progress(rule.fingerprint, table_id, -1, known.seen)
            elif table is None:
                begun[rule.name] = Progress(rule.fingerprint, _NO_TABLE, -1, rule.watch.empty)
            else:
                begun[rule.name] = self._now(rule, table)
        if begun:
            self._outbox.advance(begun, [])
            log.info("rules begin", rules={one: place.version for one, place in begun.items()})
        places |= begun
        self._versions |= {one: place.version for one, place in places.items()}
        return places

    def _now(self, rule: AlertRule, table: DeltaTable) -> Progress:
        """The newest rows of each series, without evaluating them."""
        rows = rule.watch.rows(pl.scan_delta(table)).collect(engine="streaming")
        return Progress(rule.fingerprint, str(table.metadata().id), table.version(), newest(rule.watch, rows))

    def _evaluate(
        self, spec: TableSpec, table: DeltaTable, rules: list[AlertRule], places: dict[str, Progress]
    ) -> None:
        version = min(place.version for place in places.values())
        while version < table.version() and not self._stopping.is_set():
            version += 1
            behind = [rule for rule in rules if places[rule.name].version < version]
            try:
                rows = following.of_commit(spec, self._settings, table, version).rows
            except VersionGoneError as error:
                self._skip(spec, table, behind, places, str(error))
                return
            sent: list[tuple[str, Message]] = []
            for rule in behind:
                outcome = evaluate(rule.watch, places[rule.name].seen, rows)
                places[rule.name] = Progress(rule.fingerprint, places[rule.name].table_id, version, outcome.seen)
                sent += [(to, one) for one in self._messages(rule, outcome.fired) for to in rule.to]
            self._advance({rule.name: places[rule.name] for rule in behind}, sent)

    def _messages(self, rule: AlertRule, fired: pl.DataFrame) -> list[Message]:
        """One message for each series: its newest bar, and how many came before it in the same commit."""
        found = []
        for _, bars in fired.sort(TIME).group_by(rule.watch.series, maintain_order=True):
            row = bars.row(-1, named=True)
            found.append(messages.fired(rule, row, bars.height - 1, self._page))
        return found

    def _skip(
        self, spec: TableSpec, table: DeltaTable, rules: list[AlertRule], places: dict[str, Progress], why: str
    ) -> None:
        """Go on with the newest version where commits are no longer kept, and say so to the rules' addresses."""
        log.warning("rules have missed commits", table=dotted(spec), rules=[rule.name for rule in rules], problem=why)
        last = table.version()
        sent = [
            (to, messages.unseen(rule, places[rule.name].version + 1, last, dotted(spec)))
            for rule in rules
            for to in rule.to
        ]
        self._advance({rule.name: self._now(rule, table) for rule in rules}, sent)

    def _advance(self, progress: Mapping[str, Progress], sent: list[tuple[str, Message]]) -> None:
        self._outbox.advance(dict(progress), sent)
        self._versions |= {name: one.version for name, one in progress.items()}
        for _, message in sent:
            log.info("a rule alert", title=message.title, alert=message.id)
        self._serve()

    def _serve(self) -> None:
        """A thread for each address that a rule names, awake."""
        wanted = {to for rule in self._rules.values() for to in rule.to}
        for name in wanted - self._postmen.keys():
            self._postmen[name] = Postman(name, self._settings, self._outbox, lambda: self._rules)
            self._postmen[name].start()
        for name in self._postmen.keys() - wanted:
            self._postmen.pop(name).stop()
        for postman in self._postmen.values():
            postman.wake()

    def _note(self, part: str, problem: str) -> None:
        if self._problems.get(part) != problem:
            log.warning("the alerter waits", part=part, problem=problem)
        self._problems[part] = problem

    def say(self) -> None:
        """Write how far it is."""
        deaf = {name: one.problem for name, one in sorted(self._postmen.items()) if one.problem}
        state = AlerterState(
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            os.getpid(),
            dict(self._versions),
            self._outbox.counts(),
            {**self._problems, **deaf},
        )
        say(state_file(self._settings), state)


def _settled(file: Path) -> tuple[int, int, int] | None:
    """Identifies what a file holds; ``None`` where there is none, or it has changed just now."""
    try:
        stat = file.stat()
    except OSError:
        return None
    if time.time_ns() - stat.st_ctime_ns <= SETTLED_NS:
        return None
    return stat.st_ino, stat.st_size, stat.st_ctime_ns


def main() -> int:
    """Run the lake's alerter; 3 when it runs already."""
    return run_alone("alerter", Alerter)


if __name__ == "__main__":
    sys.exit(main())
