"""A whole lake, started and stopped by the command line as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from financelake_assets.config import Settings
from financelake_assets.operations.status import status as lake_status
from financelake_assets.servers.web_token import opening
from financelake_assets_tests.shared_servers import laptop

Status = dict[str, Any]


class CommandLine:
    """``financelake`` for one lake."""

    def __init__(self, settings: Settings, **variables: str) -> None:
        self._settings = settings
        # a new process for each look would take the lake's cores from it, and a client of its Spark server in this
        # one would stay pyspark's active session for the tests that follow
        self._eyes = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FINANCELAKE_")},
            "FINANCELAKE_RUNTIME__CLASS_ARCHIVES": "false",
            "FINANCELAKE_DATA_DIR": str(settings.data_dir),
            "FINANCELAKE_KAFKA__PORT": str(settings.kafka.port),
            "FINANCELAKE_KAFKA__CONTROLLER_PORT": str(settings.kafka.controller_port),
            "FINANCELAKE_KAFKA__LOGIN_PORT": str(settings.kafka.login_port),
            "FINANCELAKE_SPARK__PORT": str(settings.spark.port),
            "FINANCELAKE_DAGSTER__PORT": str(settings.dagster.port),
            "FINANCELAKE_DAGSTER__CODE_PORT": str(settings.dagster.code_port),
            "FINANCELAKE_DASHBOARD__PORT": str(settings.dashboard.port),
            **variables,
        }

    @property
    def settings(self) -> Settings:
        """Its settings, with the secrets that its first ``up`` has made."""
        return self._settings.with_own_secrets()

    def __call__(self, *arguments: str, seconds: float = 400) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "financelake_assets.cli", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def status(self) -> Status:
        done = self("status", "--json")
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout))

    def wait_for(self, what: str, holds: Callable[[Status], bool], seconds: float = 600) -> Status:
        deadline = time.monotonic() + seconds
        while True:
            status = self._eyes.submit(lake_status, self.settings).result()
            if holds(status):
                return status
            if time.monotonic() > deadline:
                logs = {file.name: file.read_text(errors="replace")[-1500:] for file in self.logs()}
                told = json.dumps(status, indent=1, default=str)
                raise AssertionError(f"no {what}: {told}\n{json.dumps(logs, indent=1)}")
            time.sleep(3)  # a look takes processor time from the lake

    def close(self) -> None:
        """End the process that looks at the lake, before the lake ends."""
        self._eyes.shutdown()

    def logs(self) -> list[Path]:
        return sorted((self.settings.data_dir / "logs").glob("*.log"))


def rows(status: Status, table: str) -> int:
    return int(status["tables"][table]["rows"])


def behind(status: Status) -> int:
    return sum(part["lag"] for parts in status["topics"].values() for part in parts.values())


@pytest.fixture(scope="module")  # the tests of other folders want its cores
def whole_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A lake that ``up --detach`` started from nothing, with a quick replay."""
    settings = laptop(tmp_path_factory.mktemp("lake") / "data")
    lake = CommandLine(
        settings,
        FINANCELAKE_FEED__BARS_PER_SECOND="4",
        FINANCELAKE_RUNTIME__START_SECONDS="300",
        # how good the forest is, is asked elsewhere
        FINANCELAKE_MODEL__TREES="5",
        FINANCELAKE_MODEL__FOLDS="2",
    )
    try:
        done = lake("up", "--detach")
        assert done.returncode == 0, done.stderr
        assert opening(settings.dashboard_url, lake.settings) in done.stdout
        yield lake
    finally:
        lake.close()
        lake("down")
