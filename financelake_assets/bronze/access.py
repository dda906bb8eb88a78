"""How a lake's clients log in to Kafka: librdkafka's (producer, consumer, administration) and Spark's source alike.

Input: settings. Output: the options that each kind of client adds to its own; none for a broker without security. What
is missing is named before anything connects, because a client without credentials only sees a connection that ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from financelake_assets.config import KafkaSettings, Settings
from financelake_assets.errors import FinanceLakeError


class AccessError(FinanceLakeError, ValueError):
    """The settings for a secured broker are incomplete; the message names what to set."""


@dataclass(frozen=True)
class Login:
    """What it takes to log in; ``ca_file`` where the broker speaks TLS."""

    username: str
    password: str
    ca_file: Path | None


def login(kafka: KafkaSettings) -> Login:
    """The complete credentials of the settings.

    Raises:
        AccessError: something is missing.
    """
    values = {
        "username": kafka.username,
        "password": kafka.password,
        **({"ca_file": kafka.ca_file} if kafka.tls else {}),
    }
    missing = [f"FINANCELAKE_KAFKA__{name.upper()}" for name, value in values.items() if value is None]
    if kafka.username is None or kafka.password is None or missing:
        raise AccessError(f"FINANCELAKE_KAFKA__SECURITY is {kafka.security}, which needs {' and '.join(missing)}.")
    ca_file = kafka.ca_file if kafka.tls else None
    if ca_file is not None and not ca_file.is_file():
        raise AccessError(f"FINANCELAKE_KAFKA__CA_FILE names {ca_file}, which is no file.")
    return Login(kafka.username, kafka.password.get_secret_value(), ca_file)


def client_options(settings: Settings) -> dict[str, str]:
    """For confluent-kafka; raises as ``login`` does."""
    if settings.kafka.security == "PLAINTEXT":
        return {}
    who = login(settings.kafka)
    return {
        "security.protocol": settings.kafka.security,
        "sasl.mechanism": settings.kafka.sasl_mechanism,
        "sasl.username": who.username,
        "sasl.password": who.password,
        **({} if who.ca_file is None else {"ssl.ca.location": str(who.ca_file)}),
    }


def spark_options(settings: Settings) -> dict[str, str]:
    """For Spark's Kafka source; raises as ``login`` does."""
    if settings.kafka.security == "PLAINTEXT":
        return {}
    who = login(settings.kafka)
    return {
        "kafka.security.protocol": settings.kafka.security,
        "kafka.sasl.mechanism": settings.kafka.sasl_mechanism,
        "kafka.sasl.jaas.config": _jaas(settings.kafka.sasl_mechanism, who),
        **(
            {}
            if who.ca_file is None
            else {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": str(who.ca_file)}
        ),
    }


def _jaas(mechanism: str, who: Login) -> str:
    module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
    name, password = (f'"{_escaped(value)}"' for value in (who.username, who.password))
    return f"org.apache.kafka.common.security.{module} required username={name} password={password};"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
