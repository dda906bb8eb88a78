"""The JVM jars of the lake: resolved once by jgo into a committed lock, fetched by it, checked by hash at every use.

Input: ``<name>/jgo.lock.toml`` beside this file and the user's cache folder. Output: a class path whose every jar has
the locked sha256. A jar with another hash, or a lock entry without one, is refused. Works offline once fetched; neither
``mvn`` nor ``~/.m2`` is used. Run as a module, it resolves the manifests anew and writes the locks.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

JarSet = Literal["kafka", "spark", "s3"]
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Called with a file's name and size; gives a context that yields a function to report the bytes that arrived."""

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Jar:
    """One locked artifact."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies in a Maven repository, and in the cache."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        name = f"{self.artifact}-{self.version}{suffix}.jar"
        return Path(*self.group.split("."), self.artifact, self.version, name)


def manifest(name: JarSet) -> Path:
    """The committed ``jgo.toml``."""
    return _HERE / name / "jgo.toml"


def lock_file(name: JarSet) -> Path:
    """The committed ``jgo.lock.toml``."""
    return _HERE / name / "jgo.lock.toml"


def cache_folder(settings: Settings) -> Path:
    """Where the jars are kept, shared by all lakes of this user."""
    return settings.runtime.jars_dir or platformdirs.user_cache_path("financelake") / "jars"


def read_lock(path: Path) -> list[Jar]:
    """The artifacts of a lock.

    Raises:
        FinanceLakeError: the lock is missing, or an entry has no sha256 or is not a plain jar of a fixed version.
    """
    try:
        entries = tomllib.loads(path.read_text())["dependencies"]
    except (FileNotFoundError, tomllib.TOMLDecodeError, KeyError) as error:
        raise FinanceLakeError(
            f"The lock of the JVM jars cannot be read: {path}: {error}", remedy=_REINSTALL
        ) from error
    return [_locked(entry, path) for entry in entries]


def class_path(name: JarSet, settings: Settings, progress: Progress | None = None) -> list[Path]:
    """The jars of a set, each fetched where it is missing and checked against the lock.

    Raises:
        FinanceLakeError: a jar cannot be fetched or does not have the locked hash. Nothing may start then.
    """
    jars = read_lock(lock_file(name))
    cache = cache_folder(settings)
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda jar: _provide(jar, cache, settings.runtime.maven_repository, progress), jars))


def sets_of(settings: Settings) -> tuple[JarSet, ...]:
    """The sets that a lake with these settings uses."""
    return ("kafka", *spark_sets(settings))


def spark_sets(settings: Settings) -> tuple[JarSet, ...]:
    """Those of Spark's servers and executors."""
    return ("spark",) if settings.store.url is None else ("spark", "s3")


def spark_class_path(settings: Settings) -> list[Path]:
    """The jars of Spark's servers and executors; raises as ``class_path`` does."""
    return [jar for name in spark_sets(settings) for jar in class_path(name, settings)]


def provide(jar: Jar, settings: Settings) -> Path:
    """One jar that is in no set, fetched where it is missing and checked; raises as ``class_path`` does."""
    return _provide(jar, cache_folder(settings), settings.runtime.maven_repository, None)


def places(name: JarSet, settings: Settings) -> list[Path]:
    """Where the jars of a set lie, fetched or not, in the order of ``class_path``; nothing is checked."""
    cache = cache_folder(settings)
    return [cache / jar.path for jar in read_lock(lock_file(name))]


def missing(name: JarSet, settings: Settings) -> int:
    """How many jars of a set have to be fetched."""
    return sum(not place.is_file() for place in places(name, settings))


_REINSTALL = "The installation is damaged: install financelake again."


def _locked(entry: dict[str, str], path: Path) -> Jar:
    digest = entry.get("sha256", "")
    coordinate = f"{entry.get('groupId')}:{entry.get('artifactId')}:{entry.get('version')}"
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise FinanceLakeError(f"{path} has no sha256 for {coordinate}; it is refused.", remedy=_REINSTALL)
    names = (*entry["groupId"].split("."), entry["artifactId"], entry["version"], entry.get("classifier") or "x")
    if entry.get("packaging", "jar") != "jar" or not all(re.fullmatch(r"\w[\w.\-]*", part) for part in names):
        raise FinanceLakeError(f"{path} has an entry that is not a plain jar: {coordinate}.", remedy=_REINSTALL)
    return Jar(entry["groupId"], entry["artifactId"], entry["version"], entry.get("classifier", ""), digest)


