"""Archives of Java's classes, made by a real Java of a few classes."""

from __future__ import annotations

import gzip
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from financelake_assets.config import Settings
from financelake_assets.servers import class_archives, jars
from financelake_assets.servers.java import Java, find_java

FEW = ["java/lang/Object", "java/lang/String", "kafka/Kafka"]


@pytest.fixture
def java() -> Java:
    return find_java()


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "kafka.txt.gz").write_bytes(gzip.compress("".join(f"{name}\n" for name in FEW).encode()))
    monkeypatch.setattr(class_archives, "_LISTS", lists)
    return Settings.model_validate({"data_dir": tmp_path, "runtime": {"class_archives_dir": tmp_path / "classes"}})


def class_path() -> list[str]:
    return [str(path) for path in jars.class_path("kafka", Settings())]


def test_an_archive_is_made_once_and_java_starts_with_it(lake: Settings, java: Java) -> None:
    assert class_archives.options("kafka", lake, java, class_path()) == ()
    assert class_archives.make("kafka", lake, java, class_path())
    assert not class_archives.make("kafka", lake, java, class_path())
    shared, archive = class_archives.options("kafka", lake, java, class_path())
    assert shared == "-Xshare:auto", "a Java that cannot use it goes on without it"
    loaded = ["-Xlog:class+load", "-cp", ":".join(class_path()), "kafka.Kafka"]
    # -Xshare:on refuses to start without the archive
    done = subprocess.run(
        [str(java.executable), "-Xshare:on", archive, *loaded], capture_output=True, text=True, check=False
    )
    (line,) = (line for line in done.stdout.splitlines() if " kafka.Kafka " in line)
    assert "source: shared objects file" in line


def test_another_class_path_or_java_has_another_archive(lake: Settings, java: Java) -> None:
    assert class_archives.make("kafka", lake, java, class_path())
    assert class_archives.options("kafka", lake, java, class_path()[::-1]) == ()
    assert class_archives.options("kafka", lake, replace(java, version="21"), class_path()) == ()


def test_a_java_that_makes_none_leaves_nothing_and_stops_nothing(lake: Settings, java: Java, tmp_path: Path) -> None:
    for executable in (tmp_path / "no-java", Path("/bin/false"), Path("/bin/true")):
        broken = replace(java, executable=executable)
        assert not class_archives.make("kafka", lake, broken, class_path())
        assert class_archives.options("kafka", lake, broken, class_path()) == ()
    assert [file.suffix for file in class_archives.folder(lake).iterdir() if file.suffix != ".lock"] == []


def test_what_nothing_uses_any_more_is_deleted(lake: Settings, java: Java) -> None:
    place = class_archives.folder(lake)
    cut_short, unused, used = place / ".partial-abc", place / "spark-1.jsa", place / "spark-2.jsa"
    (cut_short / "deep").mkdir(parents=True)
    for file, days in ((cut_short, 1), (unused, 40), (used, 20)):
        file.touch()
        os.utime(file, (time.time() - days * 86_400,) * 2)
    assert class_archives.make("kafka", lake, java, class_path())
    assert (cut_short.exists(), unused.exists(), used.exists()) == (False, False, True)
    kept = next(file for file in place.glob("kafka-*.jsa"))
    os.utime(kept, (1, 1))
    class_archives.options("kafka", lake, java, class_path())
    assert kept.stat().st_mtime > 1, "an archive in use is not old"


def test_a_list_holds_what_every_run_of_a_lake_loads(lake: Settings, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("java/lang/Object\nmade/Generated source: file:x\na/B$$Lambda$1\n@lambda-proxy a/B run\n")
    two.write_text("java/lang/Object\na/C\n")
    assert class_archives.write_list("spark", [one, two]) == 3
    written = gzip.decompress(class_archives._list("spark").read_bytes()).decode()
    assert written == "java/lang/Object\n@lambda-proxy a/B run\na/C\n"


@pytest.mark.parametrize(
    ("server", "name"),
    [("kafka", "kafka/server/KafkaRaftServer"), ("spark", "org/apache/spark/sql/connect/service/SparkConnectServer")],
)
def test_the_packaged_lists_are_those_of_the_servers(server: class_archives.Server, name: str) -> None:
    lines = gzip.decompress(class_archives._list(server).read_bytes()).decode().splitlines()
    assert name in lines
    assert len(lines) > 5_000
