"""Who may do what on a secured broker: ``python -m financelake_assets.servers.kafka_access``.

Input: settings with the administrator's password and the lake's own user. Output: that user with its password and with
rights on the lake's topics, nothing else. Doing it again changes nothing, but a new password takes effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from financelake_assets.bronze.access import AccessError, login
from financelake_assets.bronze.broker import client_config, unavailable
from financelake_assets.bronze.topics import BRONZE
from financelake_assets.config import Settings
from financelake_assets.servers.kafka import ADMIN

TOPICS = "bronze."
"""Every topic of a lake begins so."""
GROUPS = ("spark-kafka-", "financelake-")
"""Consumer groups that Spark's source and the lake's own readers name; no offset is committed under them."""

_SECONDS = 15.0
_ITERATIONS = 8192


def grant(settings: Settings) -> None:
    """Make the lake's user and give it its rights.

    Raises:
        AccessError: the settings lack a password.
        BrokerUnavailableError: the broker did not answer, or refused.
    """
    who, password = login(settings.kafka), settings.kafka.admin_password
    if password is None:
        raise AccessError("FINANCELAKE_KAFKA__ADMIN_PASSWORD is not set, and only the administrator can make users.")
    admin = AdminClient(
        {**client_config(settings), "sasl.username": ADMIN, "sasl.password": password.get_secret_value()}
    )
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
    user = UserScramCredentialUpsertion(who.username, scram, who.password.encode())
    _settle(admin.alter_user_scram_credentials([user], request_timeout=_SECONDS), settings)
    _settle(admin.create_acls(rights(who.username), request_timeout=_SECONDS), settings)


def open_to_publishers(settings: Settings) -> None:
    """Let clients without a login publish on the bronze topics, in transactions too, and do nothing else.

    Raises:
        BrokerUnavailableError: the broker did not answer, or refused.
    """
    granted = [(ResourceType.TOPIC, topic, AclOperation.WRITE) for topic in BRONZE]
    granted.append((ResourceType.TRANSACTIONAL_ID, "*", AclOperation.WRITE))
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, AclPermissionType.ALLOW)
        for kind, name, operation in granted
    ]
    admin = AdminClient(client_config(settings))  # kept until it is answered
    _settle(admin.create_acls(bindings, request_timeout=_SECONDS), settings)


def rights(username: str) -> list[AclBinding]:
    """Everything on the lake's topics, reading under its groups' names."""
    topics = [(ResourceType.TOPIC, TOPICS, AclOperation.ALL)]
    groups = [(ResourceType.GROUP, prefix, AclOperation.READ) for prefix in GROUPS]
    return [
        AclBinding(
            kind, name, ResourcePatternType.PREFIXED, f"User:{username}", "*", operation, AclPermissionType.ALLOW
        )
        for kind, name, operation in [*topics, *groups]
    ]


def _settle(futures: Mapping[Any, Future[Any]], settings: Settings) -> None:
    for future in futures.values():
        try:
            future.result(timeout=_SECONDS + 1)
        except (KafkaException, TimeoutError) as error:
            raise unavailable(settings, error) from error


if __name__ == "__main__":
    from financelake_assets.config import get_settings

    grant(get_settings())
