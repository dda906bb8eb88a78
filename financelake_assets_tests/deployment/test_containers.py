"""Every service of the `secure` profile, run as its compose file says; then each door, with and without a key.

Run with ``uv run pytest -m cluster``. It needs Debian's bubblewrap, nginx-light, postgresql, prometheus and openssl,
and the ports that compose publishes.
"""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
import pytest
import yaml

from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.silver.schema import BARS
from financelake_assets.supervision import probes
from financelake_assets_tests.deployment.cluster import make_secrets, postgres
from financelake_assets_tests.deployment.composed import DOCKER, PROFILES, ROOT, compose
from financelake_assets_tests.deployment.sandbox import Containers, installed, missing_tools
from financelake_assets_tests.operations.test_exporter import alerts, shown
from financelake_assets_tests.shared_servers import end_group, free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.integration, pytest.mark.timeout(3000)]

DASHBOARD, DAGSTER, SPARK = 8443, 8444, 15443


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("made") / "secrets")


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[Containers]:
    lacking = missing_tools()
    assert not lacking, f"install {', '.join(lacking)}"
    for port in (DASHBOARD, DAGSTER, SPARK, 15002):
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", port))  # fails where something else listens
    folder = tmp_path_factory.mktemp("containers")
    everything = Containers("secure", folder / "run", installed(folder / "venv"), made)
    try:
        with postgres(folder / "logs", made, everything.addresses["postgres"], 5432):
            assert everything.healthy("postgres") is None
            everything.start(elsewhere=["postgres"])
            yield everything
            everything.stop()
    finally:
        everything.stop()


def eventually(condition: Callable[[], bool], what: str, seconds: float = 1500) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        time.sleep(2)


def height(lake: Path, layer: str, name: str) -> int:
    folder = lake / "delta" / layer / name
    return pl.read_delta(str(folder)).height if (folder / "_delta_log").is_dir() else 0


def test_history_becomes_signals(containers: Containers):
    lake = containers.lake()
    eventually(lambda: height(lake, "gold", "signals") > 0, "signals")
    assert height(lake, "silver", "bars") > 40_000
    for table in (BARS, PREDICTIONS, SIGNALS):
        keys = pl.read_delta(str(lake / "delta" / table.layer / table.name), columns=list(table.key))
        assert keys.is_unique().all()


def test_every_service_is_still_well(containers: Containers):
    checked = [name for name, one in containers.services.items() if "test" in one["healthcheck"]]
    problems = [problem for name in checked if (problem := containers.healthy(name))]
    assert not problems
    ended = [name for name, process in containers.running.items() if process.poll() is not None]
    assert ended == ["kafka-access"]


def test_a_health_check_fails_when_its_service_is_gone(containers: Containers):
    process = containers.running["spark-worker-2"]
    process.kill()
    process.wait()
    eventually(lambda: containers.healthy("spark-worker-2") is not None, "the check noticed", 60)
    containers.run("spark-worker-2")
    eventually(lambda: containers.healthy("spark-worker-2") is None, "the worker is back", 120)


def test_a_service_can_write_nothing_but_its_volumes(containers: Containers):
    for folder in ("/", "/etc", "/app", "/run/secrets"):
        done = subprocess.run(
            containers.confined("feed", ["touch", f"{folder}/mark"]), check=False, capture_output=True
        )
        assert done.returncode != 0, folder
    assert subprocess.run(containers.confined("feed", ["touch", "/lake/mark"]), check=False).returncode == 0
    done = subprocess.run(containers.confined("dashboard", ["touch", "/lake/mark"]), check=False, capture_output=True)
    assert done.returncode != 0  # it only reads


# -- the doors ---------------------------------------------------------------------------------------------


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


