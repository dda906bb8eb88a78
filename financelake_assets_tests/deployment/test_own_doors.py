"""Each door of a laptop's lake, tried by another user of the machine, who reaches its ports and none of its files.

Each server runs with the secrets that ``up`` makes, and each client takes them by itself.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic
from pydantic import SecretStr

from financelake_assets.bronze.access import spark_options
from financelake_assets.bronze.broker import BrokerUnavailableError, client_config
from financelake_assets.bronze.producer import BronzeProducer
from financelake_assets.bronze.reading import read
from financelake_assets.bronze.topics import ensure_topics, watermarks
from financelake_assets.config import STREAMS_SESSION_ID, Settings, own_secrets
from financelake_assets.publishing.sender import TRANSACTIONAL_ID
from financelake_assets.servers import dagster, kafka, kafka_access
from financelake_assets.servers import own_secrets as made
from financelake_assets.silver.reading import source_options
from financelake_assets.spark_sessions import SparkUnavailableError, job_session, streams_session
from financelake_assets.supervision import processes
from financelake_assets_tests import shared_servers

pytestmark = pytest.mark.integration

NOBODY = 65534


def as_another_user(attempt: Callable[[], object]) -> str:
    """The name of the error that another user's attempt ends with; empty where it succeeds. Needs root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            attempt()
        except BaseException as error:
            os.write(writing, type(error).__name__.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A lake with secrets, in a data folder that is open to others, as one of an earlier release may be."""
    data_dir = Path(tempfile.mkdtemp(prefix="financelake-doors-"))
    data_dir.chmod(0o755)
    ports = shared_servers.laptop(data_dir)
    made.make(data_dir)
    yield ports.with_own_secrets()
    shutil.rmtree(data_dir)


def stranger(lake: Settings) -> Settings:
    """The settings of a user who knows the ports and nothing else."""
    given = lake.model_dump(include={"spark": {"port"}})
    kafka_port = {"port": lake.kafka.login_port}
    return Settings.model_validate({**given, "kafka": kafka_port, "data_dir": lake.data_dir / "elsewhere"})


@pytest.fixture(scope="module")
def broker(own: Settings) -> Iterator[int]:
    with shared_servers.broker(own) as pid:
        ensure_topics(own)
        kafka_access.open_to_clients(own)
        yield pid


def test_kafka_serves_the_lake_which_says_nothing_of_a_password(own: Settings, broker: int):
    with BronzeProducer(own, give_up_seconds=30) as producer:
        producer.send("bronze.crypto", "BTC-USD", "{}", [])
        producer.flush()
    marks = watermarks(own)["bronze.crypto"]
    spans = {("bronze.crypto", partition): span for partition, span in marks.items()}
    assert [message.value() for message in read(own, spans)] == [b"{}"]


def test_the_owners_other_kafka_clients_find_the_login(own: Settings, broker: int):
    made.write_client_files(own)
    place = own_secrets.folder(own.data_dir)
    assert stat.S_IMODE((place / made.JAVA).stat().st_mode) == 0o600
    written = (place / made.LIBRDKAFKA).read_text().splitlines()
    found = AdminClient(dict(line.split("=", 1) for line in written)).list_topics(timeout=60)
    assert "bronze.crypto" in found.topics
    java = dict(line.split("=", 1) for line in (place / made.JAVA).read_text().splitlines())
    assert java["sasl.jaas.config"] == spark_options(own)["kafka.sasl.jaas.config"]
    assert java["bootstrap.servers"] == own.kafka_bootstrap


def test_kafkas_login_and_its_controller_serve_nobody_else(own: Settings, broker: int):
    plain = {"bootstrap.servers": own.kafka_bootstrap, "log_level": 0}
    wrong = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "lake"}
    guessed = {**plain, **wrong, "sasl.password": str(own.kafka.port)}
    for config in (plain, guessed):
        with pytest.raises(KafkaException):
            AdminClient(config).list_topics(timeout=3)
    producer = Producer({**plain, "message.timeout.ms": 3_000})
    refused: list[Any] = []
    producer.produce("bronze.crypto", b"forged", on_delivery=lambda error, _: refused.append(error))
    producer.flush(10)
    assert refused[0] is not None
    assert not answers(own.kafka.login_port)
    assert not answers(own.kafka.controller_port)


def answers(port: int) -> bytes:
    """What a broker or controller answers to one who asks about the cluster and has not logged in; empty for nothing.

    librdkafka does not speak to controllers, so this is the request itself (DescribeCluster, key 60, version 0).
    """
    body = struct.pack(">hhihBBB", 60, 0, 7, -1, 0, 0, 0)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        try:
            return connection.recv(8)
        except ConnectionError:
            return b""


def test_any_client_may_publish_on_the_bronze_topics_and_do_nothing_else(own: Settings, broker: int):
    """docs/message.md promises the first; the second keeps topics, positions, users' data and the cluster apart."""
    plain = {"bootstrap.servers": f"127.0.0.1:{own.kafka.port}", "log_level": 0}
    before = sum(high for _, high in watermarks(own)["bronze.stock"].values())
    for more in ({}, {"enable.idempotence": True}):
        producer = Producer({**plain, **more})
        producer.produce("bronze.stock", b"{}", "AAPL")
        assert producer.flush(20) == 0
    bank = Producer({**plain, "transactional.id": "a-bank"})
    bank.init_transactions(20)
    bank.begin_transaction()
    bank.produce("bronze.stock", b"{}", "AAPL")
    bank.commit_transaction(20)
    assert sum(high for _, high in watermarks(own)["bronze.stock"].values()) >= before + 3

    stranger_there = AdminClient(plain)
    attempts: list[dict[Any, Any]] = [
        stranger_there.delete_topics(["bronze.stock"], request_timeout=60),
        stranger_there.create_topics([NewTopic("bronze.mine", 1, 1)], request_timeout=60),
        stranger_there.create_partitions([NewPartitions("bronze.stock", 9)], request_timeout=60),
        stranger_there.create_acls([kafka_access.rights("ANONYMOUS")[0]], request_timeout=60),
        stranger_there.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, "bronze.stock")]),
    ]
    for refused in attempts:
        for future in refused.values():
            with pytest.raises(KafkaException, match=r"(?i)authoriz|denied"):
                future.result(20)
    errors: list[Any] = []
    for topic in ("bronze.positions", "bronze.dead_letter"):
        producer.produce(topic, b"{}", on_delivery=lambda error, _: errors.append(error))
    producer.flush(20)
    assert len(errors) == 2
    assert all(errors)
    consumer = Consumer({**plain, "group.id": "thief"})
    consumer.assign([TopicPartition("bronze.stock", 0, 0)])
    message = consumer.poll(10)
    consumer.close()
    assert message is None or message.error() is not None


