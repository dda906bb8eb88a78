"""Each door of a secured lake, tried without a key, with a wrong one, and with somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from pydantic import SecretStr

from financelake_assets.bronze.access import AccessError
from financelake_assets.bronze.broker import AccessDeniedError, BrokerUnavailableError, client_config
from financelake_assets.bronze.producer import BronzeProducer
from financelake_assets.bronze.reading import read
from financelake_assets.bronze.topics import ensure_topics, watermarks
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import jars, kafka, kafka_access
from financelake_assets.servers.java import find_java
from financelake_assets.supervision import probes
from financelake_assets_tests import shared_servers
from financelake_assets_tests.deployment.cluster import make_secrets

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("secrets") / "made")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[Settings]:
    """A broker that asks for a login, and the settings of the lake that it knows."""
    port, controller, internal = shared_servers.free_ports(3)
    group = {
        "port": port,
        "controller_port": controller,
        "internal_port": internal,
        "security": "SASL_SSL",
        "username": "lake",
        "password": (made / "kafka-lake").read_text().strip(),
        "admin_password": (made / "kafka-admin").read_text().strip(),
        "ca_file": made / "ca.pem",
        "keystore_file": made / "kafka.pem",
    }
    lake = Settings.model_validate({"data_dir": tmp_path_factory.mktemp("locked"), "kafka": group})
    java, class_path = find_java(), jars.class_path("kafka", lake)
    kafka.prepare(lake, java, class_path)
    command = kafka.command(lake, java, class_path)
    log = lake.data_dir / "logs" / "broker.log"
    with shared_servers.running(command, lake, log, lambda: probes.kafka("127.0.0.1", port, made / "ca.pem")):
        kafka_access.grant(lake)
        ensure_topics(lake)
        yield lake


def client(lake: Settings, **changes: Any) -> Settings:
    return lake.model_copy(update={"kafka": lake.kafka.model_copy(update=changes)})


def test_the_lake_itself_writes_and_reads(locked: Settings):
    with BronzeProducer(locked, give_up_seconds=30) as producer:
        producer.send("bronze.crypto", "BTC-USD", "{}", [])
        producer.flush()
    marks = watermarks(locked)["bronze.crypto"]
    spans = {("bronze.crypto", partition): span for partition, span in marks.items()}
    assert [message.value() for message in read(locked, spans)] == [b"{}"]


def test_a_client_without_credentials_is_told_what_it_lacks(locked: Settings):
    with pytest.raises(BrokerUnavailableError, match="FINANCELAKE_KAFKA__SECURITY"):
        watermarks(client(locked, security="PLAINTEXT"))


def test_a_wrong_password_gets_in_nowhere(locked: Settings):
    with pytest.raises(AccessDeniedError, match="FINANCELAKE_KAFKA__PASSWORD") as raised:
        watermarks(client(locked, password=SecretStr("something else")))
    assert "something else" not in str(raised.value)


def test_an_unknown_user_gets_in_nowhere(locked: Settings):
    with pytest.raises(AccessDeniedError, match="user nobody"):
        watermarks(client(locked, username="nobody"))


def test_a_broker_with_a_certificate_of_another_authority_is_not_trusted(locked: Settings, tmp_path: Path):
    other = make_secrets(tmp_path / "other")
    with pytest.raises(AccessDeniedError, match="FINANCELAKE_KAFKA__CA_FILE"):
        watermarks(client(locked, ca_file=other / "ca.pem"))


def test_a_known_user_without_rights_neither_sees_nor_writes_the_topics(locked: Settings):
    admin = {**client_config(locked), "sasl.username": kafka.ADMIN}
    secret = locked.kafka.admin_password
    assert secret is not None
    admin["sasl.password"] = secret.get_secret_value()
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    added = UserScramCredentialUpsertion("stranger", scram, b"strangers password")
    administrator = AdminClient(admin)
    for future in administrator.alter_user_scram_credentials([added]).values():
        future.result(10)
    config = {**client_config(locked), "sasl.username": "stranger", "sasl.password": "strangers password"}
    seen = AdminClient(config).list_topics(timeout=60).topics
    assert not [name for name in seen if name.startswith("bronze.")]
    refused: list[Any] = []
    producer = Producer({**config, "message.timeout.ms": 10_000})
    producer.produce("bronze.stock", b"{}", on_delivery=lambda error, _: refused.append(error))
    assert producer.flush(20) == 0
    assert "authorization" in refused[0].str().lower()
    assert sum(high for _, high in watermarks(locked)["bronze.stock"].values()) == 0


@pytest.mark.parametrize("listener", ["internal_port", "controller_port"])
def test_who_has_no_certificate_is_no_broker(locked: Settings, made: Path, listener: str):
    assert probes.kafka("127.0.0.1", locked.kafka.port, made / "ca.pem") is None
    assert probes.kafka("127.0.0.1", getattr(locked.kafka, listener), made / "ca.pem") is not None


def test_no_password_is_on_a_command_line_or_in_a_file_that_others_read(locked: Settings, made: Path):
    home = kafka.folder(locked)
    for name in ("kafka-admin", "kafka-lake"):
        secret = (made / name).read_text().strip()
        argv = kafka.command(locked, find_java(), []).argv
        assert not [argument for argument in argv if secret in argument]
        assert not [file for file in home.iterdir() if file.is_file() and secret in file.read_text(errors="replace")]


@pytest.mark.parametrize("missing", ["username", "password", "ca_file"])
def test_what_is_missing_is_named_before_anything_connects(tmp_path: Path, missing: str):
    known = {"username": "lake", "password": SecretStr("secret"), "ca_file": tmp_path / "ca.pem"}
    (tmp_path / "ca.pem").write_text("")
    lake = client(Settings(data_dir=tmp_path), security="SASL_SSL", **{**known, missing: None})
    with pytest.raises(AccessError, match=f"needs FINANCELAKE_KAFKA__{missing.upper()}"):
        client_config(lake)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"keystore_file": None}, "FINANCELAKE_KAFKA__KEYSTORE_FILE"),
        ({"admin_password": None}, "FINANCELAKE_KAFKA__ADMIN_PASSWORD"),
        ({"ca_file": Path("/no/such.pem")}, "FINANCELAKE_KAFKA__CA_FILE"),
        ({"admin_password": SecretStr("a,b] c")}, "FINANCELAKE_KAFKA__ADMIN_PASSWORD"),
    ],
)
def test_a_secured_broker_does_not_start_half_configured(locked: Settings, changes: dict[str, Any], named: str):
    with pytest.raises(FinanceLakeError, match=named):
        kafka.prepare(client(locked, **changes), find_java(), [])