def answer(made: Path, port: int, path: str, login: str | None = None) -> int:
    """The status of a page over TLS that this authority has signed."""
    request = urllib.request.Request(f"https://localhost:{port}{path}")
    if login is not None:
        request.add_header("Authorization", basic(login))
    try:
        context = ssl.create_default_context(cafile=made / "ca.pem")
        with urllib.request.urlopen(request, timeout=30, context=context) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    ("port", "path"), [(DASHBOARD, "/"), (DASHBOARD, "/pulse"), (DAGSTER, "/"), (DAGSTER, "/server_info")]
)
def test_a_page_is_shown_only_to_who_knows_the_login(containers: Containers, made: Path, port: int, path: str):
    login = (made / "dashboard-login").read_text().strip()
    assert answer(made, port, path) == 401
    assert answer(made, port, path, "lake:wrong password") == 401
    assert answer(made, port, path, login) == 200


def test_dagsters_page_gets_its_websocket(containers: Containers, made: Path):
    """By it the page moves on; without it the page asks again and again."""
    context = ssl.create_default_context(cafile=made / "ca.pem")
    connection = http.client.HTTPSConnection("localhost", DAGSTER, timeout=30, context=context)
    asked = {
        "Authorization": basic((made / "dashboard-login").read_text().strip()),
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "Sec-WebSocket-Protocol": "graphql-ws",
    }
    connection.request("GET", "/graphql", headers=asked)
    assert connection.getresponse().status == 101
    connection.close()


def test_no_page_is_shown_without_tls(containers: Containers):
    for port in (DASHBOARD, DAGSTER):
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"http://localhost:{port}/", timeout=30)
        assert raised.value.code == 400


_COUNT = """
import sys
from financelake_assets.config import get_settings
from financelake_assets.spark_sessions import job_session
print(job_session(get_settings()).range(7).count())
"""


