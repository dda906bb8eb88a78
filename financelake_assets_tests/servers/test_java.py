"""Finding a Java: real folders, and real executables that say what a Java says."""

from pathlib import Path

import pytest

from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import java


@pytest.fixture(autouse=True)
def only_these_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(java, "_USUAL_PLACES", (str(tmp_path / "usual" / "*"),))


def install(home: Path, version: str, modules: str = "java.base jdk.incubator.vector") -> Path:
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text("#!/bin/sh\nexit 1\n")
    executable.chmod(0o755)
    (home / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return executable


def test_java_home_goes_before_path_and_the_usual_places(tmp_path: Path):
    at_home = install(tmp_path / "home", "17.0.15")
    on_path = install(tmp_path / "path", "21.0.1")
    install(tmp_path / "usual" / "jdk", "25")
    assert java.find_java(env={"JAVA_HOME": str(tmp_path / "home"), "PATH": str(on_path.parent)}).executable == at_home
    assert java.find_java(env={"PATH": str(on_path.parent)}).executable == on_path
    assert java.find_java(env={}).major == 25


def test_an_old_java_is_passed_over(tmp_path: Path):
    install(tmp_path / "home", "1.8.0_292")
    good = install(tmp_path / "usual" / "jdk", "17.0.1")
    assert java.find_java(env={"JAVA_HOME": str(tmp_path / "home")}).executable == good


def test_none_that_is_suitable_is_one_message_with_all_that_was_found(tmp_path: Path):
    install(tmp_path / "home", "11.0.2")
    install(tmp_path / "usual" / "small", "17.0.1", modules="java.base")
    with pytest.raises(FinanceLakeError) as raised:
        java.find_java(env={"JAVA_HOME": str(tmp_path / "home")})
    assert "older than 17" in str(raised.value)
    assert "lacks the module jdk.incubator.vector" in str(raised.value)
    assert "FINANCELAKE_RUNTIME__FETCH_JAVA" in raised.value.remedy


def test_no_java_at_all(tmp_path: Path):
    with pytest.raises(FinanceLakeError, match="none"):
        java.find_java(env={"PATH": str(tmp_path)})


def test_a_java_without_a_release_file_is_asked(tmp_path: Path):
    executable = install(tmp_path / "home", "17")
    (tmp_path / "home" / "release").unlink()
    executable.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = "-version" ]; then echo \'openjdk version "21.0.3" 2024-04-16\' >&2; exit; fi\n'
        "echo java.base@21.0.3; echo jdk.incubator.vector@21.0.3\n"
    )
    found = java.find_java(env={"JAVA_HOME": str(tmp_path / "home")})
    assert (found.major, found.suitable) == (21, True)


def test_a_java_that_does_not_run_is_said(tmp_path: Path):
    executable = install(tmp_path / "home", "17")
    (tmp_path / "home" / "release").unlink()
    executable.write_text("#!/bin/sh\nexit 127\n")
    with pytest.raises(FinanceLakeError, match="does not run"):
        java.find_java(env={"JAVA_HOME": str(tmp_path / "home")})


@pytest.mark.parametrize(("version", "major"), [("1.8.0_292", 8), ("17.0.15", 17), ("25", 25), ("", 0), ("?", 0)])
def test_feature_releases(version: str, major: int):
    assert java.Java(Path("/java"), "PATH", version, True).major == major
