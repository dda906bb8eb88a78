"""A whole cluster of processes on this machine, secured: three brokers, a Spark master with two workers, Postgres.

Each process is started as a container starts it (``python -m financelake_assets.supervision.launch NAME``), with
secrets of ``docker/secrets.sh``, and can be killed and started again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from financelake_assets.config import SECRETS_DIR, Settings
from financelake_assets.supervision import probes
from financelake_assets.supervision.probes import Probe
from financelake_assets_tests.shared_servers import await_probe, end_group, free_ports

ROOT = Path(__file__).parents[2]
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"
_TARGETS = {
    "kafka-lake": "FINANCELAKE_KAFKA__PASSWORD",
    "spark-token": "FINANCELAKE_SPARK__TOKEN",
    "spark-cluster": "FINANCELAKE_SPARK__CLUSTER_SECRET",
    "dashboard-login": "FINANCELAKE_DASHBOARD__LOGIN",
}
"""The files that every client of the lake reads, and the settings that they are mounted as."""


def make_secrets(folder: Path, *hosts: str) -> Path:
    """What ``docker/secrets.sh`` makes."""
    subprocess.run([ROOT / "docker" / "secrets.sh", folder, *hosts], check=True, capture_output=True)
    return folder


def mounted(made: Path, folder: Path, more: Mapping[str, str] | None = None) -> Path:
    """Secrets under the names of their settings, as compose mounts them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in {**_TARGETS, **(more or {})}.items():
        (folder / target).write_text((made / name).read_text())
    return folder


def settings_of(variables: Mapping[str, str]) -> Settings:
    """The settings of a process with these variables and no others."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("FINANCELAKE_")}
    with patch.dict(os.environ, {**others, **_lake_cache(), **variables}, clear=True):
        return Settings()


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of such a process."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("FINANCELAKE_")}
    return {**others, **_lake_cache(), **variables}


def _lake_cache() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key.startswith("FINANCELAKE_RUNTIME__")}


@dataclass
class Node:
    """One process of a deployment: how it is started, and how it shows that it is well."""

    name: str
    argv: tuple[str, ...]
    variables: Mapping[str, str]
    log: Path
    probe: Probe
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self, seconds: float = 90) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.argv, env=environment(self.variables), stdout=output, stderr=output, start_new_session=True
            )
        await_probe(self.probe, seconds, self.process, self.log)

    def kill(self) -> None:
        """As a machine that is gone: no goodbye, and what it had started is gone too."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            end_group(self.process)


def launched(
    name: str, role: str, folder: Path, variables: Mapping[str, str], probe: Probe, nice: int | None = None
) -> Node:
    """A process that ``launch`` starts."""
    argv = (sys.executable, "-m", "financelake_assets.supervision.launch", role)
    if nice is not None:
        argv = ("nice", "-n", str(nice), *argv)
    data = {"FINANCELAKE_DATA_DIR": str(folder / name), **variables}
    return Node(name, argv, data, folder / "logs" / f"{name}.log", probe)


@dataclass(frozen=True)
class Cluster:
    """The running parts, and the variables of a lake that uses them."""

    nodes: Mapping[str, Node]
    secrets: Path
    variables: Mapping[str, str]


@contextmanager
def cluster(folder: Path, shared: Mapping[str, str]) -> Iterator[Cluster]:
    """Start everything but the lake itself and its store, and end it afterwards.

    ``shared``: variables of the lake that Spark's processes have too.
    """
    made = make_secrets(folder / "secrets")
    with ExitStack() as stack:
        nodes = {node.name: node for node in [*_brokers(folder, made), *_spark(folder, made, shared)]}
        for node in nodes.values():
            stack.callback(node.stop)
        started = [node for node in nodes.values() if node.name.startswith("kafka")]
        _start_together(started)
        for node in nodes.values():
            if node not in started:
                node.start()
        port = stack.enter_context(postgres(folder / "logs", made))
        yield Cluster(nodes, made, {**_lake_variables(folder, made, nodes, port), **shared})


def _start_together(brokers: list[Node]) -> None:
    """A broker of three answers when it has found another."""
    for node in brokers:
        node.log.parent.mkdir(parents=True, exist_ok=True)
        with node.log.open("ab") as output:
            node.process = subprocess.Popen(
                node.argv, env=environment(node.variables), stdout=output, stderr=output, start_new_session=True
            )
    for node in brokers:
        assert node.process is not None
        await_probe(node.probe, 120, node.process, node.log)


def _kafka_client(made: Path) -> dict[str, str]:
    return {
        "FINANCELAKE_KAFKA__SECURITY": "SASL_SSL",
        "FINANCELAKE_KAFKA__USERNAME": "lake",
        "FINANCELAKE_KAFKA__CA_FILE": str(made / "ca.pem"),
        "FINANCELAKE_KAFKA__REPLICATION": "3",
    }


