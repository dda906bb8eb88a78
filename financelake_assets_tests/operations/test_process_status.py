"""Which processes ``financelake status`` lists."""

from __future__ import annotations

import pytest

from financelake_assets.config import Settings
from financelake_assets.operations.status import process_status
from financelake_assets.supervision.processes import ProcessState, of_lake
from financelake_assets.supervision.supervisor import Supervisor


def test_a_process_that_only_the_settings_of_the_start_name_is_listed_too(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "sql-server" not in of_lake(offline_lake)
    states = {name: ProcessState(name, "RUNNING", 0, 0.0, "") for name in ("watchdog", "sql-server")}
    states["alerter"] = ProcessState("alerter", "FATAL", 0, 0.0, "it ended too often")
    monkeypatch.setattr(Supervisor, "states", lambda _: states)
    found = process_status(offline_lake)
    assert set(found) == {*of_lake(offline_lake), "sql-server", "alerter"}
    assert found["sql-server"]["healthy"]
    assert found["alerter"]["problem"] == "it ended too often"
    assert found["broker"]["state"] == "stopped"
