"""``financelake ingest FILE --dry-run`` and ``financelake formats``: they need no running lake and write nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from financelake_assets.cli.app import app
from financelake_assets.cli.formats_command import mapping

BARS = "Date;Open;High;Low;Close\n" + "".join(f"2024-01-{day:02};1,5;2,25;1,0;2,0\n" for day in range(1, 10))


def test_what_would_be_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DAX.csv").write_text(BARS)
    done = CliRunner().invoke(app, ["ingest", "DAX.csv", "--dry-run", "--json"])
    shown = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (shown["files"], shown["messages"], shown["odd"]) == (1, 9, 0)
    assert (shown["symbols"], shown["interval"], shown["questions"]) == (["DAX"], "1d", [])
    assert (shown["first"], shown["last"]) == ("2024-01-01T00:00:00Z", "2024-01-09T00:00:00Z")
    assert [one.name for one in tmp_path.iterdir()] == ["DAX.csv"]


def test_what_is_not_sure_is_asked_and_the_exit_code_is_not_0(tmp_path: Path) -> None:
    (tmp_path / "Dow Jones.csv").write_text(BARS)
    done = CliRunner().invoke(app, ["ingest", str(tmp_path / "Dow Jones.csv"), "--dry-run", "--json"])
    assert done.exit_code == 1
    assert "--symbol" in json.loads(done.stdout)["questions"][0]


def test_the_known_formats_are_listed() -> None:
    assert "metatrader5" in CliRunner().invoke(app, ["formats"]).stdout


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (["close=Last,volume=Vol."], {"close": "Last", "volume": "Vol."}),
        (["close=('Close', 'AAPL')"], {"close": "('Close', 'AAPL')"}),
        (['close="Cushing, OK"', "event_time=Day"], {"close": "Cushing, OK", "event_time": "Day"}),
    ],
)
def test_a_column_may_have_any_name(pairs: list[str], expected: dict[str, str]) -> None:
    assert mapping(pairs) == expected