def test_any_client_may_read_what_leaves_the_lake_and_cannot_disturb_it(own: Settings, broker: int):
    plain = {"bootstrap.servers": f"127.0.0.1:{own.kafka.port}", "log_level": 0}
    ours = Producer({**client_config(own), "transactional.id": TRANSACTIONAL_ID})
    ours.init_transactions(20)
    ours.begin_transaction()
    ours.produce("gold.signals", b"{}", "AAPL")
    ours.produce("gold.positions", b"{}", "gold.signals")
    consumer = Consumer({**plain, "group.id": "anybody", "auto.offset.reset": "earliest"})
    consumer.subscribe(["gold.signals"])
    bandit = Producer({**plain, "transactional.id": TRANSACTIONAL_ID})
    with pytest.raises(KafkaException, match=r"(?i)authoriz"):
        bandit.init_transactions(20)
    ours.commit_transaction(20)
    message = consumer.poll(30)
    assert message is not None
    assert message.value() == b"{}"
    consumer.commit(message, asynchronous=False)
    consumer.close()
    errors: list[Any] = []
    stranger_there = Producer(plain)
    for topic in ("gold.signals", "gold.positions"):
        stranger_there.produce(topic, b"{}", on_delivery=lambda error, _: errors.append(error))
    stranger_there.flush(20)
    assert len(errors) == 2
    assert all(errors)
    for topic, group in (("gold.positions", "anybody"), ("gold.signals", "financelake-reads-once")):
        consumer = Consumer({**plain, "group.id": group, "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        message = consumer.poll(10)
        consumer.close()
        assert message is None or message.error() is not None, (topic, group)


def test_a_broker_can_be_closed_to_all_without_the_login(own: Settings, tmp_path: Path):
    closed = own.model_copy(update={"kafka": own.kafka.model_copy(update={"open": False})})
    written = kafka.server_properties(closed)
    assert "OPEN://" not in written
    assert closed.kafka_bootstrap.endswith(f":{own.kafka.port}")


def test_a_stranger_is_told_where_the_login_is(own: Settings, broker: int):
    with pytest.raises(BrokerUnavailableError, match="`secrets`"):
        watermarks(stranger(own))


def test_a_broker_that_was_formatted_without_passwords_takes_them(own: Settings, tmp_path: Path):
    """An update needs no new broker, and a password that was made again holds from the next start on."""
    lake = shared_servers.laptop(tmp_path / "lake")
    with shared_servers.broker(lake):
        ensure_topics(lake)
        assert answers(lake.kafka.port), "or the question is a wrong one"
        assert answers(lake.kafka.controller_port)
    for _ in range(2):
        made.make(lake.data_dir)
        closed = lake.with_own_secrets()
        with shared_servers.broker(closed):
            assert watermarks(closed)["bronze.crypto"]
            with pytest.raises(BrokerUnavailableError):
                watermarks(lake)
        for name in own_secrets.NAMES:
            (own_secrets.folder(lake.data_dir) / name).unlink()


def test_no_secret_is_on_a_command_line_or_in_a_file_that_others_read(own: Settings, broker: int):
    known = [(own_secrets.folder(own.data_dir) / name).read_text().strip() for name in own_secrets.NAMES]
    argv = " ".join(psutil.Process(broker).cmdline())
    assert not [secret for secret in known if secret in argv]
    files = [file for file in own.data_dir.rglob("*") if file.is_file()]
    telling = [file for file in files if any(secret.encode() in file.read_bytes() for secret in known)]
    assert kafka.folder(own) / "server.properties" in telling
    assert not [file for file in telling if stat.S_IMODE(file.stat().st_mode) & 0o077]
    assert "password" not in str(source_options(stranger(own)))
    assert spark_options(own)["kafka.sasl.jaas.config"]


def test_spark_serves_the_lake_alone_and_shows_no_password_of_kafkas(own: Settings, broker: int):
    with shared_servers.spark_server(own) as pid:
        session = job_session(own)
        rows = session.read.format("kafka").options(**source_options(own)).load()
        assert rows.count() >= 1, "Spark's own source logs in"
        shown = rows._explain_string(extended=True)
        assert own.kafka.password is not None
        assert own.kafka.password.get_secret_value() not in shown
        session.stop()
        for token in (None, SecretStr("another token")):
            other = stranger(own)
            other = other.model_copy(update={"spark": other.spark.model_copy(update={"token": token})})
            with pytest.raises(SparkUnavailableError, match="FINANCELAKE_SPARK__TOKEN"):
                job_session(other)
            with pytest.raises(SparkUnavailableError, match="FINANCELAKE_SPARK__TOKEN"):
                streams_session(other)
        assert STREAMS_SESSION_ID not in own.streams_remote
        assert_listens_only_behind_a_secret(own, pid)
    log = (own.data_dir / "logs" / "spark.log").read_text()
    known = [(own_secrets.folder(own.data_dir) / name).read_text().strip() for name in own_secrets.NAMES]
    assert not [secret for secret in known if secret in log]


def assert_listens_only_behind_a_secret(lake: Settings, pid: int) -> None:
    """The driver's own ports take Java objects; without ``spark.authenticate`` they would take anybody's."""
    process = psutil.Process(pid)
    ports = {each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    assert ports - {lake.spark_port}, "the driver has ports of its own"
    properties = (lake.data_dir / "spark" / "spark.properties").read_text()
    assert "spark.authenticate true" in properties


def test_dagsters_code_location_is_on_no_port_and_only_its_owner_enters_its_socket(own: Settings):
    dagster.prepare(own)
    log = own.data_dir / "logs" / "dagster-code.log"
    probe = lambda: processes.code_location(own)  # noqa: E731
    with shared_servers.running(dagster.code_server(own), own, log, probe) as pid:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        connections = [each for process in family for each in process.net_connections("tcp")]
        assert not [each for each in connections if each.status == psutil.CONN_LISTEN]

        def connect() -> None:
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(str(dagster.code_socket(own)))

        connect()
        assert as_another_user(connect) == "PermissionError"
