"""Makes the secrets of a lake of its own, in files that nobody but their owner reads.

Input: a data folder. Output: ``<data_dir>/secrets`` with mode 0700, and in it a file for each secret with mode 0600.
The settings of every process of the lake take them from there (``config/own_secrets.py``). Other Kafka clients of the
lake's owner find the login in files of the usual format beside them.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from financelake_assets.bronze.access import client_options, spark_options
from financelake_assets.config import Settings
from financelake_assets.config.own_secrets import NAMES, folder, read
from financelake_assets.errors import FinanceLakeError
from financelake_assets.files import is_own_folder, write_whole

LIBRDKAFKA = "kafka-librdkafka.properties"
"""Login for clients on librdkafka, such as ``kcat -F``."""
JAVA = "kafka-java.properties"
"""Login for Java clients, such as the ``--command-config`` of Kafka's own tools."""

_BYTES = 32


def make(data_dir: Path) -> bool:
    """Make each secret that is missing; true when at least one was.

    A folder that others can enter is closed, and everything in it made anew, because they may know it.

    Raises:
        FinanceLakeError: the folder is a link or another user's, or cannot be written.
    """
    place = folder(data_dir)
    try:
        closed = _closed(place)
        missing = [name for name in NAMES if not closed or read(place / name) is None]
        for name in missing:
            write_whole(place / name, secrets.token_hex(_BYTES) + "\n", private=True)
    except OSError as error:
        raise FinanceLakeError(
            f"The lake's secrets cannot be written into {place}: {error.strerror or error}.",
            remedy="Free some space or rights there, or choose another folder with FINANCELAKE_DATA_DIR.",
        ) from error
    return bool(missing)


def _closed(place: Path) -> bool:
    """Make the folder and close it to others; false when it was open to them."""
    place.mkdir(mode=0o700, exist_ok=True)
    if not is_own_folder(place):
        raise FinanceLakeError(
            f"The folder of the lake's secrets, {place}, is a link or belongs to another user.",
            remedy="Delete it; `financelake up` makes a new one.",
        )
    if not place.stat().st_mode & 0o077:
        return True
    place.chmod(0o700)
    return False


def write_client_files(settings: Settings) -> None:
    """Write the login to Kafka for other clients, as they read it.

    Raises:
        AccessError: the settings for a secured broker are incomplete.
    """
    java = {name.removeprefix("kafka."): value for name, value in spark_options(settings).items()}
    for name, options in ((LIBRDKAFKA, client_options(settings)), (JAVA, java)):
        lines = {"bootstrap.servers": settings.kafka_bootstrap, **options}
        text = "".join(f"{key}={value}\n" for key, value in lines.items())
        write_whole(folder(settings.data_dir) / name, text, private=True)
