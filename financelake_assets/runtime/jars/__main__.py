"""``python -m financelake_assets.runtime.jars``: resolve the manifests with jgo and write the locks, for maintainers.

With ``fetch`` it changes no lock: it puts every locked jar into the cache, as when an image is built.
"""

from __future__ import annotations

import sys

from financelake_assets.config import get_settings
from financelake_assets.runtime.jars import class_path, provide, resolve, wheel_artifacts, write_lock
from financelake_assets.runtime.kafka import JMX_AGENT

if __name__ == "__main__":
    if sys.argv[1:] == ["fetch"]:
        class_path("kafka", get_settings())
        class_path("spark", get_settings())
        provide(JMX_AGENT, get_settings())
    else:
        write_lock("kafka", resolve("kafka"))
        write_lock("spark", resolve("spark", without=wheel_artifacts()))
