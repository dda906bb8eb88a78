"""SQL on a lake's tables: what it reads, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import Schema

from financelake_assets import lake
from financelake_assets.config import Settings
from financelake_assets.gold.schema import SIGNALS
from financelake_assets.query import engine
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.query.rows import DAY, add, bar


def test_a_query_reads_a_table_by_its_name(asked_lake: Settings):
    found = lake.sql("SELECT event_time, signal FROM gold.signals ORDER BY event_time", settings=asked_lake)
    assert found.rows()[0] == (DAY, "BUY")
    assert found.schema["event_time"] == pl.Datetime("us", "UTC")
    assert found.height == 3


def test_a_query_gives_the_same_rows_as_delta_rs(asked_lake: Settings):
    found = lake.sql("FROM gold.signals", settings=asked_lake)
    assert found.sort("event_time").equals(SIGNALS.scan(asked_lake).collect().select(found.columns).sort("event_time"))
    assert found.columns == SIGNALS.schema.names


def test_tables_are_joined_and_a_with_hides_none(asked_lake: Settings):
    OpenTables(asked_lake).insert(BARS, bar(1, close=7.0))
    query = """WITH bars AS (FROM silver.bars), bought AS (SELECT * FROM "gold"."signals" AS s WHERE signal = 'BUY')
               SELECT bars.close FROM bars JOIN bought USING (symbol, interval, event_time)"""
    assert lake.sql(query, settings=asked_lake).rows() == [(7.0,)]


def test_a_version_and_a_time_are_read_as_they_were(asked_lake: Settings):
    versions = SIGNALS.open(asked_lake).version()  # type: ignore[union-attr]
    add(asked_lake, 3)
    count = "SELECT count(*) FROM gold.signals"
    assert lake.sql(count, as_of=versions, settings=asked_lake).item() == 3
    assert lake.sql(count, as_of=str(versions), settings=asked_lake).item() == 3
    assert lake.sql(count, as_of=datetime.now(UTC), settings=asked_lake).item() == 4
    assert lake.sql(count, settings=asked_lake).item() == 4


def test_a_version_is_one_tables_own(asked_lake: Settings):
    OpenTables(asked_lake).insert(BARS, bar(1))
    with pytest.raises(lake.QueryError, match=r"gold\.signals, silver\.bars") as refused:
        lake.sql("SELECT * FROM silver.bars, gold.signals", as_of=1, settings=asked_lake)
    assert "Give a time" in refused.value.remedy


def test_a_table_that_the_lake_has_not_made_has_its_columns_and_no_rows(offline_lake: Settings):
    with lake.answered("FROM silver.bars", settings=offline_lake) as answer:
        assert answer.versions == {"silver.bars": None}
        assert answer.table().num_rows == 0
        assert answer.schema.names == BARS.schema.names


@pytest.mark.parametrize("by_delta_rs", [False, True])
def test_a_column_that_was_declared_later_is_null_in_older_files(
    asked_lake: Settings, by_delta_rs: bool, monkeypatch: pytest.MonkeyPatch
):
    table = SIGNALS.open(asked_lake)
    assert table is not None
    table.alter.add_columns(Schema.from_arrow(pa.schema([pa.field("added", pa.float64())])).fields)
    if by_delta_rs:
        monkeypatch.setattr(engine, "_paths", lambda *_: None)
    found = lake.sql("SELECT added, signal FROM gold.signals", settings=asked_lake)
    assert found.rows() == [(None, "BUY")] * 3


def test_a_folder_with_a_blank_and_a_quote_in_its_name_is_read(tmp_path: Path):
    settings = Settings(data_dir=tmp_path / "a user's lake")
    add(settings, 0)
    assert lake.sql("FROM gold.signals", settings=settings).height == 1


@pytest.mark.parametrize("query", ["SHOW TABLES", "DESCRIBE gold.signals", "SUMMARIZE gold.signals", "VALUES (1)"])
def test_what_only_looks_is_allowed(asked_lake: Settings, query: str):
    lake.sql(query, settings=asked_lake)


@pytest.mark.parametrize("query", ["EXPLAIN FROM gold.signals", "explain analyze select 1"])
def test_a_plan_can_be_looked_at(asked_lake: Settings, query: str):
    assert lake.sql(query, settings=asked_lake).height == 1


# -- what is refused -------------------------------------------------------------------------------------


def data_files(settings: Settings) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in settings.data_dir.rglob("*") if path.is_file()}


WRITES = [
    "INSERT INTO gold.signals SELECT * FROM gold.signals",
    "UPDATE gold.signals SET signal = 'SELL'",
    "DELETE FROM gold.signals",
    "DROP VIEW gold.signals",
    "CREATE TABLE mine AS FROM gold.signals",
    "COPY (FROM gold.signals) TO '{file}'",
    "COPY (FROM gold.signals) TO '{own}' (USE_TMP_FILE false)",
    "EXPLAIN ANALYZE COPY (FROM gold.signals) TO '{own}' (FORMAT parquet, USE_TMP_FILE false)",
    "/* a look */ EXPLAIN ANALYZE COPY (FROM gold.signals) TO '{own}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPORT DATABASE '{file}'",
    "ATTACH '{file}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '100GB'",
    "CALL enable_logging()",
    "BEGIN",
]


@pytest.mark.parametrize("query", WRITES)
def test_a_query_that_writes_is_refused_and_changes_nothing(asked_lake: Settings, query: str, tmp_path: Path):
    own = next((asked_lake.data_dir / "delta" / "gold" / "signals").glob("*.parquet"))
    before = data_files(asked_lake)
    text = query.format(file=tmp_path / "written", own=str(own).replace("'", "''"))
    with pytest.raises(lake.ReadOnlyError, match="read-only"):
        lake.sql(text, settings=asked_lake)
    assert data_files(asked_lake) == before
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_csv('http://127.0.0.1:9/secret.csv')",
    ],
)
def test_a_query_sees_no_other_file(asked_lake: Settings, query: str, tmp_path: Path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(lake.QueryError):
        lake.sql(query.format(file=tmp_path / "secret.csv", folder=tmp_path), settings=asked_lake)


def test_a_file_by_its_name_is_no_table(asked_lake: Settings, tmp_path: Path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(lake.UnknownTableError):
        lake.sql(f"FROM '{tmp_path / 'secret.csv'}'", settings=asked_lake)


def test_a_query_does_not_see_the_callers_variables(asked_lake: Settings):
    mine = pl.DataFrame({"a": [1]})
    with pytest.raises(lake.UnknownTableError):
        lake.sql("SELECT * FROM mine", settings=asked_lake)
    assert mine.height == 1


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("gold.signal", "gold.signals"),
        ("signals", "gold.signals"),
        ("silver.signals", "gold.signals"),
        ("bars", "silver.bars"),
        ("GOLD.SINGALS", "gold.signals"),
    ],
)
def test_an_unknown_table_names_the_nearest(asked_lake: Settings, name: str, nearest: str):
    with pytest.raises(lake.UnknownTableError, match=f"no table {name}") as refused:
        lake.sql(f"FROM {name}", settings=asked_lake)
    assert f"Did you mean {nearest}?" in refused.value.remedy


def test_an_unknown_column_is_explained_by_the_engine(asked_lake: Settings):
    with pytest.raises(lake.QueryError, match="confidence"):
        lake.sql("SELECT confidenc FROM gold.signals", settings=asked_lake)


@pytest.mark.parametrize("query", ["", "   ;", "SELEC 1", "SELECT 1; SELECT 2", "SELECT FROM WHERE"])
def test_what_is_not_one_query_is_refused(asked_lake: Settings, query: str):
    with pytest.raises(lake.QueryError):
        lake.sql(query, settings=asked_lake)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE hash(a.range) = hash(b.range + 1)",
        "SELECT a.range FROM range(10000000000) a, range(100000) b",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT sum(n) FROM r",
    ],
)
def test_a_query_that_would_not_end_is_stopped(asked_lake: Settings, query: str):
    with (
        pytest.raises(lake.QueryTimeoutError, match=r"stopped after 0\.3 s"),
        lake.answered(query, timeout=0.3, settings=asked_lake) as answer,
    ):
        for _ in answer.batches:
            pass


def test_a_query_that_needs_too_much_memory_names_the_settings(tmp_path: Path):
    settings = Settings.model_validate({"data_dir": tmp_path / "lake", "query": {"memory_mb": 64, "spill_mb": 1}})
    with pytest.raises(lake.QueryError, match="more memory") as refused:
        lake.sql("SELECT list(range) FROM range(50000000)", settings=settings)
    assert "FINANCELAKE_QUERY__MEMORY_MB" in refused.value.remedy