def _brokers(folder: Path, made: Path) -> list[Node]:
    ports = free_ports(9)
    voters = ",".join(f"{n + 1}@127.0.0.1:{ports[3 * n + 1]}" for n in range(3))
    secret = mounted(made, folder / "mounts" / "kafka", {"kafka-admin": "FINANCELAKE_KAFKA__ADMIN_PASSWORD"})
    nodes = []
    for n in range(3):
        port, controller, internal = ports[3 * n : 3 * n + 3]
        variables = {
            **_kafka_client(made),
            SECRETS_DIR: str(secret),
            "FINANCELAKE_KAFKA__PORT": str(port),
            "FINANCELAKE_KAFKA__CONTROLLER_PORT": str(controller),
            "FINANCELAKE_KAFKA__INTERNAL_PORT": str(internal),
            "FINANCELAKE_KAFKA__NODE_ID": str(n + 1),
            "FINANCELAKE_KAFKA__VOTERS": voters,
            "FINANCELAKE_KAFKA__CLUSTER_ID": CLUSTER_ID,
            "FINANCELAKE_KAFKA__KEYSTORE_FILE": str(made / "kafka.pem"),
            "FINANCELAKE_KAFKA__HEAP": "384m",
        }
        nodes.append(launched(f"kafka-{n + 1}", "broker", folder, variables, _kafka_probe(port, made)))
    return nodes


def _kafka_probe(port: int, made: Path) -> Probe:
    return lambda: probes.kafka("127.0.0.1", port, made / "ca.pem")


def _spark(folder: Path, made: Path, shared: Mapping[str, str]) -> list[Node]:
    port, page, *pages = free_ports(4)
    secret = mounted(made, folder / "mounts" / "spark")
    common = {**shared, SECRETS_DIR: str(secret), "FINANCELAKE_SPARK__MASTER": f"spark://127.0.0.1:{port}"}
    own = {"FINANCELAKE_SPARK__MASTER_PORT": str(port), "FINANCELAKE_SPARK__UI_PORT": str(page)}
    master = launched(
        "spark-master", "spark-master", folder, {**common, **own}, lambda: probes.http(f"http://127.0.0.1:{page}/json/")
    )
    workers = [_worker(f"spark-worker-{n + 1}", folder, common, pages[n]) for n in range(2)]
    return [master, *workers]


def _worker(name: str, folder: Path, common: Mapping[str, str], page: int) -> Node:
    variables = {**common, "FINANCELAKE_SPARK__UI_PORT": str(page)}
    return launched(name, "spark-worker", folder, variables, lambda: probes.http(f"http://127.0.0.1:{page}/json/"))


@contextmanager
def postgres(logs: Path, made: Path, host: str = "127.0.0.1", port: int | None = None) -> Iterator[int]:
    """Debian's Postgres with the made password; its port.

    Its data are beside pytest's folders: every other pytest that starts on the machine closes those to all but their
    owner, and where that is root, the server is not.
    """
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    port = port or free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="financelake-postgres-") as name:
        folder, as_user = Path(name), _as_postgres(Path(name))
        password = folder / "password"
        shutil.copy(made / "postgres", password)
        shutil.chown(password, folder.owner())
        initdb = [*as_user, binaries / "initdb", "-D", folder / "data", "-U", "financelake"]
        subprocess.run([*initdb, f"--pwfile={password}", "-A", "scram-sha-256", "-N"], check=True, capture_output=True)
        server = (*as_user, str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-h", host)
        ready = [str(binaries / "pg_isready"), "-h", host, "-p", str(port)]
        node = Node(
            "postgres",
            (*server, "-k", ""),
            {},
            logs / "postgres.log",
            lambda: None if subprocess.run(ready, capture_output=True, check=False).returncode == 0 else "not ready",
        )
        node.start()
        try:
            client = [str(binaries / "createdb"), "-h", host, "-p", str(port), "-U", "financelake", "financelake"]
            pgpass = {**os.environ, "PGPASSWORD": (made / "postgres").read_text().strip()}
            subprocess.run(client, env=pgpass, check=True, capture_output=True)
            yield port
        finally:
            node.stop()


def _as_postgres(folder: Path) -> tuple[str, ...]:
    """What starts a program as the owner of a folder: the server refuses to be root."""
    if os.geteuid() != 0:
        return ()
    shutil.chown(folder, "postgres", "postgres")
    return (shutil.which("setpriv") or "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")


def _lake_variables(folder: Path, made: Path, nodes: Mapping[str, Node], postgres_port: int) -> dict[str, str]:
    """The settings, and nothing else, that make a lake use the cluster."""
    brokers = [node for node in nodes.values() if node.name.startswith("kafka")]
    secret = mounted(made, folder / "mounts" / "lake", {"kafka-admin": "FINANCELAKE_KAFKA__ADMIN_PASSWORD"})
    password = (made / "postgres").read_text().strip()
    (secret / "FINANCELAKE_DAGSTER__POSTGRES").write_text(
        f"postgresql://financelake:{password}@127.0.0.1:{postgres_port}/financelake"
    )
    return {
        **_kafka_client(made),
        SECRETS_DIR: str(secret),
        "FINANCELAKE_KAFKA__BOOTSTRAP": ",".join(
            f"127.0.0.1:{node.variables['FINANCELAKE_KAFKA__PORT']}" for node in brokers
        ),
        "FINANCELAKE_SPARK__MASTER": nodes["spark-master"].variables["FINANCELAKE_SPARK__MASTER"],
    }
