"""Conditions for the start of a lake: disk space, free ports, Java, and the jars.

Each check passes or raises one ``FinanceLakeError`` that names the cause and the remedy. Checks change nothing except
the user's cache of jars. ``up`` runs all and stops at the first problem; ``doctor`` runs all and shows each result.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
from pathlib import Path
from urllib.parse import quote

import psutil

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import jars, kafka
from financelake_assets.servers.java import find_java
from financelake_assets.supervision import processes

_PLAIN = "/~+@,=:'()!$&*;"
"""Characters that a path may have besides letters, digits and -._ so that a URL does not escape them."""


def python(_: Settings) -> str:
    """The Python interpreter of all processes."""
    return f"Python {sys.version.split()[0]} at {sys.executable}"


def data_folder(settings: Settings) -> str:
    """Check that the data folder can be written and that its disk has space.

    Raises:
        FinanceLakeError: it cannot, or it has not.
    """
    folder = settings.data_dir
    if quote(str(folder), safe=_PLAIN) != str(folder):
        # the Delta readers would look for a path with %20 instead of a space
        raise FinanceLakeError(
            f"The path of the data folder {folder} has a character that Delta tables do not support.",
            remedy="Choose a path of letters, digits and -._ with FINANCELAKE_DATA_DIR, without spaces or accents.",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(folder)
        probe = folder / f".writable.{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise FinanceLakeError(
            f"The data folder {folder} cannot be written: {error.strerror or error}.",
            remedy="Free some space, correct its access rights, or choose another folder with FINANCELAKE_DATA_DIR.",
        ) from error
    free = shutil.disk_usage(folder).free / 1e9
    if free < settings.runtime.min_free_gb:
        raise FinanceLakeError(
            f"Only {free:.1f} GB are free on the disk of {folder}; the lake needs {settings.runtime.min_free_gb:g} GB.",
            remedy="Free some space, choose another disk with FINANCELAKE_DATA_DIR, or lower "
            "FINANCELAKE_RUNTIME__MIN_FREE_GB.",
        )
    return f"{folder}, {free:.0f} GB free"


def _refuse_shared(folder: Path) -> None:
    """Another user who owns or can write the folder could control what the lake's processes read and do."""
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise FinanceLakeError(
            f"The data folder {folder} belongs to another user.",
            remedy="Start the lake as that user, or choose a folder of your own with FINANCELAKE_DATA_DIR.",
        )
    if found.st_mode & 0o022:
        raise FinanceLakeError(
            f"Other users can write the data folder {folder} (mode {found.st_mode & 0o777:o}).",
            remedy=f"Remove that right: `chmod go-w {folder}`.",
        )


def java(settings: Settings) -> str:
    """Check that a suitable Java is installed."""
    return str(find_java(fetch=settings.runtime.fetch_java))


def memory(settings: Settings) -> str:
    """Check that there is enough memory for the two JVMs and six Python processes."""
    available = psutil.virtual_memory().available / 1e9
    if available < settings.runtime.min_free_memory_gb:
        raise FinanceLakeError(
            f"Only {available:.1f} GB of memory are available; "
            f"the lake needs {settings.runtime.min_free_memory_gb:g} GB.",
            remedy="Stop other programs, or lower FINANCELAKE_SPARK__DRIVER_MEMORY and "
            "FINANCELAKE_RUNTIME__MIN_FREE_MEMORY_GB.",
        )
    return f"{available:.1f} GB available"


def jar_sets(settings: Settings, progress: jars.Progress | None = None) -> str:
    """Check that the jars are in the cache and have the locked hashes."""
    count = sum(len(jars.class_path(name, settings, progress)) for name in jars.sets_of(settings))
    return f"{count} jars with the locked sha256 in {jars.cache_folder(settings)}"


def broker_folder(settings: Settings) -> str:
    """Check that the broker's folder is empty, complete, or can be completed."""
    if settings.kafka.bootstrap:
        return f"not this lake's broker: {settings.kafka.bootstrap}"
    data = kafka.folder(settings) / "data"
    if kafka.formatted_for(data):
        return f"{data} is formatted"
    return f"{data} {'was formatted only in part and will be completed' if any_file(data) else 'is new'}"


def any_file(folder: Path) -> bool:
    """Whether a folder exists and is not empty."""
    return folder.is_dir() and any(folder.iterdir())


def ports(settings: Settings) -> str:
    """Check that no other process listens on the lake's ports.

    Raises:
        FinanceLakeError: another process does; the message names it.
    """
    wanted = {process.title: process.port for process in processes.of_lake(settings).values() if process.port}
    if settings.kafka.bootstrap is None:
        wanted["Kafka controller"] = settings.kafka.controller_port + settings.port_offset
    if settings.kafka.publishes_for_all:
        wanted["Kafka login"] = settings.kafka.login_port + settings.port_offset
    taken = [f"{port} ({title}){_holder(port)}" for title, port in wanted.items() if _in_use(settings.host, port)]
    if taken:
        raise FinanceLakeError(
            f"Ports in use: {', '.join(taken)}.",
            remedy="Stop these processes, or move this lake with FINANCELAKE_PORT_OFFSET=100 (added to every port).",
        )
    return ", ".join(str(port) for port in wanted.values())


def _in_use(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the servers: TIME_WAIT is not "in use"
        try:
            one.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise FinanceLakeError(
                    f"Nothing can listen on {host}:{port}: {error.strerror}.",
                    remedy="Choose another address or port with FINANCELAKE_HOST or FINANCELAKE_PORT_OFFSET.",
                ) from error
            return True
    return False


def _holder(port: int) -> str:
    """`` by NAME, process ID`` if the system tells it."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
        if listens and connection.pid:
            try:
                return f" by {psutil.Process(connection.pid).name()}, process {connection.pid}"
            except psutil.NoSuchProcess:
                break
    return ""
