"""Removes secrets from another program's output: ``python -m …supervision.redact`` copies its input without them.

Spark's Python workers print the address that they connect to, with the Connect server's token in it, and neither Spark
nor pyspark has a setting against this. So if there is a token, the server's output goes through this filter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from pydantic import BaseModel, SecretStr

from financelake_assets.config import Settings, get_settings
from financelake_assets.servers.command import PYTHON

_SHORTEST = 8
"""Shorter values occur in too many places to be removed, and are too weak to be secrets."""
_BLOT = b"**********"


def secrets(group: BaseModel) -> Iterator[bytes]:
    """Every secret value of the settings."""
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from secrets(value)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, SecretStr) and len(one.get_secret_value()) >= _SHORTEST:
                yield one.get_secret_value().encode()


def copy(source: BinaryIO, target: BinaryIO, hidden: Iterable[bytes]) -> None:
    """Copy each line as soon as it arrives, without any secret."""
    longest_first = sorted(set(hidden), key=len, reverse=True)
    for line in iter(source.readline, b""):
        for secret in longest_first:
            line = line.replace(secret, _BLOT)
        target.write(line)
        target.flush()


def output_through_here(settings: Settings, environment: Mapping[str, str]) -> None:
    """Send the output of this process, and of the program that replaces it, through a separate filter process.

    The filter ends by itself when no process can write to it any more.
    """
    if settings.spark.token is None:
        return
    command = [*PYTHON, "-m", "financelake_assets.supervision.redact"]
    filter_ = subprocess.Popen(command, stdin=subprocess.PIPE, env=dict(environment))  # noqa: S603
    assert filter_.stdin is not None  # noqa: S101  # because of stdin=PIPE
    for stream in (sys.stdout, sys.stderr):
        os.dup2(filter_.stdin.fileno(), stream.fileno())


if __name__ == "__main__":
    import signal

    # the server stops first, and may print something while it stops
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    copy(sys.stdin.buffer, sys.stdout.buffer, secrets(get_settings()))
