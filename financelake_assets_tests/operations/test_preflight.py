"""Preflight checks, each against the real thing: a real port, a real disk, a real folder."""

import os
import socket
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.operations import preflight
from financelake_assets.silver.schema import QUARANTINE
from financelake_assets_tests.shared_servers import free_ports, laptop


def test_free_ports_pass(tmp_path: Path):
    settings = laptop(tmp_path)
    assert str(settings.spark_port) in preflight.ports(settings)


def test_a_port_in_use_is_named_with_its_holder(tmp_path: Path):
    settings = laptop(tmp_path)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", settings.spark_port))
        holder.listen()
        with pytest.raises(FinanceLakeError) as raised:
            preflight.ports(settings)
    assert f"{settings.spark_port} (Spark Connect server)" in str(raised.value)
    assert f"process {os.getpid()}" in str(raised.value)
    assert "FINANCELAKE_PORT_OFFSET" in raised.value.remedy


def test_the_port_of_a_server_that_is_someone_elses_may_be_in_use(tmp_path: Path):
    (port,) = free_ports(1)
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "port_offset": 20_000, "spark": {"port": 1, "remote": f"sc://127.0.0.1:{port}"}}
    )
    assert "20001" not in preflight.ports(settings)


def test_an_address_that_is_not_this_machines(tmp_path: Path):
    with pytest.raises(FinanceLakeError, match="Nothing can listen on"):
        preflight.ports(Settings(data_dir=tmp_path, host="203.0.113.1"))


def test_a_disk_that_is_too_full(tmp_path: Path):
    settings = Settings.model_validate({"data_dir": tmp_path, "runtime": {"min_free_gb": 1e9}})
    with pytest.raises(FinanceLakeError, match="GB are free on the disk") as raised:
        preflight.data_folder(settings)
    assert "FINANCELAKE_DATA_DIR" in raised.value.remedy


def test_a_data_folder_that_cannot_be(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FinanceLakeError, match="cannot be written"):
        preflight.data_folder(Settings(data_dir=tmp_path / "file" / "lake"))


@pytest.mark.parametrize("name", ["My Lake", "märkte", "a%20b", "a#b"])
def test_a_data_folder_that_delta_tables_cannot_be_read_under(tmp_path: Path, name: str):
    with pytest.raises(FinanceLakeError, match="has a character that Delta") as raised:
        preflight.data_folder(Settings(data_dir=tmp_path / name))
    assert "FINANCELAKE_DATA_DIR" in raised.value.remedy
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", [".financelake", "a+b", "it's", "x(1)", "a@b,c=d~2"])
def test_tables_are_readable_under_every_data_folder_that_is_allowed(tmp_path: Path, name: str):
    settings = Settings(data_dir=tmp_path / name)
    preflight.data_folder(settings)
    assert pl.read_delta(QUARANTINE.ensure(settings)).is_empty()
    path = QUARANTINE.path(settings)
    write_deltalake(path, QUARANTINE.schema.empty_table(), mode="append")
    assert pl.scan_delta(path).collect().is_empty()


def test_too_little_memory(tmp_path: Path):
    settings = Settings.model_validate({"data_dir": tmp_path, "runtime": {"min_free_memory_gb": 1e6}})
    with pytest.raises(FinanceLakeError, match="GB of memory"):
        preflight.memory(settings)


@pytest.mark.parametrize(
    ("files", "says"), [([], "is new"), (["bootstrap.checkpoint"], "in part"), (["meta.properties"], "in part")]
)
def test_the_brokers_folder(tmp_path: Path, files: list[str], says: str):
    data = tmp_path / "kafka" / "data"
    data.mkdir(parents=True)
    for name in files:
        (data / name).write_text("")
    assert says in preflight.broker_folder(Settings(data_dir=tmp_path))


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_data_folder_that_others_can_write_is_refused(tmp_path: Path, mode: int):
    lake = tmp_path / "lake"
    lake.mkdir()
    lake.chmod(mode)
    with pytest.raises(FinanceLakeError, match="can write the data folder") as refused:
        preflight.data_folder(Settings(data_dir=lake))
    assert "chmod go-w" in str(refused.value.remedy)


def test_a_data_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(FinanceLakeError, match="belongs to another user"):
        preflight.data_folder(Settings(data_dir=tmp_path))


def test_a_new_data_folder_is_its_owners_alone(tmp_path: Path):
    preflight.data_folder(Settings(data_dir=tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
