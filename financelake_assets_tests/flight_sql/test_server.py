"""The SQL server, asked by the ADBC driver of Arrow Flight SQL."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as flight_sql
import pytest
import trustme
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_manager import Error

from financelake_assets import lake
from financelake_assets.config import Settings
from financelake_assets.flight_sql.access import OpenServerError
from financelake_assets.flight_sql.server import SqlServer
from financelake_assets.supervision import processes
from financelake_assets_tests.flight_sql.conftest import TOKEN, Start

ENDLESS = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range + b.range % 7 = 3"


def connected(settings: Settings, token: str = TOKEN, **options: str) -> Any:
    if not options:
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
    scheme = "grpc" if settings.sql_server.tls_file is None else "grpc+tls"
    address = f"{scheme}://{settings.host}:{settings.sql_server_port}"
    return flight_sql.connect(address, db_kwargs=options, autocommit=True)


def rows(settings: Settings, query: str, values: tuple[object, ...] = (), **options: str) -> list[Any]:
    with connected(settings, **options) as connection, connection.cursor() as cursor:
        cursor.execute(query, values or None)
        found: list[Any] = cursor.fetchall()
        return found


def refusal(settings: Settings, query: str, **options: str) -> str:
    with pytest.raises(Error) as caught:
        rows(settings, query, **options)
    return str(caught.value)


def eventually(happened: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 60
    while not happened() and time.monotonic() < ends:
        time.sleep(0.05)
    return happened()


def test_it_gives_the_rows_of_financelake_sql(start: Start) -> None:
    settings, _ = start()
    query = "SELECT * FROM gold.signals ORDER BY event_time"
    ours = lake.sql(query, settings=settings)
    with connected(settings) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        theirs = cursor.fetch_arrow_table()
    assert theirs.column_names == ours.columns
    without_zone = [
        {name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in ours.to_dicts()
    ]
    assert theirs.to_pylist() == without_zone


def test_names_may_have_the_catalog_before_them_and_columns_may_come_twice(start: Start) -> None:
    settings, _ = start()
    assert rows(settings, 'SELECT count(*) AS a, 2 AS a FROM "financelake"."gold"."signals"') == [(3, 2)]


def test_a_prepared_statement_takes_values_and_can_be_run_again(start: Start) -> None:
    settings, _ = start()
    with connected(settings) as connection, connection.cursor() as cursor:
        query = "SELECT count(*) FROM gold.signals WHERE confidence > ? AND event_time < ?"
        for least, expected in ((0.55, 2), (0.65, 1)):
            cursor.execute(query, (least, datetime(2025, 1, 1)))  # columns have no zone
            assert cursor.fetchone() == (expected,)
        assert "Values were not provided" in refusal(settings, "SELECT ?")


@pytest.mark.parametrize(
    "query", ["DELETE FROM gold.signals", "COPY (SELECT 1) TO 'file'", "CREATE TABLE a (b INT)", "SET threads = 1"]
)
def test_a_statement_that_writes_is_refused(start: Start, query: str) -> None:
    settings, _ = start()
    assert "read-only" in refusal(settings, query)
    with connected(settings) as connection, connection.cursor() as cursor, pytest.raises(Error, match="only reads"):
        cursor.executescript(query)


def test_an_error_says_what_is_wrong_and_shows_no_traceback(start: Start) -> None:
    settings, _ = start()
    said = refusal(settings, "SELECT * FROM gold.signalz")
    assert "Did you mean gold.signals?" in said
    assert "Traceback" not in said
    assert "no other file" in refusal(settings, "SELECT * FROM read_csv('/etc/passwd')")


def test_who_has_no_token_is_refused(start: Start) -> None:
    settings, _ = start()
    assert "token" in refusal(settings, "SELECT 1", token="another")
    assert "wrong" in refusal(settings, "SELECT 1", username="anybody", password="another")
    assert rows(settings, "SELECT 1", username="anybody", password=TOKEN) == [(1,)]


def test_with_a_login_the_token_opens_nothing_and_guessing_is_slow(start: Start) -> None:
    settings, _ = start(dashboard={"login": "me:a password"})
    assert rows(settings, "SELECT 1", username="me", password="a password") == [(1,)]
    assert "login" in refusal(settings, "SELECT 1", token=TOKEN)
    with connected(settings, username="me", password="a password") as known:
        for _ in range(10):
            assert "wrong" in refusal(settings, "SELECT 1", username="me", password="another")
        assert "Too many" in refusal(settings, "SELECT 1", username="me", password="a password")
        with known.cursor() as cursor:
            cursor.execute("SELECT 2")
            assert cursor.fetchone() == (2,), "who is inside stays inside"


def test_it_does_not_start_where_it_would_be_open(tmp_path: Path) -> None:
    for given in ({"web_token": ""}, {"web_token": TOKEN, "host": "0.0.0.0"}):  # noqa: S104
        with pytest.raises(OpenServerError):
            SqlServer(Settings.model_validate({"data_dir": tmp_path, **given}))


def test_it_speaks_tls_and_its_probe_too(start: Start, tmp_path: Path) -> None:
    authority, pem = trustme.CA(), tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    settings, _ = start(sql_server={"tls_file": pem})
    trusted = {DatabaseOptions.TLS_ROOT_CERTS.value: authority.cert_pem.bytes().decode()}
    assert rows(settings, "SELECT 1", username="a", password=TOKEN, **trusted) == [(1,)]
    assert processes.sql_server(settings) is None


def test_its_probe_tells_whether_it_runs(start: Start) -> None:
    settings, server = start()
    assert processes.sql_server(settings) is None
    server.end()
    assert processes.sql_server(settings) is not None


def test_an_endless_query_ends_by_its_time_out(start: Start) -> None:
    settings, server = start(query={"timeout_seconds": 0.5})
    assert "stopped after 0.5 s" in refusal(settings, ENDLESS)
    assert eventually(lambda: server.queries.running == 0)


def test_a_client_that_stops_reading_holds_its_place_until_the_time_out(start: Start) -> None:
    settings, server = start(query={"timeout_seconds": 2})
    with connected(settings) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT range, repeat('x', 1000) FROM range(100000000)")
        cursor.fetchone()
        assert eventually(lambda: server.queries.running == 0)
        assert rows(settings, "SELECT 1") == [(1,)]


def test_a_client_that_has_gone_frees_its_query(start: Start) -> None:
    settings, server = start(query={"timeout_seconds": 3600})
    code = f"""
