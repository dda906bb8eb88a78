"""What must hold before a lake starts: space on the disk, free ports, a Java, and the jars.

Each check passes or raises one ``FinanceLakeError`` that names the cause and the remedy. Nothing is changed but the
user's cache of jars. ``up`` runs them all and stops at the first problem; ``doctor`` runs them all and shows each.
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
"""What a path may hold beyond letters, digits and -._ to be the same in a URL."""


def python(_: Settings) -> str:
    """The interpreter that everything runs on."""
    return f"Python {sys.version.split()[0]} at {sys.executable}"


def data_folder(settings: Settings) -> str:
    """The data folder can be written and its disk has space.

    Raises:
        FinanceLakeError: it cannot, or has not.
    """
    folder = settings.data_dir
    if quote(str(folder), safe=_PLAIN) != str(folder):
        # the Delta readers look for their files under a path with %20 in the place of a blank
        raise FinanceLakeError(
            f"The data folder {folder} has a character in its path that Delta tables cannot be read under.",
            remedy="Choose one of letters, digits and -._ with FINANCELAKE_DATA_DIR, without blanks or accents.",
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
            remedy="Free some space or rights there, or choose another folder with FINANCELAKE_DATA_DIR.",
        ) from error
    free = shutil.disk_usage(folder).free / 1e9
    if free < settings.runtime.min_free_gb:
        raise FinanceLakeError(
            f"Only {free:.1f} GB are free on the disk of {folder}; the lake wants {settings.runtime.min_free_gb:g} GB.",
            remedy="Free some space, choose another disk with FINANCELAKE_DATA_DIR, or lower "
            "FINANCELAKE_RUNTIME__MIN_FREE_GB.",
        )
    return f"{folder}, {free:.0f} GB free"


def _refuse_shared(folder: Path) -> None:
    """Who else owns or can write the folder could change what the lake's processes read, and so what they do."""
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise FinanceLakeError(
            f"The data folder {folder} belongs to another user.",
            remedy="Start the lake as that user, or choose a folder of your own with FINANCELAKE_DATA_DIR.",
        )
    if found.st_mode & 0o022:
        raise FinanceLakeError(
            f"Other users can write the data folder {folder} (mode {found.st_mode & 0o777:o}).",
            remedy=f"Take that right away: `chmod go-w {folder}`.",
        )


def java(settings: Settings) -> str:
    """A suitable Java is there."""
    return str(find_java(fetch=settings.runtime.fetch_java))


def memory(settings: Settings) -> str:
    """There is memory enough for the two JVMs and six Python processes."""
    available = psutil.virtual_memory().available / 1e9
    if available < settings.runtime.min_free_memory_gb:
        raise FinanceLakeError(
            f"Only {available:.1f} GB of memory are available; "
            f"the lake wants {settings.runtime.min_free_memory_gb:g} GB.",
            remedy="End something else, or lower FINANCELAKE_SPARK__DRIVER_MEMORY and "
            "FINANCELAKE_RUNTIME__MIN_FREE_MEMORY_GB.",
        )
    return f"{available:.1f} GB available"


def jar_sets(settings: Settings, progress: jars.Progress | None = None) -> str:
    """The jars are in the cache and have the locked hashes."""
    count = sum(len(jars.class_path(name, settings, progress)) for name in jars.sets_of(settings))
    return f"{count} jars with the locked sha256 in {jars.cache_folder(settings)}"


def broker_folder(settings: Settings) -> str:
    """The broker's folder is empty, complete, or can be completed."""
    if settings.kafka.bootstrap:
        return f"someone else's broker at {settings.kafka.bootstrap}"
    data = kafka.folder(settings) / "data"
    if kafka.formatted_for(data):
        return f"{data} is formatted"
    return f"{data} {'was formatted by half and will be completed' if any_file(data) else 'is new'}"


def any_file(folder: Path) -> bool:
    """Whether a folder exists and holds something."""
    return folder.is_dir() and any(folder.iterdir())


def ports(settings: Settings) -> str:
    """Nothing else listens on the lake's ports.

    Raises:
        FinanceLakeError: something does; the message names it.
    """
    wanted = {process.title: process.port for process in processes.of_lake(settings).values() if process.port}
    if settings.kafka.bootstrap is None:
        wanted["Kafka controller"] = settings.kafka.controller_port + settings.port_offset
    taken = [f"{port} ({title}){_holder(port)}" for title, port in wanted.items() if _in_use(settings.host, port)]
    if taken:
        raise FinanceLakeError(
            f"Ports in use: {', '.join(taken)}.",
            remedy="Stop what holds them, or move this lake with FINANCELAKE_PORT_OFFSET=100 (added to every port).",
        )
    return ", ".join(str(port) for port in wanted.values())


def _in_use(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is not in use
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
    """`` by NAME, process ID`` where the system tells."""
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
