"""Nothing waits for ever for something else: each call that can wait says for how long."""

from __future__ import annotations

import ast
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from financelake_assets import files
from financelake_assets.config import Settings
from financelake_assets.files import LockTimeoutError, locked
from financelake_assets.servers import sockets
from financelake_assets.silver.schema import BARS
from financelake_assets.supervision import supervisor
from financelake_assets.supervision.supervisor import Supervisor, socket_path

ROOT = Path(files.__file__).parents[1]
WAITS = {
    "FileLock": "timeout",
    "urlopen": "timeout",
    "create_connection": "timeout",
    "run": "timeout",  # of subprocess
    "check_output": "timeout",
    "check_call": "timeout",
}
FOR_A_PERSON = {"cli/benches.py"}
"""Runs a program in the foreground, which its user can stop."""


def calls(file: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield node


def waits_for_ever(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            if name == "run" and module != "subprocess":
                return False
        case ast.Name(id=name):
            if name == "run":
                return False
        case ast.Attribute(attr=name):
            if name == "run":
                return False
        case _:
            return False
    wanted = WAITS.get(name)
    return wanted is not None and wanted not in {keyword.arg for keyword in call.keywords}


SOURCES = [
    file
    for package in ("financelake_assets", "dash_app")
    for file in sorted((ROOT / package).rglob("*.py"))
    if str(file.relative_to(ROOT / package)) not in FOR_A_PERSON
]


def test_every_call_that_can_wait_says_for_how_long():
    assert len(SOURCES) > 100
    found = [
        f"{file.relative_to(ROOT)}:{call.lineno}" for file in SOURCES for call in calls(file) if waits_for_ever(call)
    ]
    assert not found


def test_the_look_would_notice_one():
    text = """subprocess.run(x)
FileLock(x)
urllib.request.urlopen(x)
socket.create_connection(x, timeout=1)
asyncio.run(x)"""
    tree = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    assert sorted(call.lineno for call in tree if waits_for_ever(call)) == [1, 2, 3]


def test_a_writer_waits_for_one_that_has_stopped_and_then_says_for_what(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.1)
    with (
        BARS.turn(offline_lake),
        pytest.raises(LockTimeoutError, match=r"table-silver-bars\.lock for 0\.1 s"),
        BARS.turn(offline_lake),
    ):
        pass
    with BARS.turn(offline_lake):
        pass


def test_a_lock_is_free_after_an_error(tmp_path: Path):
    with pytest.raises(KeyError), locked(tmp_path / "lock"):
        raise KeyError
    with FileLock(tmp_path / "lock", timeout=0):
        pass


def test_a_supervisor_that_was_stopped_counts_as_one_that_does_not_answer(
    offline_lake: Settings, monkeypatch: pytest.MonkeyPatch
):
    """The kernel takes connections for it. ``status``, ``up`` and the watchdog must not wait for ever."""
    monkeypatch.setattr(supervisor, "_ANSWER_SECONDS", 0.2)
    sockets.prepare(offline_lake)
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(socket_path(offline_lake)))
        stopped.listen()
        assert not Supervisor(offline_lake).alive()
        assert Supervisor(offline_lake).states() == {}
