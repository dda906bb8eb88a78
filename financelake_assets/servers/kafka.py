"""A Kafka broker in KRaft mode, run from the locked jars: alone on a laptop, or one of several in a cluster.

Input: settings and a class path. Output: ``<data_dir>/kafka`` formatted exactly once, and the command that runs the
broker. A folder whose formatting was cut short is completed with the same cluster id; message data is never removed.

With ``kafka.security=SASL_SSL`` clients log in over TLS and may do what was granted to them (``kafka_access.py``), and
brokers know each other by certificates of the lake's authority with the common name ``broker``. With
``SASL_PLAINTEXT``, which is for a broker on loopback, clients and the broker itself log in with passwords that are in
its configuration: so a folder that was formatted without them needs nothing more, and a new password holds from the
next start on. Unless ``kafka.open`` is off, it has a second port without a login, on which any client may publish on
the bronze topics and do nothing else.
"""

from __future__ import annotations

import base64
import re
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from financelake_assets.config import KafkaSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.files import write_whole
from financelake_assets.servers import class_archives, jars
from financelake_assets.servers.command import Command, joined
from financelake_assets.servers.java import Java

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # an address to listen on, never to advertise

ADMIN = "admin"
"""The user who may do everything on a secured broker; only ``kafka_access.py`` logs in as it."""

_JMX_RULES = """\
lowercaseOutputName: true
includeObjectNames:
  - "kafka.server:type=BrokerTopicMetrics,*"
  - "kafka.server:type=ReplicaManager,*"
  - "kafka.controller:type=KafkaController,*"
  - "kafka.network:type=RequestMetrics,name=TotalTimeMs,*"
  - "java.lang:type=Memory"
rules:
  - pattern: "kafka.server<type=(BrokerTopicMetrics), name=(.+)PerSec, topic=(.+)><>Count"
    name: kafka_topic_$2_total
    labels: {topic: "$3"}
    type: COUNTER
  - pattern: "kafka.server<type=(BrokerTopicMetrics), name=(.+)PerSec><>Count"
    name: kafka_broker_$2_total
    type: COUNTER
  - pattern: "kafka.server<type=ReplicaManager, name=(.+)><>Value"
    name: kafka_replica_$1
  - pattern: "kafka.controller<type=KafkaController, name=(.+)><>Value"
    name: kafka_controller_$1
  - pattern: "kafka.network<type=RequestMetrics, name=TotalTimeMs, request=(.+)><>99thPercentile"
    name: kafka_request_p99_milliseconds
    labels: {request: "$1"}
  - pattern: "java.lang<type=Memory><HeapMemoryUsage>used"
    name: kafka_heap_used_bytes
"""

_FIRST_USERS = "first-users.args"
_PASSWORD = r"[A-Za-z0-9._~-]{12,}"  # noqa: S105  # what one may be made of
_USER = r"[A-Za-z0-9_-]+"

_LOG4J2 = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_OUT
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss.SSS} %-5p %c{1.} - %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


def folder(settings: Settings) -> Path:
    """Everything that the broker keeps."""
    return settings.data_dir / "kafka"


