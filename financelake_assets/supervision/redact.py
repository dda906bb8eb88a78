"""Keeps secrets out of another program's output: ``python -m …supervision.redact`` copies its input without them.

Spark's Python workers print the address that they connect to, with the Connect server's token in it, and neither Spark
nor pyspark can be told not to. So what the server prints goes through here where there is a token.
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
"""What is shorter stands in too many places to be blotted out, and is no secret worth the name."""
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
    """Copy line by line, each as soon as it is there, with every secret blotted out."""
    longest_first = sorted(set(hidden), key=len, reverse=True)
    for line in iter(source.readline, b""):
        for secret in longest_first:
            line = line.replace(secret, _BLOT)
        target.write(line)
        target.flush()


def output_through_here(settings: Settings, environment: Mapping[str, str]) -> None:
    """Send what this process, and what takes its place, prints from now on through a process of its own.

    It ends by itself when nobody is left who could print.
    """
    if settings.spark.token is None:
        return
    command = [*PYTHON, "-m", "financelake_assets.supervision.redact"]
    filter_ = subprocess.Popen(command, stdin=subprocess.PIPE, env=dict(environment))  # noqa: S603
    assert filter_.stdin is not None  # noqa: S101  # it was asked for
    for stream in (sys.stdout, sys.stderr):
        os.dup2(filter_.stdin.fileno(), stream.fileno())


if __name__ == "__main__":
    import signal

    # the server is stopped first, and may say something on its way
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    copy(sys.stdin.buffer, sys.stdout.buffer, secrets(get_settings()))
