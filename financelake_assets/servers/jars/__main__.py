"""``python -m financelake_assets.servers.jars``: resolve the manifests with jgo and write the locks, for maintainers.

With ``fetch`` it changes no lock: it puts every locked jar into the cache, as when an image is built.
"""

from __future__ import annotations

import sys
from typing import get_args

from financelake_assets.config import get_settings
from financelake_assets.servers.jars import JMX_AGENT, JarSet, class_path, provide, resolve, wheel_artifacts, write_lock

if __name__ == "__main__":
    if sys.argv[1:] == ["fetch"]:
        for name in get_args(JarSet):
            class_path(name, get_settings())
        provide(JMX_AGENT, get_settings())
    else:
        write_lock("kafka", resolve("kafka"))
        write_lock("spark", resolve("spark", without=wheel_artifacts()))
        write_lock("s3", resolve("s3", transitive=False))
