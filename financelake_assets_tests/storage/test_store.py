"""Tables in an object store, by settings alone: what is written, read, copied and deleted there. On moto's server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession

from dash_app.data.cached_tables import CachedTable
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.model import training_rows
from financelake_assets.model.markets import Market
from financelake_assets.operations import doctor
from financelake_assets.operations.backup import back_up, restore
from financelake_assets.operations.resetting import contents, reset_lake
from financelake_assets.servers import jars, spark
from financelake_assets.silver.schema import BARS, TICKS
from financelake_assets.storage import store
from financelake_assets.storage.maintenance import maintain
from financelake_assets.storage.store import StoreError
from financelake_assets_tests.deployment.object_store import Store, object_store
from financelake_assets_tests.shared_servers import free_ports
from financelake_assets_tests.silver.messages import message
from financelake_assets_tests.silver.test_staging import VALUES, by_staging, sent
from financelake_assets_tests.silver.test_writing import everything, mixed, write


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with object_store(tmp_path_factory.mktemp("store")) as found:
        yield found


@pytest.fixture
def lake(running: Store, tmp_path: Path) -> Settings:
    """A lake with tables of its own in the bucket."""
    return running.lake(tmp_path / "lake", url=f"s3://lake/{tmp_path.name}")


def quiet(_: str) -> None:
    """Steps are for people."""


# -- what each reader is told ----------------------------------------------------------------------------


def named(**values: str) -> Settings:
    return Settings.model_validate({"store": values})


def test_a_lake_without_a_store_is_told_nothing():
    assert store.delta_options(Settings()) is None
    assert store.spark_options(Settings()) == {}
    assert jars.sets_of(Settings()) == ("kafka", "spark")


def test_a_store_of_amazon_needs_its_address_alone():
    lake = named(url="s3://bucket/a/lake", region="eu-central-1")
    assert lake.table("silver", "bars") == "s3://bucket/a/lake/silver/bars"
    options = store.delta_options(lake)
    assert options is not None
    assert {name: value for name, value in options.items() if "aws" in name} == {"aws_region": "eu-central-1"}
    assert "spark.hadoop.fs.s3a.endpoint" not in store.spark_options(lake)
    assert jars.sets_of(lake) == ("kafka", "spark", "s3")


def test_another_store_is_told_to_both_readers():
    lake = named(url="s3://bucket", endpoint="http://10.0.0.1:9000", access_key="me", secret_key="hush")
    options = store.delta_options(lake)
    assert options is not None
    assert (options["aws_endpoint_url"], options["aws_allow_http"]) == ("http://10.0.0.1:9000", "true")
    assert options["aws_secret_access_key"] == "hush"
    spoken = store.spark_options(lake)
    assert spoken["spark.hadoop.fs.s3a.endpoint"] == "http://10.0.0.1:9000"
    assert spoken["spark.hadoop.fs.s3a.secret.key"] == "hush"
    assert spoken.items() <= spark.configuration(lake).items()


def test_plain_http_is_only_spoken_where_it_was_asked_for():
    options = store.delta_options(named(url="s3://bucket", endpoint="https://store.example"))
    assert options is not None
    assert options["aws_allow_http"] == "false"


def test_a_key_without_its_secret_names_the_setting():
    with pytest.raises(StoreError, match="FINANCELAKE_STORE__SECRET_KEY"):
        store.delta_options(named(url="s3://bucket", access_key="me"))
    with pytest.raises(ValidationError, match="access_key"):
        named(url="s3://bucket", secret_key="hush")


def test_an_empty_file_of_a_secret_is_none():
    assert named(secret_key="", access_key="").store.secret_key is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://bucket"},
        {"url": "s3://bucket/"},
        {"url": "s3://bucket/with blank"},
        {"url": "s3://Bucket"},
        {"endpoint": "store:9000"},
        {"endpoint": "http://store/path"},
    ],
)
def test_an_address_that_is_none_is_refused(wrong: dict[str, str]):
    with pytest.raises(ValidationError):
        named(**wrong)


def test_who_receives_the_settings_has_the_secret_of_its_own(monkeypatch: pytest.MonkeyPatch):
    lake = named(url="s3://bucket", access_key="me", secret_key="hush")
    plain = lake.without_secrets()
    assert "hush" not in plain
    with pytest.raises(StoreError, match="SECRET_KEY"):
        store.delta_options(Settings.sent(plain))
    monkeypatch.setenv("FINANCELAKE_STORE__SECRET_KEY", "whispered")
    monkeypatch.setenv("FINANCELAKE_STORE__URL", "s3://another")
    received = Settings.sent(plain)
    assert received.store.url == "s3://bucket"
    assert (store.delta_options(received) or {})["aws_secret_access_key"] == "whispered"


# -- whether it will do ----------------------------------------------------------------------------------


def finding(lake: Settings) -> doctor.Diagnosis:
    (found,) = [found for found in doctor.examine(lake) if found.name == "Object store"]
    return found


def test_a_store_that_refuses_the_second_put_will_do_and_keeps_nothing_of_the_trial(lake: Settings):
    assert finding(lake).well
    assert store.objects(lake).list().collect() == []


def test_a_store_that_does_not_is_refused(tmp_path: Path):
    with object_store(tmp_path, honest=False) as careless:
        found = finding(careless.lake(tmp_path / "lake"))
    assert not found.well
    assert "lose each other's commits" in found.detail
    assert "FINANCELAKE_STORE__ENDPOINT" in found.detail


def test_a_bucket_that_is_not_there_is_named(running: Store, tmp_path: Path):
    found = finding(running.lake(tmp_path, url="s3://nobody/lake"))
    assert not found.well
    assert "has no bucket for s3://nobody/lake" in found.detail
    with pytest.raises(StoreError, match="has no bucket for s3://nobody/lake"):
        store.table_names(running.lake(tmp_path, url="s3://nobody/lake"))


def test_a_store_that_does_not_answer_is_named(running: Store, tmp_path: Path):
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    found = finding(running.lake(tmp_path, endpoint=nobody))
    assert not found.well
    assert nobody in found.detail
    assert "kept nowhere" not in found.detail


# -- what is there ---------------------------------------------------------------------------------------


def test_silver_writes_what_it_writes_to_a_folder(lake: Settings, tmp_path: Path):
    alone = Settings(data_dir=tmp_path / "alone")
    for settings in (lake, alone):
        write(settings, mixed(40))
    assert everything(lake) == everything(alone)
    assert store.table_names(lake) == store.table_names(alone)
    assert not (lake.data_dir / "delta").exists()


def test_executors_stage_in_a_bucket_with_their_own_secret(
    lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """New rows, then corrections: committed as staged, and read back and merged."""
    secret = lake.store.secret_key
    assert secret is not None
    alone = Settings(data_dir=tmp_path / "alone")
    parts = [[sent(n, VALUES[n % 6](n)) for n in range(first, first + 30)] for first in (0, 30)]
    for part in parts:
        by_staging(alone, [part])
    monkeypatch.setenv("FINANCELAKE_STORE__SECRET_KEY", secret.get_secret_value())
    for part in parts:
        by_staging(lake, [part])
    monkeypatch.undo()
    assert everything(lake) == everything(alone)
    staged_files = {item["path"].split("/")[-1] for item in store.objects(lake).list("silver/ticks").collect()}
    assert {Path(uri).name for uri in TICKS.ensure(lake).file_uris()} <= staged_files


@pytest.mark.integration
def test_spark_reads_a_version_of_silver_from_the_store(
    spark: SparkSession, server_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store(tmp_path, endpoint=server_settings.store.endpoint) as found:
        lake = found.lake(tmp_path / "lake")
        write(lake, mixed(40))
        table = BARS.open(lake)
        assert table is not None
        before, version = BARS.scan(lake).filter(interval="1d").collect(), table.version()
        write(lake, [message(40, symbol="LATER")])
        in_process = training_rows.read_bars(spark, lake, version, Market("1d"))
        monkeypatch.setattr(training_rows, "MOST_LOCAL_BARS", 0)
        in_spark = training_rows.read_bars(spark, lake, version, Market("1d"))
        assert isinstance(in_spark, DataFrame)
        rows = pl.DataFrame(in_spark.toArrow())
    assert not before.is_empty()
    assert rows.sort(BARS.key).equals(before.select(rows.columns).sort(BARS.key))
    assert isinstance(in_process, pl.DataFrame)
    assert in_process.sort(BARS.key).equals(before.sort(BARS.key))


def test_maintenance_merges_and_counts_the_files_of_a_store(lake: Settings):
    few = Settings.model_validate({**lake.model_dump(), "maintenance": {"small_files": 3}})
    for number in range(4):
        write(few, [message(number, close=float(number))])
    found = maintain(BARS, few)
    assert found is not None
    assert (found.before.log_files, found.merged_files) == (4 + 1 + len(BARS.constraints), 0)
    for number in range(4, 8):
        write(few, [message(number, symbol=f"S{number}")])
    found = maintain(BARS, few)
    assert found is not None
    assert found.merged_files >= 4
    assert found.after.files == 1
    assert BARS.scan(few).collect().height == 5


def test_the_page_follows_a_table_in_a_store(lake: Settings):
    table = CachedTable(BARS, lake, group_by=("symbol",))
    assert not table.refresh()
    assert table.view.state == "absent"
    write(lake, [message(0, symbol="ONE", close=1.0)])
    assert table.refresh()
    write(lake, [message(1, symbol="TWO", close=2.0)])
    assert table.refresh()
    assert {key: rows["close"].to_list() for key, rows in table.view.groups.items()} == {
        ("ONE",): [1.0],
        ("TWO",): [2.0],
    }


def test_a_backup_of_a_store_makes_a_lake_in_a_folder_and_the_other_way_round(lake: Settings, tmp_path: Path):
    write(lake, mixed(40))
    lake.models_dir.mkdir(parents=True)
    (lake.models_dir / "part").write_text("a tree")
    made = back_up(lake, tmp_path / "backup", quiet)
    assert set(made.tables) == set(store.table_names(lake))

    folder = Settings(data_dir=tmp_path / "folder")
    restore(folder, tmp_path / "backup", quiet)
    assert everything(folder) == everything(lake)
    back_up(folder, tmp_path / "again", quiet)
    bucket = Settings.model_validate(
        {"data_dir": tmp_path / "other", "store": {**lake.model_dump()["store"], "url": f"{lake.tables}-restored"}}
    )
    restore(bucket, tmp_path / "again", quiet)
    assert everything(bucket) == everything(lake)
    assert (bucket.models_dir / "part").read_text() == "a tree"
    with pytest.raises(FinanceLakeError, match=f"{bucket.tables} hold something already"):
        restore(bucket, tmp_path / "again", quiet)


def test_a_reset_empties_the_lakes_place_in_the_bucket_and_nothing_beside_it(lake: Settings, running: Store):
    write(lake, mixed(10))
    beside = running.lake(lake.data_dir, url="s3://lake")
    store.objects(beside).put("holiday/photo", b"sea")
    store.objects(lake).put("notes.txt", b"mine")
    assert lake.tables in contents(lake)
    reset_lake(lake)
    assert [item["path"] for item in store.objects(lake).list().collect()] == ["notes.txt"]
    assert store.objects(beside).get("holiday/photo").bytes() == b"sea"
    assert contents(lake) == []
