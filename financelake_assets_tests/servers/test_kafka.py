"""The broker's folder: new, complete, half-formatted, damaged, someone else's. With the real StorageTool."""

from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import jars, kafka
from financelake_assets.servers.java import find_java

ID = "6bYxVMVVR-uJnsLM1C4KHA"


def meta(data: Path, cluster: str, *, complete: bool = True) -> None:
    data.mkdir(parents=True, exist_ok=True)
    node = "node.id=1\n" if complete else ""
    (data / "meta.properties").write_text(f"#\nversion=1\n{node}cluster.id={cluster}\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"version=1\nnode.id=1\ncluster.id={ID}\n", ID),
        (f"version=1\ncluster.id={ID}\n", None),
        ("", None),
        ("\x00\x00\x00", None),
    ],
)
def test_only_a_complete_format_counts(tmp_path: Path, text: str, expected: str | None):
    (tmp_path / "meta.properties").write_text(text)
    assert kafka.formatted_for(tmp_path) == expected


def test_a_folder_that_does_not_exist_is_not_formatted(tmp_path: Path):
    assert kafka.formatted_for(tmp_path / "none") is None


def test_a_broker_reachable_on_all_addresses_advertises_one_that_clients_can_use(tmp_path: Path):
    text = kafka.server_properties(Settings(data_dir=tmp_path, host="0.0.0.0"))  # noqa: S104
    assert "listeners=PLAINTEXT://0.0.0.0:9092" in text
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:9092" in text


def test_a_folder_of_another_cluster_is_left_alone(tmp_path: Path):
    settings = Settings(data_dir=tmp_path)
    home = kafka.folder(settings)
    meta(home / "data", ID)
    (home / "cluster.id").write_text("another\n")
    with pytest.raises(FinanceLakeError, match="belongs to the Kafka cluster") as raised:
        kafka.prepare(settings, find_java(), [])
    assert ID in raised.value.remedy
    assert kafka.formatted_for(home / "data") == ID


@pytest.mark.integration
def test_a_half_formatted_folder_is_completed_with_the_same_identity(tmp_path: Path):
    settings = Settings(data_dir=tmp_path)
    home = kafka.folder(settings)
    meta(home / "data", ID, complete=False)
    (home / "cluster.id").write_text(ID + "\n")
    (home / "data" / "kept.txt").write_text("messages")
    kafka.prepare(settings, find_java(), jars.class_path("kafka", settings))
    assert kafka.formatted_for(home / "data") == ID
    assert (home / "data" / "kept.txt").read_text() == "messages"
    assert (home / "data" / "meta.properties.damaged").exists()


@pytest.mark.integration
def test_preparing_twice_formats_once(tmp_path: Path):
    settings = Settings(data_dir=tmp_path)
    java, class_path = find_java(), jars.class_path("kafka", settings)
    kafka.prepare(settings, java, class_path)
    meta_file = kafka.folder(settings) / "data" / "meta.properties"
    before = meta_file.stat().st_mtime_ns
    kafka.prepare(settings, java, class_path)
    assert meta_file.stat().st_mtime_ns == before


@pytest.mark.integration
def test_an_identity_that_begins_with_a_dash_is_no_option(tmp_path: Path):
    settings = Settings(data_dir=tmp_path)
    home = kafka.folder(settings)
    home.mkdir(parents=True)
    (home / "cluster.id").write_text("-AAAAAAAAAAAAAAAAAAAAA\n")
    kafka.prepare(settings, find_java(), jars.class_path("kafka", settings))
    assert kafka.formatted_for(home / "data") == "-AAAAAAAAAAAAAAAAAAAAA"
