"""The SQL server, asked by Apache's own JDBC driver, as DBeaver and Tableau ask it. Its jar is fetched once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyspark
import pytest
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JJavaError

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers.jars import Jar, provide
from financelake_assets.servers.java import find_java
from financelake_assets_tests.flight_sql.conftest import TOKEN, Start

pytestmark = pytest.mark.integration

DRIVER = Jar(
    "org.apache.arrow",
    "flight-sql-jdbc-driver",
    "18.3.0",
    "",
    "3f418b46c880e263558c5de669bdbede2c5d4375527ced116fb29f795b03704c",  # pragma: allowlist secret
)


@pytest.fixture(scope="module")
def java() -> Iterator[Any]:
    """A JVM with the driver."""
    try:
        jar = provide(DRIVER, Settings())
    except FinanceLakeError as error:
        pytest.skip(f"the JDBC driver cannot be fetched: {error}")
    (py4j,) = Path(pyspark.__file__).parent.glob("jars/py4j-*.jar")
    gateway = JavaGateway.launch_gateway(
        java_path=str(find_java().executable),
        classpath=str(jar),
        jarpath=str(py4j),
        javaopts=["--add-opens=java.base/java.nio=ALL-UNNAMED", "-Xmx256m"],
        die_on_exit=True,
    )
    yield gateway.jvm
    gateway.shutdown()


def connected(java: Any, settings: Settings, **properties: str) -> Any:
    told = java.java.util.Properties()
    for name, value in (properties or {"token": TOKEN}).items():
        told.setProperty(name, value)
    address = f"jdbc:arrow-flight-sql://127.0.0.1:{settings.sql_server_port}/?useEncryption=false"
    return java.org.apache.arrow.driver.jdbc.ArrowFlightJdbcDriver().connect(address, told)


def rows(found: Any) -> list[tuple[str, ...]]:
    """The rest of a result, each value as text."""
    columns = range(1, found.getMetaData().getColumnCount() + 1)
    read = []
    while found.next():
        read.append(tuple(str(found.getObject(number)) for number in columns))
    return read


def test_rows_times_and_prepared_statements(java: Any, start: Start) -> None:
    settings, _ = start()
    connection = connected(java, settings)
    query = "SELECT symbol, confidence, event_time FROM gold.signals ORDER BY event_time LIMIT 2"
    assert rows(connection.createStatement().executeQuery(query)) == [
        ("BTC-USD", "0.5", "2024-03-01 00:00:00.0"),
        ("BTC-USD", "0.6", "2024-03-02 00:00:00.0"),
    ]
    prepared = connection.prepareStatement(
        "SELECT count(*) FROM gold.signals WHERE confidence > ? AND symbol = ? AND event_time > ? AND horizon IN (?)"
    )
    for least, expected in ((0.45, "2"), (0.65, "1")):
        prepared.setDouble(1, least)
        prepared.setString(2, "BTC-USD")
        prepared.setTimestamp(3, java.java.sql.Timestamp.valueOf("2024-03-01 12:00:00"))
        prepared.setInt(4, 1)
        assert rows(prepared.executeQuery()) == [(expected,)]


def test_what_a_tool_asks_before_it_asks_for_rows(java: Any, start: Start) -> None:
    settings, _ = start()
    facts = connected(java, settings, user="anybody", password=TOKEN).getMetaData()
    assert facts.isReadOnly()
    assert facts.getDatabaseProductName() == "FinanceLake"
    assert rows(facts.getCatalogs()) == [("financelake",)]
    assert ("silver", "financelake") in rows(facts.getSchemas())
    assert rows(facts.getTableTypes()) == [("TABLE",)]
    (table,) = rows(facts.getTables(None, "gold", "sign%", None))
    assert table[:4] == ("financelake", "gold", "signals", "TABLE")
    columns = {row[3]: row[5] for row in rows(facts.getColumns(None, "gold", "signals", None))}
    assert (columns["confidence"], columns["event_time"], columns["symbol"]) == ("DOUBLE", "TIMESTAMP", "VARCHAR")
    keys = [row[3] for row in rows(facts.getPrimaryKeys(None, "gold", "signals"))]
    assert keys[:3] == ["symbol", "interval", "event_time"]
    for name in ("supportsTransactions", "getDefaultTransactionIsolation", "getMaxConnections", "getSQLKeywords"):
        getattr(facts, name)()


def test_what_is_refused_says_why(java: Any, start: Start) -> None:
    settings, _ = start()
    statement = connected(java, settings).createStatement()
    for act, words in (
        (lambda: statement.executeUpdate("DELETE FROM gold.signals"), "read-only"),
        (lambda: statement.executeQuery("SELECT * FROM gold.signalz"), "Did you mean gold.signals?"),
        (lambda: connected(java, settings, token="another"), "UNAUTHENTICATED"),
        (lambda: connected(java, settings, user="anybody", password="another"), "the password is wrong"),
    ):
        with pytest.raises(Py4JJavaError) as caught:
            act()
        assert words in str(caught.value.java_exception.getMessage())
