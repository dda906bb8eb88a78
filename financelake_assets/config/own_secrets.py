"""The secrets that ``up`` has made for a lake of its own, taken by all of the lake's processes without being told.

Input: the settings that a user has given. Output: what these leave open, from the files of ``<data_dir>/secrets``.
Each file is called like its variable, as in ``FINANCELAKE_SECRETS_DIR``; ``servers/own_secrets.py`` makes them. Nothing
is taken for a server that is someone else's, nor where a variable is set, be it to nothing: that opens the door.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

NAMES = (
    "FINANCELAKE_WEB_TOKEN",
    "FINANCELAKE_SPARK__TOKEN",
    "FINANCELAKE_SPARK__CLUSTER_SECRET",
    "FINANCELAKE_KAFKA__PASSWORD",
    "FINANCELAKE_KAFKA__ADMIN_PASSWORD",
)
"""The variables whose values ``up`` makes up."""

KAFKA_LOGIN = {"security": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "username": "lake"}
"""How clients log in to the lake's own broker with the password that was made up."""


def folder(data_dir: Path) -> Path:
    """Where a lake's own secrets are."""
    return data_dir / "secrets"


def read(file: Path) -> str | None:
    """A secret; ``None`` where there is none, it was cut short to nothing, or this user may not read it.

    Who may not read the secrets may still read tables that the owner has opened to them; the servers then refuse them.
    """
    try:
        return file.read_text().strip() or None
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def left_open(data_dir: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the files say, where the user's settings leave them open.

    Args:
        data_dir: of the lake.
        given: the user's settings, by group.

    Returns:
        Settings in the same shape.
    """
    known = {name: read(folder(data_dir) / name) for name in NAMES}
    found: dict[str, Any] = {"web_token": known["FINANCELAKE_WEB_TOKEN"], "spark": {}, "kafka": {}}
    if not _given(given, "spark", "remote"):
        found["spark"]["token"] = known["FINANCELAKE_SPARK__TOKEN"]
        if (_given(given, "spark", "master") or "local").startswith("local"):
            # what the server's own parts listen on, which nobody else has to speak to
            found["spark"]["cluster_secret"] = known["FINANCELAKE_SPARK__CLUSTER_SECRET"]
    password, admin = known["FINANCELAKE_KAFKA__PASSWORD"], known["FINANCELAKE_KAFKA__ADMIN_PASSWORD"]
    own = not _given(given, "kafka", "bootstrap")
    if own and password and admin and _given(given, "kafka", "security") in (None, KAFKA_LOGIN["security"]):
        found["kafka"] = {**KAFKA_LOGIN, "password": password, "admin_password": admin}
    return _without_nothing(found)


def _given(given: Mapping[str, Any], group: str, name: str) -> Any:
    values = given.get(group)
    return values.get(name) if isinstance(values, Mapping) else getattr(values, name, None)


def _without_nothing(values: Mapping[str, Any]) -> dict[str, Any]:
    inner = {key: _without_nothing(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    return {key: value for key, value in inner.items() if value not in (None, {})}


class OwnSecrets(PydanticBaseSettingsSource):
    """The last source of settings: ``left_open`` by all that come before it."""

    def __init__(self, settings_cls: type[BaseSettings], default_folder: Path) -> None:
        super().__init__(settings_cls)
        self._default_folder = default_folder

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not asked: the source gives all its values at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """The values."""
        given = self.current_state
        data_dir = Path(given.get("data_dir") or self._default_folder).expanduser()
        return left_open(data_dir, given)
