"""The jars: locked by hash, fetched once, refused when they differ. A local HTTP server is the Maven repository."""

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import jars
from financelake_assets.servers.spark import spark_home

CONTENT = b"not really a jar, but bytes have a hash"
GOOD = hashlib.sha256(CONTENT).hexdigest()
POM = """<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId><artifactId>one</artifactId>
<version>1.0</version></project>"""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """Address, folder and requests of a Maven repository with one artifact."""
    folder = tmp_path / "repository"
    place = folder / "org/example/one/1.0"
    place.mkdir(parents=True)
    (place / "one-1.0.jar").write_bytes(CONTENT)
    (place / "one-1.0.pom").write_text(POM)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", place, asked
        server.shutdown()


def lake(tmp_path: Path, address: str) -> Settings:
    runtime = {"jars_dir": tmp_path / "cache", "maven_repository": address}
    return Settings.model_validate({"data_dir": tmp_path / "lake", "runtime": runtime})


def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str | None = GOOD, version: str = "1.0") -> Path:
    text = f'[[dependencies]]\ngroupId = "org.example"\nartifactId = "one"\nversion = "{version}"\n'
    file = tmp_path / "jgo.lock.toml"
    file.write_text(text + (f'sha256 = "{digest}"\n' if digest else ""))
    monkeypatch.setattr(jars, "lock_file", lambda _: file)
    return file


def test_a_jar_is_fetched_once_and_never_again(tmp_path, monkeypatch, repository):
    address, place, asked = repository
    lock(tmp_path, monkeypatch)
    settings = lake(tmp_path, address)
    assert jars.missing("kafka", settings) == 1
    (path,) = jars.class_path("kafka", settings)
    assert path.read_bytes() == CONTENT
    assert jars.missing("kafka", settings) == 0
    before = len(asked)
    (place / "one-1.0.jar").unlink()
    assert jars.class_path("kafka", settings) == [path]
    assert len(asked) == before


def test_another_file_under_the_same_name_is_refused_and_not_kept(tmp_path, monkeypatch, repository):
    address, place, _ = repository
    lock(tmp_path, monkeypatch)
    (place / "one-1.0.jar").write_bytes(CONTENT + b"!")
    with pytest.raises(FinanceLakeError, match="is not the jar that this version was locked to"):
        jars.class_path("kafka", lake(tmp_path, address))
    assert not list((tmp_path / "cache").rglob("*.jar"))


def test_a_damaged_jar_in_the_cache_is_fetched_anew(tmp_path, monkeypatch, repository):
    address, _, _ = repository
    lock(tmp_path, monkeypatch)
    settings = lake(tmp_path, address)
    (path,) = jars.class_path("kafka", settings)
    path.write_bytes(CONTENT[:5])
    jars.class_path("kafka", settings)
    assert path.read_bytes() == CONTENT


def test_a_repository_that_is_away_is_a_message_with_a_remedy(tmp_path, monkeypatch):
    lock(tmp_path, monkeypatch)
    with pytest.raises(FinanceLakeError, match=r"one-1\.0\.jar could not be fetched") as raised:
        jars.class_path("kafka", lake(tmp_path, "http://127.0.0.1:9"))
    assert "FINANCELAKE_RUNTIME__MAVEN_REPOSITORY" in raised.value.remedy


def test_a_lock_entry_without_a_hash_is_refused(tmp_path, monkeypatch):
    lock(tmp_path, monkeypatch, digest=None)
    with pytest.raises(FinanceLakeError, match=r"no sha256 for org\.example:one:1\.0"):
        jars.class_path("kafka", lake(tmp_path, "http://127.0.0.1:9"))


def test_a_lock_cannot_lead_out_of_the_cache(tmp_path, monkeypatch):
    lock(tmp_path, monkeypatch, version="../../../etc")
    with pytest.raises(FinanceLakeError, match="not a plain jar"):
        jars.class_path("kafka", lake(tmp_path, "http://127.0.0.1:9"))


@pytest.mark.parametrize("name", ["kafka", "spark", "s3"])
def test_the_committed_locks_hash_every_jar(name):
    locked = jars.read_lock(jars.lock_file(name))
    assert len(locked) > 5
    assert len({jar.path for jar in locked}) == len(locked)


@pytest.mark.parametrize("name", ["spark", "s3"])
def test_spark_gets_no_jar_that_its_wheel_has(name):
    brought = jars.wheel_artifacts()
    assert brought
    assert not [jar.artifact for jar in jars.read_lock(jars.lock_file(name)) if jar.artifact in brought]


def test_the_s3_file_system_is_of_the_wheels_hadoop():
    (hadoop,) = [jar for jar in jars.read_lock(jars.lock_file("s3")) if jar.artifact == "hadoop-aws"]
    assert list((spark_home() / "jars").glob(f"hadoop-client-api-{hadoop.version}.jar"))
