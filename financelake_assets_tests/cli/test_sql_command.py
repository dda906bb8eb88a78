"""``financelake sql`` and ``financelake tables``, as a person and a program call them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from typer.testing import CliRunner, Result

from financelake_assets.cli import sql_command, sql_prompt
from financelake_assets.cli.app import app
from financelake_assets.config import Settings, get_settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets_tests.query.rows import add


@pytest.fixture
def called(offline_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake with two signals, which the commands find by the environment."""
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(offline_lake.data_dir))
    monkeypatch.setattr(sql_command.os, "nice", lambda _: None)  # the tests' own process is to stay as it is
    get_settings.cache_clear()
    add(offline_lake, 0, confidence=float("nan"))
    add(offline_lake, 1)
    yield offline_lake
    get_settings.cache_clear()


def call(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


QUERY = "SELECT symbol, event_time, confidence FROM gold.signals ORDER BY event_time"


def test_json_is_a_list_of_objects(called: Settings):
    found = json.loads(call("sql", QUERY, "--format", "json").stdout)
    assert found == [
        {"symbol": "BTC-USD", "event_time": "2024-03-01T00:00:00Z", "confidence": None},
        {"symbol": "BTC-USD", "event_time": "2024-03-02T00:00:00Z", "confidence": 0.6},
    ]


def test_no_rows_are_an_empty_list(called: Settings):
    assert json.loads(call("sql", "FROM silver.bars", "--format", "json").stdout) == []


def test_json_has_numbers_text_and_lists_as_they_are(called: Settings):
    query = "SELECT 1.50 AS a, sum(9007199254740993) AS b, encode('é') c, [1, NULL] d, {'k': DATE '2024-03-01'} e"
    (found,) = json.loads(call("sql", query, "--format", "json").stdout)
    assert found == {"a": 1.5, "b": 9007199254740993, "c": "é", "d": [1, None], "e": {"k": "2024-03-01"}}


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "json"])
def test_each_format_holds_the_same_rows(called: Settings, form: str, tmp_path: Path):
    file = tmp_path / "answer"
    assert call("sql", QUERY, "--format", form, "--output", str(file)).exit_code == 0
    content = file.read_bytes()
    read = {
        "csv": lambda: pl.read_csv(content),
        "parquet": lambda: pl.read_parquet(content),
        "arrow": lambda: pl.DataFrame(pl.from_arrow(pa.ipc.open_stream(io.BytesIO(content)).read_all())),
        "json": lambda: pl.DataFrame(json.loads(content)),
    }[form]()
    assert read.columns == ["symbol", "event_time", "confidence"]
    assert float(read["confidence"][1]) == 0.6
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_query_comes_from_a_file_or_standard_input(called: Settings, tmp_path: Path):
    (tmp_path / "q.sql").write_text(QUERY)
    by_file = call("sql", "--file", str(tmp_path / "q.sql"), "--format", "csv").stdout
    assert by_file == call("sql", "--format", "csv", stdin=QUERY).stdout
    assert by_file.count("BTC-USD") == 2
    assert call("sql", QUERY, "--file", str(tmp_path / "q.sql")).exit_code == 2


def test_a_table_for_people_and_as_of(called: Settings):
    shown = call("sql", QUERY)
    assert "2024-03-02 00:00:00" in shown.stdout
    assert "2 rows" in shown.stderr
    version = json.loads(call("tables", "gold.signals", "--json").stdout)["version"]
    assert "1 rows" in call("sql", QUERY, "--as-of", str(version - 1)).stderr


def test_a_failed_answer_leaves_the_file_of_before(called: Settings, tmp_path: Path):
    file = tmp_path / "answer.csv"
    file.write_text("before")
    assert isinstance(
        call("sql", "SELECT error('no') FROM gold.signals", "-f", "csv", "-o", str(file)).exception, FinanceLakeError
    )
    assert file.read_text() == "before"
    assert list(tmp_path.glob(".*")) == []


def test_tables_and_columns_are_described(called: Settings):
    listed = {item["name"]: item for item in json.loads(call("tables", "--json").stdout)}
    assert listed["gold.signals"]["rows"] == 2
    assert "gold.signals" in call("tables").stdout
    for shown in (call("tables", "gold.signals").stdout, call("sql", "\\d gold.signals").stdout):
        assert "confidence" in shown
        assert "Versions kept: 0 to" in shown


def test_a_table_says_what_its_rows_are_as_json(called: Settings):
    made = json.loads(call("tables", "gold.signals", "--schema").stdout)
    assert made["title"] == "gold.signals"
    assert made["properties"]["event_time"] == {"type": "string", "format": "date-time"}
    assert call("tables", "--schema").exit_code == 2


def test_the_prompt_answers_explains_and_stays(called: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(sql_prompt, "_history", lambda: tmp_path / "history")
    asked: list[tuple[str, str | None]] = []

    def answer(query: str, as_of: str | None) -> None:
        asked.append((query, as_of))
        sql_command.answer_one(called, query, as_of)

    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("SELECT 1\r+ 1;\rFROM nothing;\r\\d gold.signals\r\\as-of 3\rVALUES (2);\r\\q\r")
        sql_prompt.prompt(called, None, answer)
    assert asked == [
        ("SELECT 1\n+ 1;", None),
        ("FROM nothing;", None),
        ("\\d gold.signals", None),
        ("VALUES (2);", "3"),
    ]
    assert "FROM nothing;" in (tmp_path / "history").read_text()


def test_tables_columns_and_words_are_completed():
    assert {"gold.signals", "confidence", "SELECT"} <= set(sql_prompt.words())
