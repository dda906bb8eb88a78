"""An S3-compatible store on this machine: moto's server, which keeps objects in memory and writes down what it answers.

One request at a time is worked on. So its conditional put, a look and then a write, is as atomic as that of S3.
"""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from financelake_assets.config import Settings
from financelake_assets.runtime import probes
from financelake_assets_tests.deployment.composed import ROOT
from financelake_assets_tests.servers import await_probe, end_group, free_ports

BUCKET = "lake"


class Machine(Settings):
    """The settings of one machine of a lake whose tables are in the bucket; turns among writers are its own files."""

    def table(self, layer: str, name: str) -> str:
        """Address of the Delta table ``layer/name``."""
        return f"s3://{BUCKET}/{layer}/{name}"


@dataclass(frozen=True)
class Store:
    """The running store, and the variables with which delta-rs and polars find it."""

    url: str
    log: Path

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "lake",
            "AWS_SECRET_ACCESS_KEY": "kept nowhere",
        }

    def refused(self) -> list[str]:
        """The commits that it refused because an object of that name was there."""
        answers = [line.split() for line in self.log.read_text().splitlines() if line.startswith("PUT ")]
        return [path for _, path, status in answers if status == "412" and "/_delta_log/" in path]


@contextmanager
def object_store(folder: Path, meeting: str = "", honest: bool = True) -> Iterator[Store]:
    """Start a store with an empty bucket, and end it afterwards.

    Args:
        folder: where its log will be.
        meeting: path of an object whose first two puts wait for each other.
        honest: whether it heeds the condition of a put.
    """
    (port,) = free_ports(1)
    store = Store(f"http://127.0.0.1:{port}", folder / "store.log")
    command = [sys.executable, "-m", __name__, str(port), meeting, *([] if honest else ["careless"])]
    with store.log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    try:
        await_probe(lambda: probes.http(store.url), 120, process, store.log)
        made = urllib.request.Request(f"{store.url}/{BUCKET}", method="PUT")  # noqa: S310  # http of our own address
        urllib.request.urlopen(made, timeout=60).close()  # noqa: S310
        yield store
    finally:
        end_group(process)


class Server:
    """The WSGI application of the store."""

    def __init__(self, application: Callable[..., Iterable[bytes]], meeting: str, honest: bool) -> None:
        self._application, self._meeting, self._honest = application, meeting, honest
        self._one, self._both = threading.Lock(), threading.Barrier(2, timeout=120)
        self._arrived = itertools.count()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Answer, and print a line of method, path and status."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if method == "PUT" and path == self._meeting and next(self._arrived) < 2:
            self._both.wait()
        if not self._honest:
            environ.pop("HTTP_IF_NONE_MATCH", None)

        def started(status: str, *more: Any) -> Any:
            sys.stdout.write(f"{method} {path} {status[:3]}\n")
            sys.stdout.flush()
            return start_response(status, *more)

        with self._one:
            return list(self._application(environ, started))


def main(port: str, meeting: str, *careless: str) -> None:
    """Serve until told to end."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    os.environ["MOTO_PORT"] = port
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = Server(DomainDispatcherApplication(create_backend_app), meeting, honest=not careless)
    make_server("127.0.0.1", int(port), server, threaded=True).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
