"""Checks of servers that this lake uses but does not run, by their own protocols and with this lake's credentials.

Input: settings that name such servers. Output: a description of each server, or one ``FinanceLakeError`` that names the
setting to check. ``doctor`` shows them; servers that the lake itself starts are not checked here.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from financelake_assets.bronze.broker import broker_count
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.storage.store import refuse_careless
from financelake_assets.supervision import probes

_SECONDS = 5


def checks(settings: Settings) -> dict[str, Callable[[Settings], str]]:
    """The checks for these settings."""
    wanted: dict[str, tuple[bool, Callable[[Settings], str]]] = {
        "Kafka": (settings.kafka.bootstrap is not None, kafka),
        "Spark Connect": (settings.spark.remote is not None, spark),
        "Object store": (settings.store.url is not None, object_store),
        "Postgres": (settings.dagster.postgres is not None, postgres),
        "Dagster": (elsewhere(settings), dagster),
    }
    return {name: check for name, (due, check) in wanted.items() if due}


def elsewhere(settings: Settings) -> bool:
    """Whether this lake's processes run elsewhere, for example in containers, and not under a supervisor here."""
    return settings.dagster.code_host is not None


def kafka(settings: Settings) -> str:
    """Check that the cluster accepts this lake's user and has enough brokers for its topics.

    Raises:
        FinanceLakeError: it does not, or it does not answer.
    """
    count = broker_count(settings)
    if count < settings.kafka.replication:
        raise FinanceLakeError(
            f"The cluster at {settings.kafka_bootstrap} has {count} brokers, but each topic needs "
            f"{settings.kafka.replication}.",
            remedy="Start more brokers, or lower FINANCELAKE_KAFKA__REPLICATION.",
        )
    login = "without a login" if settings.kafka.security == "PLAINTEXT" else f"as {settings.kafka.username}, over TLS"
    return f"{count} brokers at {settings.kafka_bootstrap}, {login}"


def spark(settings: Settings) -> str:
    """Check that the Connect server accepts this lake's token and has the client's version.

    Raises:
        FinanceLakeError: it does not, or it does not answer.
    """
    from financelake_assets.spark_sessions import await_server, job_session

    await_server(settings, _SECONDS)
    session = job_session(settings)
    version = session.version
    session.stop()
    return f"Spark {version} at {settings.spark.remote}"


def object_store(settings: Settings) -> str:
    """Check that the tables' store accepts this lake's objects and refuses a second one of the same name.

    Raises:
        FinanceLakeError: it does not, or it does not answer.
    """
    return refuse_careless(settings)


def postgres(settings: Settings) -> str:
    """Check that Dagster's database accepts this lake's login.

    Raises:
        FinanceLakeError: it does not, or the driver is not installed.
    """
    secret = settings.dagster.postgres
    address = "" if secret is None else secret.get_secret_value()
    place = urlsplit(address)
    try:
        import psycopg2
    except ModuleNotFoundError as error:
        raise FinanceLakeError("The Postgres driver is missing.", remedy="Install `financelake[postgres]`.") from error
    try:
        with psycopg2.connect(address, connect_timeout=_SECONDS) as connection:
            version = connection.info.server_version
    except psycopg2.Error as error:
        raise FinanceLakeError(
            f"Postgres at {place.hostname}:{place.port or 5432} does not let {place.username} in: {str(error).strip()}",
            remedy="Check FINANCELAKE_DAGSTER__POSTGRES, postgresql://user:password@host/database.",
        ) from error
    return f"Postgres {version // 10000}.{version % 10000} at {place.hostname}"


def dagster(settings: Settings) -> str:
    """Check that Dagster's webserver answers.

    Raises:
        FinanceLakeError: it does not.
    """
    problem = probes.http(f"{settings.dagster_url}/server_info")
    if problem is not None:
        raise FinanceLakeError(f"Dagster {problem}.", remedy="Check FINANCELAKE_HOST and the webserver's log.")
    return settings.dagster_url