def connect(made: Path, tmp_path: Path, remote: str, token: str | None) -> subprocess.CompletedProcess[str]:
    variables = {"FINANCELAKE_SPARK__REMOTE": remote, "FINANCELAKE_SPARK__CA_FILE": str(made / "ca.pem")}
    if token is not None:
        variables["FINANCELAKE_SPARK__TOKEN"] = token
    return subprocess.run(
        [sys.executable, "-c", _COUNT],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "FINANCELAKE_DATA_DIR": str(tmp_path), **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_spark_connect_takes_the_token_over_tls_and_nothing_else(containers: Containers, made: Path, tmp_path: Path):
    token = (made / "spark-token").read_text().strip()
    secured = f"sc://localhost:{SPARK}/;use_ssl=true"
    known = connect(made, tmp_path, secured, token)
    assert known.stdout.strip() == "7", known.stderr
    for other in (None, "another"):
        refused = connect(made, tmp_path, secured, other)
        assert refused.returncode != 0
        assert "FINANCELAKE_SPARK__TOKEN" in refused.stderr
    assert connect(made, tmp_path, f"sc://localhost:{SPARK}", token).returncode != 0


def test_postgres_wants_the_password(containers: Containers, made: Path):
    address = {"host": containers.addresses["postgres"], "user": "financelake", "dbname": "financelake"}
    for password in ("", "wrong"):
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(**address, password=password)
    with psycopg2.connect(**address, password=(made / "postgres").read_text().strip()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM runs")
        assert cursor.fetchone()[0] > 0  # type: ignore[index]


def test_the_doctor_examines_the_deployment_from_inside(containers: Containers):
    command = [*compose("secure")["services"]["cli"]["entrypoint"], "doctor", "--json"]
    done = subprocess.run(containers.confined("cli", command), capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert {"Kafka", "Spark Connect", "Postgres", "Dagster"} <= checks.keys()
    wrong = {name: check for name, check in checks.items() if not check["well"]}
    assert not wrong, wrong


def test_prometheus_gets_every_figure_that_the_dashboard_shows(containers: Containers, made: Path, tmp_path: Path):
    (port,) = free_ports(1)
    with prometheus(containers, made, tmp_path, port):
        asked: Callable[[str], list[dict[str, Any]]] = lambda expression: ask(port, expression)  # noqa: E731
        expected = sum(len(one["static_configs"][0]["targets"]) for one in scrapes(containers, made))
        eventually(lambda: len(asked("up == 1")) == expected, "every target answers", 300)
        missing = dict(shown())

        def all_there() -> bool:
            for panel, expression in list(missing.items()):
                if asked(expression):
                    del missing[panel]
            return not missing

        try:
            eventually(all_there, "every panel has a figure", 300)
        except AssertionError:
            names = sorted({sample["metric"].get("__name__", "") for sample in asked('{__name__=~".+"}')})
            pytest.fail(f"nothing for {missing} among {names}")
        assert not [alert for alert, expression in alerts().items() if asked(expression)]


@contextmanager
def prometheus(containers: Containers, made: Path, folder: Path, port: int) -> Iterator[None]:
    """Debian's Prometheus with the lake's own configuration; names are addresses, as there is no name server here."""
    configuration = yaml.safe_load((DOCKER / "monitoring" / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "15s", "scrape_timeout": "12s", "evaluation_interval": "15s"}
    configuration["scrape_configs"] = scrapes(containers, made)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    shutil.copy(DOCKER / "monitoring" / "rules.yml", folder)
    checked = subprocess.run(["promtool", "check", "config", folder / "prometheus.yml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("ab") as output:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=output, stderr=output, start_new_session=True
        )
    try:
        eventually(lambda: probes.http(f"http://127.0.0.1:{port}/-/ready") is None, "Prometheus is ready", 60)
        yield
    finally:
        end_group(process)


def scrapes(containers: Containers, made: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load((DOCKER / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    for job in jobs:
        job.pop("scrape_timeout", None)
        (found,) = job.pop("dns_sd_configs")
        job["static_configs"] = [
            {"targets": [f"{containers.addresses[name]}:{found['port']}" for name in found["names"]]}
        ]
        if "basic_auth" in job:
            job["basic_auth"]["password_file"] = str(made / "dashboard-password")
    return list(jobs)


def ask(port: int, expression: str) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(url, timeout=30) as response:
        return list(json.load(response)["data"]["result"])


def test_feed_page_and_dagster_log_one_object_a_line(containers: Containers):
    for name in ("feed", "dashboard", "exporter", "dagster-web", "dagster-daemon"):
        lines = [line for line in containers.log(name).read_text().splitlines() if line]
        assert lines
        assert all(isinstance(json.loads(line), dict) for line in lines), name


def test_no_log_holds_a_secret(containers: Containers, made: Path):
    names = ("kafka-admin", "kafka-lake", "spark-token", "spark-cluster", "postgres", "dashboard-login")
    secrets = {name: (made / name).read_text().strip() for name in names}
    for log in (containers.folder / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert not [name for name, secret in secrets.items() if secret in text], log.name


# -- with the tools that a machine may have ------------------------------------------------------------------


@pytest.mark.parametrize("added", [[], ["compose.store.yaml"]], ids=["", "store"])
@pytest.mark.parametrize("profile", PROFILES)
def test_compose_itself_accepts_the_files(profile: str, added: list[str], tmp_path: Path):
    command = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    if subprocess.run([*command, "version"], capture_output=True, check=False).returncode:
        pytest.skip("no compose on this machine")
    files = shutil.copytree(DOCKER, tmp_path / "docker", ignore=shutil.ignore_patterns("secrets", ".env"))
    variables = (DOCKER / ".env.example").read_text().replace("_PROFILE=laptop", f"_PROFILE={profile}")
    (files / ".env").write_text(variables)
    shutil.copy(files / "store.env.example", files / "store.env")
    named = [word for name in ("compose.yaml", *added) for word in ("-f", files / name)]
    done = subprocess.run(
        [*command, *named, "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_dclint_finds_nothing(tmp_path: Path):
    if shutil.which("npx") is None:
        pytest.skip("no npm on this machine")
    linter = ["npx", "--yes", "--ignore-scripts", "dclint@3.1.0", "--max-warnings", "0"]
    done = subprocess.run(
        [*linter, "--config", DOCKER / ".dclintrc.yaml", *DOCKER.glob("compose*.yaml")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
