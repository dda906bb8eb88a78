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
from financelake_assets.bronze.topics import BRONZE, GOLD
from financelake_assets.config import Settings
from financelake_assets.servers.kafka import ADMIN

TOPICS = ("bronze.", "gold.")
"""Every topic of a lake begins with one of these."""
GROUPS = ("spark-kafka-", "financelake-")
"""Consumer groups that Spark's source and the lake's own readers name; no offset is committed under them."""
TRANSACTIONS = "financelake-"
"""How the lake's own transactional ids begin."""

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


def open_to_clients(settings: Settings) -> None:
    """Let clients without a login publish on the bronze topics, in transactions too, and read what leaves the lake.

    They may do nothing else, and cannot use a transactional id of the lake's, which would end its own transactions.

    Raises:
        BrokerUnavailableError: the broker did not answer, or refused.
    """
    allowed = [(ResourceType.TOPIC, topic, AclOperation.WRITE) for topic in BRONZE]
    allowed += [(ResourceType.TOPIC, topic, AclOperation.READ) for topic in GOLD]
    allowed += [(ResourceType.TRANSACTIONAL_ID, "*", AclOperation.WRITE), (ResourceType.GROUP, "*", AclOperation.READ)]
    anyone = "User:ANONYMOUS"
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, anyone, "*", operation, AclPermissionType.ALLOW)
        for kind, name, operation in allowed
    ]
    for kind, prefix in [(ResourceType.TRANSACTIONAL_ID, TRANSACTIONS), *((ResourceType.GROUP, one) for one in GROUPS)]:
        own = (kind, prefix, ResourcePatternType.PREFIXED, anyone, "*", AclOperation.ALL, AclPermissionType.DENY)
        bindings.append(AclBinding(*own))
    admin = AdminClient(client_config(settings))  # kept until it is answered
    _settle(admin.create_acls(bindings, request_timeout=_SECONDS), settings)


def rights(username: str) -> list[AclBinding]:
    """Everything on the lake's topics, also in its own transactions, and reading under its groups' names."""
    topics = [(ResourceType.TOPIC, prefix, AclOperation.ALL) for prefix in TOPICS]
    groups = [(ResourceType.GROUP, prefix, AclOperation.READ) for prefix in GROUPS]
    transactions = [(ResourceType.TRANSACTIONAL_ID, TRANSACTIONS, AclOperation.ALL)]
    return [
        AclBinding(
            kind, name, ResourcePatternType.PREFIXED, f"User:{username}", "*", operation, AclPermissionType.ALLOW
        )
        for kind, name, operation in [*topics, *groups, *transactions]
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
