"""The place of the Delta tables, the data folder or a bucket of an S3-compatible store, in the form each reader needs.

Input: settings. Output: the options of delta-rs and polars, those of Spark, and an interface to the files themselves. A
commit is a put that the store must refuse if the version exists (``If-None-Match``). A store that does not refuse loses
commits, so ``refuse_careless`` tests a store before a lake uses it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, ObjectStore, S3Store

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError

if TYPE_CHECKING:
    from obstore.store import S3Config

LAYERS = ("gold", "operations", "reference", "silver")
"""The folders of tables; a folder comes before those that its rows refer to."""

_AMAZONS_CHAIN = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
_RETRIES = {"retry_timeout": "20s", "connect_timeout": "5s", "timeout": "30s"}
"""Time limit of one request. After it, a query or sensor gets an error and retries."""
_PATIENCE = timedelta(seconds=20)


class StoreError(FinanceLakeError, RuntimeError):
    """The object store cannot be used for this lake's tables; the message names the setting."""


def _keys(settings: Settings) -> tuple[str, str] | None:
    """Access key and secret key; ``None`` to use the machine's role or the ``AWS_…`` variables."""
    store = settings.store
    if store.access_key is None:
        return None
    if store.secret_key is None:
        raise StoreError("FINANCELAKE_STORE__ACCESS_KEY is set, so FINANCELAKE_STORE__SECRET_KEY must be set too.")
    return store.access_key, store.secret_key.get_secret_value()


def delta_options(settings: Settings) -> dict[str, str] | None:
    """Options for delta-rs and polars; ``None`` for tables in a folder.

    Raises:
        StoreError: a key without its secret.
    """
    store, keys = settings.store, _keys(settings)
    if store.url is None:
        return None
    options = {"aws_region": store.region, **_RETRIES}
    if store.endpoint is not None:
        options |= {"aws_endpoint_url": store.endpoint, "aws_allow_http": "true" if _plain(store.endpoint) else "false"}
    if keys is not None:
        options |= {"aws_access_key_id": keys[0], "aws_secret_access_key": keys[1]}
    return options


def spark_options(settings: Settings) -> dict[str, str]:
    """Options for a Spark server whose tasks read tables; empty for tables in a folder. Contains the keys.

    Raises:
        StoreError: a key without its secret.
    """
    store, keys = settings.store, _keys(settings)
    if store.url is None:
        return {}
    prefix = "spark.hadoop.fs.s3a"
    options = {
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        f"{prefix}.endpoint.region": store.region,
    }
    if store.endpoint is not None:
        options |= {f"{prefix}.endpoint": store.endpoint, f"{prefix}.path.style.access": "true"}
    if keys is None:
        # Hadoop's default list lacks a pod's role
        return options | {f"{prefix}.aws.credentials.provider": _AMAZONS_CHAIN}
    return options | {f"{prefix}.access.key": keys[0], f"{prefix}.secret.key": keys[1]}


def objects(settings: Settings) -> ObjectStore:
    """The files under ``Settings.tables``, wherever they are; a folder must exist.

    Raises:
        StoreError: a key without its secret.
    """
    store, keys = settings.store, _keys(settings)
    if store.url is None:
        return LocalStore(settings.tables)
    config: S3Config = {"region": store.region}
    if store.endpoint is not None:
        config["endpoint"] = store.endpoint
    if keys is not None:
        config["access_key_id"], config["secret_access_key"] = keys
    return S3Store.from_url(
        store.url,
        config=config,
        client_options={"allow_http": _plain(store.endpoint), "timeout": _PATIENCE},
        retry_config={"max_retries": 3, "retry_timeout": _PATIENCE},
    )


@contextmanager
def asked(settings: Settings) -> Iterator[ObjectStore]:
    """The files under ``Settings.tables``; turns the store's errors into clear messages.

    Raises:
        StoreError: the store cannot be reached, or refuses this lake. The message names the setting.
    """
    try:
        yield objects(settings)
    except BaseError as error:
        raise _in_words(settings, error) from error


def _in_words(settings: Settings, error: BaseError) -> StoreError:
    place, url = f"The object store at {_place(settings)}", settings.store.url
    if url is None:
        return StoreError(f"The tables in {settings.tables} cannot be read: {_first_line(error)}.")
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or "403 Forbidden" in str(error):
        return StoreError(
            f"{place} does not let this lake use {url}. Check FINANCELAKE_STORE__ACCESS_KEY, "
            "FINANCELAKE_STORE__SECRET_KEY and the rights on the bucket."
        )
    if "404 Not Found" in str(error):  # from a list; a missing object is a FileNotFoundError
        return _no_bucket(settings)
    return StoreError(
        f"{place} cannot be used: {_first_line(error)}. Check FINANCELAKE_STORE__ENDPOINT and "
        "FINANCELAKE_STORE__REGION."
    )


def _no_bucket(settings: Settings) -> StoreError:
    return StoreError(
        f"The object store at {_place(settings)} has no bucket for {settings.store.url}. Create it, or correct "
        "FINANCELAKE_STORE__URL."
    )


def table_names(settings: Settings) -> list[str]:
    """``layer/name`` of every existing table, layer by layer; raises as ``asked`` does."""
    if settings.store.url is None and not Path(settings.tables).is_dir():
        return []
    with asked(settings) as files:
        folders = [name for layer in LAYERS for name in sorted(files.list_with_delimiter(layer)["common_prefixes"])]
        return [folder for folder in folders if files.list_with_delimiter(f"{folder}/_delta_log")["objects"]]


def names(settings: Settings, folder: str) -> list[str]:
    """The files of a folder, such as ``silver/bars/_delta_log``, as paths relative to it.

    Raises:
        StoreError: as ``asked`` does.
    """
    with asked(settings) as files:
        return sorted(item["path"].removeprefix(f"{folder}/") for item in files.list(folder).collect())


def refuse_careless(settings: Settings) -> str:
    """Test whether the store accepts tables and refuses a second put of the same name; returns its description.

    Raises:
        StoreError: the store would lose commits, or as ``asked`` does.
    """
    name = f"financelake-probe-{uuid.uuid4().hex}"
    with asked(settings) as files:
        try:
            files.put(name, b"", mode="create")
            try:
                files.put(name, b"", mode="create")
            except AlreadyExistsError:
                return f"{settings.store.url} at {_place(settings)}, which refuses a second commit of one version"
            finally:
                files.delete(name)
        except FileNotFoundError as error:
            raise _no_bucket(settings) from error
    raise StoreError(
        f"The object store at {_place(settings)} took two objects of one name, although the second put asked it to "
        "refuse. Two writers would lose each other's commits there: set FINANCELAKE_STORE__ENDPOINT to a store with "
        "conditional puts."
    )


def _place(settings: Settings) -> str:
    return settings.store.endpoint or f"Amazon's S3 in {settings.store.region}"


def _plain(endpoint: str | None) -> bool:
    """Whether the endpoint is without TLS."""
    return endpoint is not None and endpoint.startswith("http://")


def _first_line(error: BaseError) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