import adbc_driver_flightsql.dbapi as flight_sql
address, options = "grpc://127.0.0.1:{settings.sql_server_port}", {{"username": "a", "password": "{TOKEN}"}}
connection = flight_sql.connect(address, db_kwargs=options, autocommit=True)
cursor = connection.cursor()
cursor.execute("{ENDLESS}")
cursor.fetchone()
"""
    with subprocess.Popen([sys.executable, "-c", code]) as client:
        assert eventually(lambda: server.queries.running == 1)
        client.kill()
    assert eventually(lambda: server.queries.running == 0)


def test_only_so_many_queries_run_at_a_time(start: Start) -> None:
    settings, server = start(sql_server={"queries": 1, "wait_seconds": 0}, query={"timeout_seconds": 3600})
    with connected(settings) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT range, repeat('x', 1000) FROM range(100000000)")
        assert eventually(lambda: server.queries.running == 1)
        assert "1 queries run already" in refusal(settings, "SELECT 1")
        server.queries.stop()
        assert eventually(lambda: server.queries.running == 0)


def test_tools_find_tables_columns_and_keys(start: Start) -> None:
    settings, _ = start()
    with connected(settings) as connection:
        (catalog,) = connection.adbc_get_objects(
            depth="all", db_schema_filter="gold", table_name_filter="sign%"
        ).read_all().to_pylist()  # fmt: skip
        assert connection.adbc_get_info()["vendor_name"] == "FinanceLake"
        assert connection.adbc_get_table_types() == ["TABLE"]
        columns = connection.adbc_get_table_schema("signals", db_schema_filter="gold")
    assert catalog["catalog_name"] == "financelake"
    (layer,) = catalog["catalog_db_schemas"]
    (table,) = layer["db_schema_tables"]
    assert (layer["db_schema_name"], table["table_name"]) == ("gold", "signals")
    types = {column["column_name"]: column["xdbc_type_name"] for column in table["table_columns"]}
    assert types["confidence"] == "DOUBLE"
    assert types["event_time"] == "TIMESTAMP"
    assert list(types) == columns.names
