"""The Kubernetes manifests fit Kubernetes' own schema, and say the same as the code and the compose file."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest
import yaml
from confluent_kafka.admin import AclBinding

from financelake_assets.bronze.topics import declared
from financelake_assets.config import Settings
from financelake_assets.servers import dagster_web, kafka_access, web_guard
from financelake_assets.supervision import health, launch
from financelake_assets_tests.deployment.composed import DOCKER
from financelake_assets_tests.deployment.test_compose import setting

KUBERNETES = "1.34"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DOCKER / "k8s" / name).read_text()))


LAKE: list[dict[str, Any]] = documents("lake.yaml")[0]["items"]
WORKLOADS = [one for one in LAKE if one["kind"] == "Deployment"]


def name_of(one: dict[str, Any]) -> str:
    return f"{one['kind']}-{one['metadata']['name']}"


@pytest.mark.parametrize("document", LAKE, ids=name_of)
def test_a_manifest_fits_the_schema(document: dict[str, Any]):
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_schema_would_notice_a_misspelt_field():
    broken = json.loads(json.dumps(WORKLOADS[0]).replace('"readinessProbe"', '"readynessProbe"'))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_dagsters_values_make_a_pod_that_fits_the_schema():
    (deployment,) = documents("dagster-values.yaml")[0]["dagster-user-deployments"]["deployments"]
    container = {
        "name": deployment["name"],
        "image": f"{deployment['image']['repository']}:{deployment['image']['tag']}",
        "args": ["dagster", "api", "grpc", *deployment["dagsterApiGrpcArgs"]],
        "envFrom": [{"configMapRef": reference} for reference in deployment["envConfigMaps"]],
        **{key: deployment[key] for key in ("securityContext", "resources", "volumeMounts")},
    }
    spec = {
        "containers": [container],
        "volumes": deployment["volumes"],
        "securityContext": deployment["podSecurityContext"],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "run"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    assert deployment["port"] == Settings().dagster.code_port


def test_the_chart_starts_the_webserver_behind_the_guard_with_a_token():
    """The chart runs ``dagster-webserver -h 0.0.0.0 -p PORT -w …`` by its name, in the image that its values say."""
    values = documents("dagster-values.yaml")[0]["dagsterWebserver"]
    (lakes,) = documents("dagster-values.yaml")[0]["dagster-user-deployments"]["deployments"]
    assert values["image"] == lakes["image"]
    script = (DOCKER / "dagster-webserver").read_text().splitlines()[-1]
    assert script == f'exec /app/.venv/bin/python -P -m {dagster_web.__name__} "$@"'
    image = (DOCKER / "Dockerfile").read_text()
    assert "docker/dagster-webserver /app/bin/dagster-webserver" in image
    assert "PATH=/app/bin:/app/.venv/bin:$PATH" in image, "before the script that Dagster brings"
    assert "--extra k8s" in image, "its instance launches runs as pods"
    items = values["volumes"][0]["projected"]["sources"][0]["secret"]["items"]
    assert [item["path"] for item in items] == ["FINANCELAKE_WEB_TOKEN"]
    assert "SecretStr" in str(setting("FINANCELAKE_WEB_TOKEN"))
    assert f" {items[0]['key']};" in (DOCKER / "secrets.sh").read_text()
    asked = values["readinessProbe"]["httpGet"]
    assert asked["path"] in web_guard.OPEN_PATHS
    assert asked["port"] == values["service"]["port"]
    assert {header["name"]: header["value"] for header in asked["httpHeaders"]}["Host"] in web_guard.LOOPBACK
    container = {
        "name": "dagster",
        "image": "financelake:0.1.0",
        "readinessProbe": values["readinessProbe"],
        **{key: values[key] for key in ("env", "securityContext", "resources", "volumeMounts")},
    }
    spec = {"containers": [container], "volumes": values["volumes"], "securityContext": values["podSecurityContext"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "webserver"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_who_is_no_part_of_dagster_does_not_reach_its_code_location():
    (deployment,) = documents("dagster-values.yaml")[0]["dagster-user-deployments"]["deployments"]
    policies = {one["metadata"]["name"]: one["spec"] for one in LAKE if one["kind"] == "NetworkPolicy"}
    labels = policies["dagster-code"]["podSelector"]["matchLabels"]
    assert labels == {"component": "user-deployments", "deployment": deployment["name"]}


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_a_pod_starts_and_checks_what_the_code_knows_and_is_confined(workload: dict[str, Any]):
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (role,) = container["args"]
    assert role in launch.COMMANDS
    for probe in ("readinessProbe", "livenessProbe"):
        if "exec" in container.get(probe, {}):
            assert container[probe]["exec"]["command"][-1] in health.CHECKS
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]


def test_every_variable_and_every_mounted_secret_is_a_setting():
    settings = next(one for one in LAKE if one["kind"] == "ConfigMap")["data"]
    for variable in settings:
        assert "SecretStr" not in str(setting(variable))
    for workload in WORKLOADS:
        pod = workload["spec"]["template"]["spec"]
        for variable in pod["containers"][0].get("env", []):
            assert "SecretStr" not in str(setting(variable["name"]))
            if variable["name"].endswith("__CONF"):
                assert all(isinstance(value, str) for value in json.loads(variable["value"]).values())
        (secrets,) = [volume for volume in pod["volumes"] if volume["name"] == "secrets"]
        paths = [item["path"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]]
        assert "ca.pem" in paths
        for path in set(paths) - {"ca.pem"}:
            assert "SecretStr" in str(setting(path))


def test_the_kafka_user_has_the_rights_that_the_lake_grants_elsewhere():
    (user,) = [one for one in documents("kafka.yaml") if one["kind"] == "KafkaUser"]
    theirs = {
        (acl["resource"]["type"], acl["resource"]["name"], acl["resource"]["patternType"], operation)
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    }

    def plain(binding: AclBinding) -> tuple[str, str, str, str]:
        pattern = "prefix" if binding.resource_pattern_type.name == "PREFIXED" else "literal"
        kind = binding.restype.name.lower().replace("transactional_id", "transactionalId")
        return kind, binding.name, pattern, binding.operation.name.capitalize()

    assert theirs == {plain(binding) for binding in kafka_access.rights(user["metadata"]["name"])}


def test_the_brokers_can_hold_what_the_lake_declares():
    (pool,) = [one for one in documents("kafka.yaml") if one["kind"] == "KafkaNodePool"]
    (cluster,) = [one for one in documents("kafka.yaml") if one["kind"] == "Kafka"]
    settings = next(one for one in LAKE if one["kind"] == "ConfigMap")["data"]
    replication = int(settings["FINANCELAKE_KAFKA__REPLICATION"])
    assert pool["spec"]["replicas"] >= replication
    lake = Settings.model_validate({"kafka": {"replication": replication}})
    asked = {topic.config["min.insync.replicas"] for topic in declared(lake)}
    assert asked == {str(cluster["spec"]["kafka"]["config"]["min.insync.replicas"])}
