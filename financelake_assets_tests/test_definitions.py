"""The Dagster definitions as a whole: they load quickly, connect to nothing, and do not change unnoticed."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.autodiscovery import loadable_targets_from_python_module
from dagster_pyspark import LazyPySparkResource

from financelake_assets.config import ModelSettings, get_settings
from financelake_assets.definitions import defs
from financelake_assets.defs.model.assets import TrainingConfig
from financelake_assets.model.markets import Market
from financelake_assets.operations import train_now

SNAPSHOT = Path(__file__).with_name("definitions.snapshot.json")


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return defs.get_repository_def()


def describe(repository: dg.RepositoryDefinition) -> dict[str, object]:
    graph = repository.asset_graph
    return {
        "assets": {
            key.to_user_string(): {
                "group": graph.get(key).group_name,
                "upstream": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
                "kinds": sorted(graph.get(key).kinds),
                **_partitions(graph.get(key).partitions_def),
            }
            for key in sorted(graph.get_all_asset_keys(), key=lambda key: key.to_user_string())
        },
        "checks": sorted(key.to_user_string() for key in graph.asset_check_keys),
        "jobs": sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        "schedules": {item.name: item.cron_schedule for item in repository.schedule_defs},
        "sensors": {item.name: item.default_status.value for item in repository.sensor_defs},
    }


def _partitions(found: dg.PartitionsDefinition | None) -> dict[str, object]:
    # those of time grow by themselves
    return {"partitions": list(found.get_partition_keys())} if isinstance(found, dg.StaticPartitionsDefinition) else {}


def test_nothing_changes_unnoticed(repository: dg.RepositoryDefinition):
    """After a wanted change: python -m financelake_assets_tests.test_definitions writes the snapshot anew."""
    assert describe(repository) == json.loads(SNAPSHOT.read_text())


def test_every_asset_has_an_owner_a_group_a_kind_and_a_description(repository: dg.RepositoryDefinition):
    graph = repository.asset_graph
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, key
        assert node.group_name != "default", key
        assert node.kinds, key
        assert node.description, key


def test_everything_that_keeps_a_lake_going_runs_by_default(repository: dg.RepositoryDefinition):
    stopped = {item.name for item in repository.sensor_defs if item.default_status != dg.DefaultSensorStatus.RUNNING}
    assert stopped == {"openlineage"}, "which the settings turn on"
    idle = {item.name for item in repository.schedule_defs if item.default_status != dg.DefaultScheduleStatus.RUNNING}
    assert idle == {"universe_refresh"}, "what it does, the feeds do in a lake that runs them"


def test_a_run_cannot_change_a_resource(repository: dg.RepositoryDefinition):
    """Whose Spark server, or whose pickles, a run takes is not for its configuration: either would run code."""
    for job in repository.get_all_jobs():
        for key, resource in job.resource_defs.items():
            fields = getattr(resource.config_schema.config_type, "fields", None)
            assert fields == {}, f"{job.name} lets a run set {key}"


@pytest.mark.parametrize(
    "resources",
    [
        {"spark": {"config": {"spark_config": {"spark.remote": "sc://evil.example:15002"}}}},
        {"io_manager": {"config": {"base_dir": "/evil"}}},
    ],
)
def test_a_run_that_tries_is_refused(repository: dg.RepositoryDefinition, resources: dict[str, object]):
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(repository.get_job("train_model"), {"resources": resources})


def test_a_training_can_be_asked_for_refits_and_the_first_of_a_market_makes_none(repository: dg.RepositoryDefinition):
    job, lake, market = repository.get_job("train_model"), ModelSettings(), Market("5m")
    for refits in (None, 0, 500):
        given = dg.validate_run_config(job, train_now.configuration(refits))["ops"]["random_forest"]["config"]
        config = TrainingConfig(**given)
        chosen = config.applied(lake, market, awaited=False)
        assert chosen.interval == "5m"
        asked = lake.refits if refits is None else refits
        assert (chosen.refits, chosen.refit_rows) == (asked, lake.refit_rows if refits is None else 0)
        assert config.applied(lake, market, awaited=True).refits == (refits or 0)


def test_an_asset_gets_the_spark_of_the_lake():
    found = []

    @dg.op
    def look(spark: LazyPySparkResource) -> None:
        found.append(spark.spark_config)

    @dg.job(resource_defs={"spark": defs.resources["spark"]})
    def looking() -> None:
        look()

    assert looking.execute_in_process().success
    assert found == [{"spark.remote": get_settings().spark_remote}]


def test_dagster_finds_one_code_location_in_the_module():
    """As its gRPC server, `dagster dev` and `dagster definitions validate` look for it."""
    targets = loadable_targets_from_python_module("financelake_assets.definitions", working_directory=None)
    assert [target.attribute for target in targets] == ["defs"]


def test_loading_connects_to_nothing():
    """In a process that cannot open a socket, the definitions load all the same."""
    program = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('connected while loading')\n"
        "socket.socket.connect = refuse\n"
        "from financelake_assets.definitions import defs\n"
        "defs.get_repository_def()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(describe(defs.get_repository_def()), indent=2) + "\n")
