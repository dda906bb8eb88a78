"""The lake of the campaign of faults: a real one, started and looked at as a user does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from _campaign_load import SYMBOLS
from _campaign_oracle import TOPICS
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from financelake_assets.bronze.broker import client_config
from financelake_assets.bronze.universe import Universe
from financelake_assets.config import Settings
from financelake_assets.operations.status import status as status_of
from financelake_assets.providers.base import Instrument

RECOVERY_SECONDS = 420.0
"""A fault whose lake is not well after this long is a failure: something was stopped for good."""

Status = dict[str, Any]


class StuckError(AssertionError):
    """The lake did not become well again."""


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


class CampaignLake:
    """A whole lake in a folder of its own."""

    brokers: tuple[str, ...] = ("broker",)
    """The names of its brokers."""

    def __init__(self, folder: Path, more: Mapping[str, object] | None = None) -> None:
        """``more``: settings without their prefix."""
        broker, controller, login, spark, web, code, page = free_ports(7)
        variables: dict[str, object] = {
            "DATA_DIR": folder,
            "KAFKA__PORT": broker,
            "KAFKA__CONTROLLER_PORT": controller,
            "KAFKA__LOGIN_PORT": login,
            "SPARK__PORT": spark,
            "DAGSTER__PORT": web,
            "DAGSTER__CODE_PORT": code,
            "DASHBOARD__PORT": page,
            "FEED__PROVIDER": "none",
            # the small campaign's model: what it forecasts is of no interest here
            "MODEL__MIN_ROWS": 500,
            "MODEL__FOLDS": 2,
            "MODEL__TREES": 3,
            "MODEL__DEPTH": 3,
            "MODEL__RETRAIN_ROWS": 10_000_000,
            "MODEL__MAX_AGE_DAYS": 36_500,
            "STREAMS__STALL_SECONDS": 60,
            "RUNTIME__START_SECONDS": 300,
            "RUNTIME__MIN_FREE_GB": 0.2,
            **(more or {}),
        }
        own = {f"FINANCELAKE_{name}": str(value) for name, value in variables.items()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FINANCELAKE_")}
        self.environment = {**kept, **own}
        os.environ.update(own)
        self.settings = Settings()
        self._eyes = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    # -- as a user -------------------------------------------------------------------------------------

    def command(self, *arguments: str, seconds: float = 400) -> str:
        """Run ``financelake``; what it printed."""
        argv = [sys.executable, "-m", "financelake_assets.cli", *arguments]
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode:
            raise StuckError(f"financelake {' '.join(arguments)}: {done.stderr[-2000:]}")
        return done.stdout

    def up(self) -> None:
        """Start what does not run."""
        self.command("up", "--detach")

    def down(self) -> None:
        """Stop it."""
        self.command("down")

    def status(self) -> Status:
        """What ``financelake status`` says."""
        try:
            return self._eyes.submit(status_of, self.settings).result(120)
        except Exception:  # a client that waits for a stopped server
            self._eyes.shutdown(wait=False, cancel_futures=True)
            self._eyes = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            return {"healthy": False}

    def until(self, what: str, holds: Callable[[Status], bool], seconds: float = RECOVERY_SECONDS) -> Status:
        """Wait for something; the status then.

        Raises:
            StuckError: it did not come.
        """
        deadline = time.monotonic() + seconds
        while True:
            now = self.status()
            with suppress(KeyError, TypeError):
                if holds(now):
                    return now
            if time.monotonic() > deadline:
                raise StuckError(f"no {what} after {seconds:.0f} s: {json.dumps(_short(now), default=str)[:3000]}")
            time.sleep(0.7)

    def settled(self) -> Status:
        """Wait until all is well, everything on the topics is read, and the product's own ledger balances."""
        return self.until("well and settled lake", lambda now: now["healthy"] and _behind(now) == 0 and _ledger(now))

    def settled_enough(self) -> None:
        """Wait until the topics are almost read, while the load may go on."""
        self.until("lake that has caught up", lambda now: _behind(now) < 200)

    def close(self) -> None:
        """Stop everything."""
        self._eyes.shutdown(wait=False, cancel_futures=True)
        with suppress(StuckError, subprocess.TimeoutExpired):
            self.down()

    # -- processes -------------------------------------------------------------------------------------

    def pid(self, name: str) -> int | None:
        """Of a process of the lake, or of its supervisor."""
        with suppress(OSError, ValueError):
            if name == "supervisor":
                return int((self.settings.data_dir / "run" / "supervisord.pid").read_text())
        from financelake_assets.supervision.supervisor import Supervisor

        state = Supervisor(self.settings).states().get(name)
        return state.pid if state is not None and state.pid else None

    def send_signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to a process; false where it does not run."""
        pid = self.pid(name)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """SIGSTOP to a process, and SIGCONT afterwards if it is still there."""
        pid = self.pid(name)
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                if pid is not None:
                    os.kill(pid, signal.SIGCONT)

    # -- topics and tables -----------------------------------------------------------------------------

    @property
    def client(self) -> dict[str, Any]:
        """How a Kafka client connects."""
        return {**client_config(self.settings), "reconnect.backoff.max.ms": 1_000}

    @property
    def tables(self) -> Path:
        """The folder of the tables."""
        return Path(self.settings.tables)

    @property
    def checkpoint(self) -> Path:
        """Of the silver query."""
        return Path(self.settings.checkpoint("silver"))

    def remove_checkpoint(self) -> None:
        """The remedy of docs/operations.md."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def know(self, extra: dict[str, str] | None = None) -> None:
        """Make symbols known."""
        known: Any = {**SYMBOLS, **(extra or {})}
        Universe(self.settings, "campaign").add([Instrument(symbol, of) for symbol, of in known.items()])

    def topic_ids(self) -> dict[str, str]:
        """Of the topics that there are."""
        admin = AdminClient(self.client)  # kept until it has answered
        described = admin.describe_topics(TopicCollection(list(TOPICS)), request_timeout=20)
        return {name: str(future.result(30).topic_id) for name, future in described.items()}


def _behind(status: Status) -> int:
    return sum(part["lag"] for parts in status["topics"].values() for part in parts.values())


def _ledger(status: Status) -> bool:
    return bool(status["ledger"]["balanced"])


def _short(status: Status) -> Status:
    """What matters of a status that is not well."""
    running = {
        name: process.get("problem") for name, process in status.get("processes", {}).items() if process.get("problem")
    }
    kept = {name: status.get(name) for name in ("healthy", "streams", "ledger")}
    try:
        behind: object = _behind(status)
    except (KeyError, TypeError, AttributeError):
        behind = status.get("topics")
    return {**kept, "problems": running, "behind": behind}