def _provide(jar: Jar, cache: Path, repository: str | None, progress: Progress | None) -> Path:
    """The cached jar when its hash is right; a damaged one is fetched anew, once."""
    target = cache / jar.path
    if not target.is_file() or sha256(target) != jar.sha256:
        _fetch(jar, target, cache, repository, progress)
    return target


def _fetch(jar: Jar, target: Path, cache: Path, repository: str | None, progress: Progress | None) -> None:
    """Download beside the cache, check, and only then move into it, so that an interruption leaves nothing behind."""
    from jgo.maven import MavenContext
    from jgo.maven._resolver import PythonResolver

    cache.mkdir(parents=True, exist_ok=True)
    source = repository or "Maven Central"
    staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=cache))
    try:
        maven = MavenContext(
            resolver=PythonResolver(progress_callback=progress),
            repo_cache=staging,
            local_repos=[],
            remote_repos={"maven": repository.rstrip("/")} if repository else None,  # jgo's own default
            timeout=60,
        )
        artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact(jar.classifier, "jar")
        try:
            arrived = Path(artifact.resolve())
        except (OSError, RuntimeError) as error:
            raise FinanceLakeError(
                f"{jar.path.name} could not be fetched from {source}: {error}",
                remedy="Check the network and any proxy, or set FINANCELAKE_RUNTIME__MAVEN_REPOSITORY to a mirror. "
                "What has been fetched is kept.",
            ) from error
        found = sha256(arrived)
        if found != jar.sha256:
            raise FinanceLakeError(
                f"{jar.path.name} from {source} is not the jar that this version was locked to: "
                f"sha256 {found}, expected {jar.sha256}. Nothing was started.",
                remedy="The repository or something on the way to it has changed the file. Do not use it; "
                "try another repository with FINANCELAKE_RUNTIME__MAVEN_REPOSITORY.",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        arrived.replace(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- writing the locks (maintainers) ---------------------------------------------------------------------


def resolve(name: JarSet, without: frozenset[str] = frozenset(), transitive: bool = True) -> list[Jar]:
    """Resolve a manifest with jgo, from an empty repository; leave out the artifact ids in ``without``.

    ``transitive``: false where the manifest names every jar.
    """
    from jgo.env import EnvironmentSpec
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as folder:
        maven = MavenContext(repo_cache=Path(folder), local_repos=[], timeout=60)
        wanted = [maven.create_dependency(text) for text in EnvironmentSpec.load(manifest(name)).coordinates]
        if transitive:
            for root in wanted:
                root.scope = "compile"
            inputs, further = maven.resolver.resolve(wanted)
            wanted = [*inputs, *(dependency for dependency in further if dependency.scope in ("compile", "runtime"))]
        artifacts = [dependency.artifact for dependency in wanted if dependency.artifactId not in without]
        return [
            Jar(item.groupId, item.artifactId, item.version, item.classifier, sha256(Path(item.resolve())))
            for item in artifacts
        ]


def write_lock(name: JarSet, jars: list[Jar]) -> None:
    """Write the lock in jgo's format."""
    from jgo.env import LockedDependency, LockFile

    locked = [
        LockedDependency(jar.group, jar.artifact, jar.version, classifier=jar.classifier or None, sha256=jar.sha256)
        for jar in sorted(jars, key=lambda jar: jar.path)
    ]
    LockFile(locked, environment_name=f"financelake-{name}").save(lock_file(name))


def wheel_artifacts() -> frozenset[str]:
    """Artifact ids of the jars that the pyspark wheel brings."""
    import pyspark

    jars = (Path(os.fspath(pyspark.__file__)).parent / "jars").glob("*.jar")
    return frozenset(re.sub(r"-\d[\w.\-]*\.jar$", "", jar.name) for jar in jars)


JMX_AGENT = Jar(
    "io.prometheus.jmx",
    "jmx_prometheus_javaagent",
    "1.0.1",
    "",
    "7d61f737fd661610ccc14aea79764faa1ea94a340cbc8f0029b3d2edea3d80c1",
)
"""In no class path: it is an agent of the broker's JVM."""
