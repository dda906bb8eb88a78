"""The files in docker/ agree with the code that they start, and with what linters and hardening guides ask for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from pydantic import BaseModel

from financelake_assets.config import Settings
from financelake_assets.supervision import health, launch
from financelake_assets_tests.deployment.composed import (
    DOCKER,
    PROFILES,
    ROOT,
    SECRETS,
    compose,
    entrypoint,
    environment,
    image_environment,
    mounts,
    read_variables,
    services,
)

SERVICES = [pytest.param(profile, name, id=f"{profile}-{name}") for profile in PROFILES for name in services(profile)]


def own(service: dict[str, Any]) -> bool:
    return str(service["image"]).startswith("financelake:")


def setting(variable: str) -> Any:
    """The annotation of the setting that a variable names; fails where there is none."""
    model: type[BaseModel] = Settings
    *groups, last = variable.removeprefix("FINANCELAKE_").lower().split("__")
    for group in groups:
        model = model.model_fields[group].annotation  # type: ignore[assignment]
    return model.model_fields[last].annotation


def tool(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"{name} is in the development environment"
    return found


@pytest.mark.parametrize(("profile", "name"), SERVICES)
def test_a_service_is_confined(profile: str, name: str):
    service = services(profile)[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert service["restart"] in ("unless-stopped", "on-failure")
    assert ":" in service["image"]
    assert not service["image"].endswith(":latest")
    if name != "postgres":  # its entrypoint drops root by itself
        assert service["user"] == "10001:10001"


@pytest.mark.parametrize(("profile", "name"), SERVICES)
def test_a_jvm_may_load_the_libraries_that_it_unpacks_and_nothing_else_may(profile: str, name: str):
    """Docker mounts a tmpfs ``noexec``: without its zstd library a broker refuses every message."""
    service = services(profile)[name]
    jvm = own(service) and service["command"][0] in ("broker", "spark", "spark-master", "spark-worker")
    assert service["tmpfs"][0] == ("/tmp:exec" if jvm else "/tmp")  # noqa: S108


@pytest.mark.parametrize(("profile", "name"), SERVICES)
def test_no_service_may_use_more_processors_than_the_deployment_says(profile: str, name: str):
    """Docker starts no container that may use more than the machine has."""
    assert float(services(profile)[name]["deploy"]["resources"]["limits"]["cpus"]) <= 2


@pytest.mark.parametrize(("profile", "name"), SERVICES)
def test_a_service_says_when_it_is_well_and_starts_after_what_it_needs(profile: str, name: str):
    service, all_of_them = services(profile)[name], services(profile)
    if name == "kafka-access":  # ends by itself
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
    for needed, how in service.get("depends_on", {}).items():
        assert needed in all_of_them or how.get("required") is False


@pytest.mark.parametrize(("profile", "name"), SERVICES)
def test_our_own_services_start_and_check_what_the_code_knows(profile: str, name: str):
    service = services(profile)[name]
    if not own(service):
        return
    (role,) = service["command"]
    assert role in launch.COMMANDS
    assert entrypoint() == ["/app/.venv/bin/python", "-m", "financelake_assets.supervision.launch"]
    if "test" in service["healthcheck"]:
        assert service["healthcheck"]["test"][1:] == [*entrypoint()[:2], "financelake_assets.supervision.health", role]
        assert role in health.CHECKS


def test_a_health_check_starts_without_what_the_lake_works_with():
    """Ten containers check every fifteen seconds: with pandas and the like that took most of a core."""
    heavy = ("pandas", "polars", "numpy", "pyarrow", "pyspark", "dagster")
    code = f"import sys, {health.__name__}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("profile", "name"), SERVICES)
def test_every_variable_is_a_setting_and_no_secret_is_one_of_them(profile: str, name: str):
    service = services(profile)[name]
    variables = environment(service) if own(service) else {}
    for variable in variables:
        assert "SecretStr" not in str(setting(variable)), f"{variable} is a secret: mount it as a file"
    for target in (Path(path).name for path in mounts(service, compose(profile))):
        if target.startswith("FINANCELAKE_"):
            assert "SecretStr" in str(setting(target))
    for value in variables.values():
        if value.startswith(SECRETS + "/"):
            assert value in mounts(service, compose(profile))


def test_the_image_reads_secrets_where_compose_mounts_them():
    assert image_environment()["FINANCELAKE_SECRETS_DIR"] == SECRETS


@pytest.mark.parametrize("profile", PROFILES)
def test_only_the_proxy_is_reachable_and_only_from_this_machine(profile: str):
    published = {name: service["ports"] for name, service in services(profile).items() if "ports" in service}
    assert set(published) == {"proxy"}
    assert {port["host_ip"] for port in published["proxy"]} == {"127.0.0.1"}
    outside = [name for name, service in services(profile).items() if "outside" in service["networks"]]
    assert outside == ["proxy"]
    assert compose(profile)["networks"]["inside"]["internal"] is True


@pytest.mark.parametrize("profile", PROFILES)
def test_what_sends_alerts_and_asks_providers_has_a_way_out_and_is_not_published(profile: str):
    """Their inner network leads nowhere: alerts and live feeds would wait for ever."""
    ways_out = {name for name, service in services(profile).items() if "egress" in service["networks"]}
    assert ways_out == {"dagster-code", "feed", "alerter"}
    assert "egress" in compose(profile)["services"]["cli"]["networks"], "`run --rm cli ingest` asks providers too"
    assert not (compose(profile)["networks"]["egress"] or {}).get("internal")
    for name in ways_out:
        service = services(profile)[name]
        assert "inside" in service["networks"]
        assert "ports" not in service
    code = environment(services(profile)["dagster-code"])
    assert code["FINANCELAKE_HOST"] == "0.0.0.0", "or it listens on one of its networks by chance"  # noqa: S104


@pytest.mark.parametrize("profile", PROFILES)
def test_the_page_writes_the_rules_and_addresses_that_the_alerter_reads_and_nothing_else(profile: str):
    every = compose(profile)["services"]
    volumes = {name: set(service.get("volumes", [])) for name, service in every.items()}
    assert volumes["dashboard"] == {"lake:/lake:ro", "alerts:/alerts"}
    assert volumes["alerter"] == {"lake:/lake", "alerts:/alerts:ro"}
    with_secrets = {name for name, mounted in volumes.items() if any("alerts:" in one for one in mounted)}
    assert with_secrets == {"dashboard", "alerter", "cli"}
    for name in with_secrets:
        told = environment(every[name])
        assert told["FINANCELAKE_ALERTS__RULES_FILE"] == "/alerts/alerts.yaml"
        assert told["FINANCELAKE_ALERTS__ADDRESSES_DIR"].startswith("/alerts/")
    assert re.search(r"install -d -m 700 -o lake -g lake [^&]*/alerts\b", (DOCKER / "Dockerfile").read_text())
    assert "FINANCELAKE_DASHBOARD__LOGIN" in {Path(path).name for path in mounts(every["dashboard"], compose(profile))}


def test_sql_for_bi_tools_starts_when_it_is_asked_for_with_tls_and_the_login_and_cannot_write():
    service = compose("laptop")["services"]["sql-server"]
    assert service["profiles"] == ["bi"]
    assert "sql-server" not in services("laptop")
    assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]
    mounted = {secret["target"]: secret["source"] for secret in service["secrets"]}
    assert mounted == {"FINANCELAKE_DASHBOARD__LOGIN": "dashboard-login", "proxy.pem": "proxy-certificate"}
    assert environment(service)["FINANCELAKE_SQL_SERVER__TLS_FILE"] == f"{SECRETS}/proxy.pem"
    assert service["volumes"] == ["lake:/lake:ro"]


@pytest.mark.parametrize("provider", ["kraken", "coinbase", "binance", "yfinance"])
def test_the_feed_of_a_provider_is_confined_as_the_feed_is_and_starts_when_it_is_asked_for(provider: str):
    every, name = compose("laptop")["services"], f"feed-{provider}"
    usual = yaml.safe_load(yaml.safe_dump(every["feed"]).replace("feed", name))
    assert every[name] == {**usual, "profiles": [provider]}
    assert launch.command_of(name) is not None
    assert name not in services("laptop")


def test_with_a_store_what_reads_tables_is_told_of_it_and_nothing_else_is():
    added = yaml.safe_load((DOCKER / "compose.store.yaml").read_text())
    declared = compose("cluster")
    with_tables = {
        name
        for name, service in declared["services"].items()
        if any(volume.startswith("lake:") for volume in service.get("volumes", []))
    }
    # Dagster's webserver and daemon read no table, but what they start does
    assert set(added["services"]) == with_tables
    for service in added["services"].values():
        assert service["networks"] == ["outside"]
        assert [entry["source"] for entry in service["secrets"]] == list(added["secrets"])
        (target,) = [entry["target"] for entry in service["secrets"]]
        assert "SecretStr" in str(setting(target))
    assert "outside" in declared["networks"]
    # who listens under its own name would do so in one of its two networks, and not where the others look for it
    for name in ("spark", "dagster-code", "dagster-web", "dashboard", "exporter"):
        told = {**environment(declared["services"][name]), **added["services"][name].get("environment", {})}
        assert told["FINANCELAKE_HOST"] == "0.0.0.0"  # noqa: S104  # of a container
    example = read_variables(DOCKER / "store.env.example")
    assert all("SecretStr" not in str(setting(variable)) for variable in example)
    values = {name.removeprefix("FINANCELAKE_STORE__").lower(): value for name, value in example.items()}
    assert Settings.model_validate({"store": values}).store.url == example["FINANCELAKE_STORE__URL"]


def test_the_proxy_passes_on_to_services_at_their_ports():
    upstreams = set(re.findall(r"_pass \w+://([\w-]+):(\d+)", (DOCKER / "proxy" / "nginx.conf").read_text()))
    lake = Settings()
    assert upstreams == {
        ("dashboard", str(lake.dashboard.port)),
        ("dagster-web", str(lake.dagster.port)),
        ("spark", str(lake.spark.port)),
    }
    assert {name for name, _ in upstreams} <= services("laptop").keys()


def test_secrets_are_made_once_with_everything_that_compose_mounts(tmp_path: Path):
    folder = tmp_path / "made"
    for _ in range(2):
        subprocess.run([DOCKER / "secrets.sh", folder, "lake.example"], check=True, capture_output=True)
        contents = {file.name: file.read_bytes() for file in folder.iterdir()}
    wanted = {Path(one["file"]).name for one in compose("secure")["secrets"].values()}
    assert wanted <= contents.keys()
    assert all(contents[name] for name in wanted)
    subprocess.run([DOCKER / "secrets.sh", folder], check=True, capture_output=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == contents
    assert folder.stat().st_mode & 0o077 == 0
    text = subprocess.run(
        ["openssl", "x509", "-in", folder / "proxy.pem", "-noout", "-ext", "subjectAltName"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "lake.example" in text.stdout


def test_hadolint_finds_nothing():
    done = subprocess.run([tool("hadolint"), DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_lint_finds_nothing_but_the_lack_of_digests_and_where_a_jvm_unpacks_libraries():
    # tags are given; a digest has to be taken from the registry that an operator trusts
    done = subprocess.run(
        [tool("compose-lint"), "check", DOCKER / "compose.yaml"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout
    assert set(re.findall(r"CL-\d{4}", done.stdout.split("Details on any rule")[0])) <= {"CL-0019", "CL-0022"}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_compose_specification_knows_every_word_of_the_file(profile: str):
    definitions = deepcopy(compose(profile))  # merge keys are YAML's: the specification is of what they make
    known = PyCompose.from_yaml(yaml.safe_dump(definitions))
    assert set(known.service_names()) == definitions["services"].keys()
    definitions["services"]["feed"]["restrat"] = "always"
    with pytest.raises(ValueError, match="restrat"):
        PyCompose.from_yaml(yaml.safe_dump(definitions))


@pytest.mark.parametrize(("profile", "name"), SERVICES)
def test_every_volume_secret_and_configuration_of_a_service_is_declared(profile: str, name: str):
    service, declared = services(profile)[name], compose(profile)
    assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= declared["volumes"].keys()
    secrets = {entry if isinstance(entry, str) else entry["source"] for entry in service.get("secrets", [])}
    assert secrets <= declared["secrets"].keys()
    assert {entry["source"] for entry in service.get("configs", [])} <= declared["configs"].keys()
    assert set(service["networks"]) <= declared["networks"].keys()


def test_no_line_of_a_shell_script_is_unclear_to_a_posix_shell():
    for script in DOCKER.glob("*.sh"):
        done = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