def server_properties(settings: Settings) -> str:
    """The broker's configuration: broker and controller in one, sized for a laptop."""
    kafka = settings.kafka
    in_sync = max(1, kafka.replication - 1)
    values = {
        "process.roles": "broker,controller",
        "node.id": kafka.node_id,
        "controller.quorum.voters": kafka.voters or f"{kafka.node_id}@{_reachable(settings, kafka.controller_port)}",
        "controller.listener.names": "CONTROLLER",
        **_LISTENERS[kafka.security](settings),
        "log.dirs": folder(settings) / "data",
        "auto.create.topics.enable": "false",
        "num.partitions": kafka.partitions,
        "default.replication.factor": kafka.replication,
        "min.insync.replicas": in_sync,
        # internal topics: few files
        "offsets.topic.replication.factor": kafka.replication,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": kafka.replication,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": kafka.replication,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        # a small machine
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "log.cleaner.dedupe.buffer.size": 16 << 20,
        "log.segment.bytes": 64 << 20,
        "log.retention.check.interval.ms": 60_000,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _plain(settings: Settings) -> dict[str, object]:
    port = settings.kafka.port
    return {
        "listeners": f"PLAINTEXT://{_bracketed(settings.host)}:{port + settings.port_offset},{_controller(settings)}",
        "advertised.listeners": f"PLAINTEXT://{_reachable(settings, port)}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }


def _with_passwords(settings: Settings) -> dict[str, object]:
    """Clients log in by name and password, and so does the broker to its controller, whose port is as open."""
    kafka = settings.kafka
    users = {ADMIN: kafka.admin_password, kafka.username: kafka.password}
    known = {name: secret.get_secret_value() for name, secret in users.items() if secret is not None}
    module = f'org.apache.kafka.common.security.plain.PlainLoginModule required username="{ADMIN}"'
    itself = f'{module} password="{known[ADMIN]}" user_{ADMIN}="{known[ADMIN]}"'
    others = "".join(f' user_{name}="{secret}"' for name, secret in known.items() if name != ADMIN)
    ports = {"CLIENT": kafka.login_port, "OPEN": kafka.port} if kafka.publishes_for_all else {"CLIENT": kafka.port}
    host, offset = _bracketed(settings.host), settings.port_offset
    listeners = [f"{name}://{host}:{port + offset}" for name, port in ports.items()]
    return {
        **(_only_what_was_granted(f"User:{kafka.username}") if kafka.publishes_for_all else {}),
        "listeners": ",".join([*listeners, _controller(settings)]),
        "advertised.listeners": ",".join(f"{name}://{_reachable(settings, port)}" for name, port in ports.items()),
        "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,OPEN:PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.client.plain.sasl.jaas.config": f"{itself}{others};",
        "listener.name.controller.plain.sasl.jaas.config": f"{itself};",
    }


def _secured(settings: Settings) -> dict[str, object]:
    """Clients by SCRAM over TLS, brokers and controllers by certificate; nobody may do what was not granted."""
    kafka = settings.kafka
    port, internal = kafka.port + settings.port_offset, _reachable(settings, kafka.internal_port)
    scram = "listener.name.client.scram-sha-512.sasl.jaas.config"
    return {
        "listeners": f"CLIENT://{_bracketed(settings.host)}:{port},INTERNAL://{internal},{_controller(settings)}",
        "advertised.listeners": f"CLIENT://{_reachable(settings, kafka.port)},INTERNAL://{internal}",
        "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "INTERNAL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        scram: "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": kafka.keystore_file,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": kafka.ca_file,
        "listener.name.internal.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^(?:.*,)?CN=([^,]+)(?:,.*)?$/$1/",
        **_only_what_was_granted("User:broker"),
    }


def _only_what_was_granted(*super_users: str) -> dict[str, object]:
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": ";".join((f"User:{ADMIN}", *super_users)),
    }


_LISTENERS = {"PLAINTEXT": _plain, "SASL_PLAINTEXT": _with_passwords, "SASL_SSL": _secured}


def _controller(settings: Settings) -> str:
    return f"CONTROLLER://{_reachable(settings, settings.kafka.controller_port)}"


def _reachable(settings: Settings, port: int) -> str:
    return f"{_bracketed(_WILDCARDS.get(settings.host, settings.host))}:{port + settings.port_offset}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def prepare(settings: Settings, java: Java, class_path: Sequence[Path]) -> None:
    """Write the configuration, and format the data folder where that has not been completed.

    Raises:
        FinanceLakeError: formatting failed, or the folder belongs to another cluster than this lake's.
    """
    _check(settings.kafka)
    home = folder(settings)
    (home / "data").mkdir(parents=True, exist_ok=True)
    write_whole(home / "server.properties", server_properties(settings), private=True)
    (home / "log4j2.properties").write_text(_LOG4J2)
    cluster = _cluster_id(home, settings.kafka)
    found = formatted_for(home / "data", settings.kafka.node_id)
    if found == cluster:
        return
    if found is not None:
        raise FinanceLakeError(
            f"{home / 'data'} belongs to the Kafka cluster {found}, not to this lake's {cluster}.",
            remedy=f"Write {found} into {home / 'cluster.id'} if the data is yours, or use another "
            "FINANCELAKE_DATA_DIR.",
        )
    _set_aside_damaged(home / "data" / "meta.properties")
    done = subprocess.run(  # noqa: S603
        [
            java.executable,
            "-Xmx128m",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
            "-cp",
            joined(class_path),
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",  # an id may begin with a dash, which would look like an option
            "--config",
            str(home / "server.properties"),
            "--ignore-formatted",
            *_first_users(home, settings.kafka),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    (home / _FIRST_USERS).unlink(missing_ok=True)
    if done.returncode or formatted_for(home / "data", settings.kafka.node_id) != cluster:
        raise FinanceLakeError(
            f"The broker's folder {home / 'data'} could not be formatted:\n{(done.stderr or done.stdout).strip()}",
            remedy="Check that the disk is writable and has space.",
        )


def _check(kafka: KafkaSettings) -> None:
    """What a secured broker needs is there, before a JVM says it in its own words."""
    if kafka.security == "PLAINTEXT":
        return
    needed: dict[str, object] = {"ADMIN_PASSWORD": kafka.admin_password}
    if kafka.tls:
        needed |= {"KEYSTORE_FILE": kafka.keystore_file, "CA_FILE": kafka.ca_file}
    else:
        needed |= {"USERNAME": kafka.username, "PASSWORD": kafka.password}
    missing = [f"FINANCELAKE_KAFKA__{name}" for name, value in needed.items() if value is None]
    if missing:
        raise FinanceLakeError(
            f"A broker with FINANCELAKE_KAFKA__SECURITY={kafka.security} needs {' and '.join(missing)}.",
            remedy="`docker/secrets.sh FOLDER` makes certificates and passwords; see docs/deployment.md. For a broker "
            "on loopback `financelake up` makes the passwords.",
        )
    for name, value in needed.items():
        if isinstance(value, Path) and not value.is_file():
            raise FinanceLakeError(f"FINANCELAKE_KAFKA__{name} names {value}, which is no file.", remedy="Correct it.")
    plain = {"ADMIN_PASSWORD": kafka.admin_password}
    if not kafka.tls:
        plain |= {"PASSWORD": kafka.password}
    for name, secret in plain.items():
        if secret and not re.fullmatch(_PASSWORD, secret.get_secret_value()):
            raise FinanceLakeError(
                f"FINANCELAKE_KAFKA__{name} has a character that Kafka's own files cannot take, or is too short.",
                remedy="Use 12 or more letters, digits and -._~",
            )
    if not kafka.tls and not re.fullmatch(_USER, kafka.username or ""):
        raise FinanceLakeError("FINANCELAKE_KAFKA__USERNAME is no plain name.", remedy="Use letters, digits and -_")


def _first_users(home: Path, kafka: KafkaSettings) -> list[str]:
    """The administrator as arguments for the formatting, by a file that nobody else can read."""
    if not kafka.tls or kafka.admin_password is None:
        return []
    file = home / _FIRST_USERS
    first = f"--add-scram\nSCRAM-SHA-512=[name={ADMIN},password={kafka.admin_password.get_secret_value()}]\n"
    write_whole(file, first, private=True)
    return [f"@{file}"]


def formatted_for(data: Path, node_id: int = 1) -> str | None:
    """The cluster id that a broker folder was completely formatted for; ``None`` when it was not, or only half."""
    try:
        lines = (data / "meta.properties").read_text().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    complete = values.get("node.id") == str(node_id) and values.get("version") == "1"
    return values.get("cluster.id") if complete else None


def command(settings: Settings, java: Java, class_path: Sequence[Path]) -> Command:
    """The broker's command line."""
    home = folder(settings)
    argv = (
        str(java.executable),
        f"-Xmx{settings.kafka.heap}",
        "-Xms64m",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:+ExplicitGCInvokesConcurrent",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
        *_figures(settings),
        *class_archives.options("kafka", settings, java, [str(path) for path in class_path]),
        "-cp",
        joined(class_path),
        "kafka.Kafka",
        str(home / "server.properties"),
    )
    return Command(argv, cwd=home)


def _figures(settings: Settings) -> tuple[str, ...]:
    """What makes the JVM show the broker's figures to Prometheus, where that is wanted."""
    if settings.kafka.metrics_port is None:
        return ()
    rules = folder(settings) / "jmx.yaml"
    rules.write_text(_JMX_RULES)
    agent, port = jars.provide(jars.JMX_AGENT, settings), settings.kafka.metrics_port + settings.port_offset
    return (f"-javaagent:{agent}={settings.host}:{port}:{rules}",)


def _cluster_id(home: Path, kafka: KafkaSettings) -> str:
    """The cluster's id; this lake's own is kept beside the data, to complete a half-formatted folder with."""
    if kafka.cluster_id:
        return kafka.cluster_id
    file = home / "cluster.id"
    if file.is_file() and (known := file.read_text().strip()):
        return known
    cluster = formatted_for(home / "data", kafka.node_id) or base64.urlsafe_b64encode(
        uuid.uuid4().bytes
    ).decode().rstrip("=")
    write_whole(file, cluster + "\n")
    return cluster


def _set_aside_damaged(meta: Path) -> None:
    if meta.exists():
        meta.replace(meta.with_name("meta.properties.damaged"))
