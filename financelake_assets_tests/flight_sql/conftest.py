"""SQL servers of small lakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from financelake_assets.config import Settings
from financelake_assets.flight_sql.server import SqlServer
from financelake_assets_tests.query.rows import add
from financelake_assets_tests.shared_servers import free_ports

TOKEN = "the-token-of-a-test"

Start = Callable[..., tuple[Settings, SqlServer]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the server of a lake with three signals; takes settings."""
    servers: list[SqlServer] = []

    def started(**given: Any) -> tuple[Settings, SqlServer]:
        sql_server = {"port": free_ports(1)[0], **given.pop("sql_server", {})}
        lake = {"data_dir": tmp_path / "lake", "web_token": TOKEN, "sql_server": sql_server, **given}
        settings = Settings.model_validate(lake)
        for day in range(3):
            add(settings, day)
        servers.append(SqlServer(settings))
        return settings, servers[-1]

    yield started
    for server in servers:
        server.end()
