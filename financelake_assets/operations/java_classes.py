"""Makes the archives of Java's classes beside a lake that has just started, at the lowest priority.

The first lake of an installation starts without them. Making them takes about a minute of processor time, which would
make that start longer; every later start is shorter. Input: settings. Output: a process that ends by itself, or nothing
where the archives are there. ``down`` ends it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from financelake_assets.config import Settings, get_settings
from financelake_assets.servers import class_archives, jars, spark
from financelake_assets.servers.class_archives import Server
from financelake_assets.servers.command import PROCESS_VARIABLE, PYTHON, lake_environment
from financelake_assets.servers.java import find_java

NAME = "class-archives"
_LOWEST = 19


def make_beside(settings: Settings) -> bool:
    """Start to make what is missing; whether anything is.

    Raises:
        FinanceLakeError: there is no Java.
    """
    java = find_java(fetch=settings.runtime.fetch_java)
    if not settings.runtime.class_archives or all(
        class_archives.options(name, settings, java, of) for name, of in _class_paths(settings).items()
    ):
        return False
    log = settings.data_dir / "logs" / f"{NAME}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        subprocess.Popen(  # noqa: S603
            [*PYTHON, "-m", __name__],
            cwd=settings.data_dir,
            env={**lake_environment(settings), PROCESS_VARIABLE: NAME},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return True


def make(settings: Settings) -> list[Server]:
    """Make what is missing; which archives were made."""
    java = find_java(fetch=settings.runtime.fetch_java)
    return [name for name, of in _class_paths(settings).items() if class_archives.make(name, settings, java, of)]


def _class_paths(settings: Settings) -> dict[Server, list[str]]:
    paths: dict[Server, list[Path]] = {
        # `up` has just checked every jar's hash, and so does each server when it starts
        "kafka": jars.places("kafka", settings),
        "spark": spark.whole_class_path(
            [jar for name in jars.spark_sets(settings) for jar in jars.places(name, settings)]
        ),
    }
    return {name: [str(one) for one in of] for name, of in paths.items()}


if __name__ == "__main__":
    os.nice(_LOWEST)
    sys.stdout.write(f"made: {make(get_settings())}\n")
