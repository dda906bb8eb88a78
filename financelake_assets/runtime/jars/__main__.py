"""Resolve the manifests with jgo and write the locks; for maintainers, after a change of a ``jgo.toml``."""

from __future__ import annotations

from financelake_assets.runtime.jars import resolve, wheel_artifacts, write_lock

if __name__ == "__main__":
    write_lock("kafka", resolve("kafka"))
    write_lock("spark", resolve("spark", without=wheel_artifacts()))
