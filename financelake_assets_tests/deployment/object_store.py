"""S3-compatible stores on this machine: SeaweedFS where its program is there, and moto's server.

moto's keeps objects in memory, writes down what it answers, and works on one request at a time. So its conditional put,
a look and then a write, is as atomic as that of S3.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import secrets
import shutil
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from financelake_assets.config import Settings
from financelake_assets.supervision import probes
from financelake_assets_tests.deployment.cluster import Node
from financelake_assets_tests.shared_servers import free_ports

BUCKET = "lake"


@dataclass(frozen=True)
class Store:
    """The running store, and how a lake is told of it."""

    endpoint: str
    node: Node
    secret_key: str = "kept nowhere"

    @property
    def settings(self) -> dict[str, str]:
        """The group ``store`` of a lake's settings."""
        return {
            "url": f"s3://{BUCKET}/tables",
            "endpoint": self.endpoint,
            "access_key": "lake",
            "secret_key": self.secret_key,
        }

    def lake(self, folder: Path, **others: str) -> Settings:
        """A lake, or another machine of one, whose tables are in the bucket."""
        return Settings.model_validate({"data_dir": folder, "store": {**self.settings, **others}})

    def refused(self) -> list[str]:
        """The commits that moto's server refused because an object of that name was there."""
        answers = [line.split() for line in self.node.log.read_text().splitlines() if line.startswith("PUT ")]
        return [path for _, path, status in answers if status == "412" and "/_delta_log/" in path]


@contextmanager
def object_store(folder: Path, meeting: str = "", honest: bool = True, endpoint: str | None = None) -> Iterator[Store]:
    """Start a store with an empty bucket, and end it afterwards.

    Args:
        folder: where its log will be.
        meeting: path of an object whose first two puts wait for each other.
        honest: whether it heeds the condition of a put.
        endpoint: where it is to listen, if that matters.
    """
    endpoint = endpoint or f"http://127.0.0.1:{free_ports(1)[0]}"
    command = (sys.executable, "-m", __name__, endpoint.rsplit(":", 1)[1], meeting, *([] if honest else ["careless"]))
    store = Store(endpoint, Node("store", command, {}, folder / "store.log", lambda: probes.http(endpoint)))
    try:
        store.node.start()
        made = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")  # noqa: S310  # http of our own address
        urllib.request.urlopen(made, timeout=60).close()  # noqa: S310
        yield store
    finally:
        store.node.stop()


SEAWEED = shutil.which("weed")
"""A store that is meant to be used, of one program without a dependency; CONTRIBUTING.md says how to make it."""


@contextmanager
def seaweed(folder: Path) -> Iterator[Store]:
    """Start SeaweedFS with an empty bucket, and end it afterwards. It lets one key in, whose secret is in its file."""
    assert SEAWEED is not None
    port, master, volume, filer, *internal = free_ports(8)
    secret = secrets.token_hex(24)
    key = {"accessKey": "lake", "secretKey": secret}
    identity = {"name": "lake", "credentials": [key], "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "keys.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "objects").mkdir()
    command = (
        *(SEAWEED, "server", f"-dir={folder / 'objects'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false"),
        *(f"-volume.port={volume}", "-filer", f"-filer.port={filer}"),
        *("-s3", f"-s3.port={port}", f"-s3.config={folder / 'keys.json'}", "-s3.autoCreateBucket=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{part}.port.grpc={at}" for part, at in zip(("master", "volume", "filer", "s3"), internal, strict=True)),
    )
    endpoint = f"http://127.0.0.1:{port}"
    node = Node("store", command, {}, folder / "store.log", lambda: _without_bucket(endpoint, secret))
    try:
        node.start()
        yield Store(endpoint, node, secret)
    finally:
        node.stop()


def _without_bucket(endpoint: str, secret: str) -> str | None:
    """Make the bucket; what stands against it."""
    keys = {"aws_access_key_id": "lake", "aws_secret_access_key": secret}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
    try:
        client.create_bucket(Bucket=BUCKET)
    except client.exceptions.BucketAlreadyOwnedByYou:
        return None
    except (BotoCoreError, ClientError) as error:
        return str(error)
    return None


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
