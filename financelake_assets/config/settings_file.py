"""Settings in a file: ``financelake.toml`` in the working folder, or the file that ``FINANCELAKE_CONFIG`` names.

Input: a TOML file with a table for each group. Output: the settings that it has; the environment overrides them.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from financelake_assets.errors import FinanceLakeError

VARIABLE = "FINANCELAKE_CONFIG"
"""Names the file; ``financelake --config FILE`` sets it."""

NAME = "financelake.toml"
"""What the file in the working folder is called."""


class SettingsFileError(FinanceLakeError, ValueError):
    """The settings file cannot be used."""


def find() -> Path | None:
    """The settings file of this process; ``None`` where there is none.

    Raises:
        SettingsFileError: the variable names a file that does not exist.
    """
    named = os.environ.get(VARIABLE)
    file = Path(named or NAME).expanduser().absolute()
    if named and not file.is_file():
        raise SettingsFileError(f"There is no settings file {file}.", remedy=f"Correct or unset {VARIABLE} (--config).")
    return file if file.is_file() else None


def read(file: Path, model: type[BaseModel]) -> dict[str, Any]:
    """The settings of a file; its relative paths are relative to its folder.

    Raises:
        SettingsFileError: it is another user's, is no TOML, or has a setting that does not exist.
    """
    owner = file.stat().st_uid
    if owner not in (os.geteuid(), 0):
        raise SettingsFileError(
            f"{file} belongs to another user (id {owner}), who would choose what this lake does.",
            remedy="Copy it, so that it is yours, or work in another folder.",
        )
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsFileError(f"{file} is no TOML: {error}.", remedy="Correct it.") from error
    return _checked(values, model, file, ())


def _checked(values: Mapping[str, Any], model: type[BaseModel], file: Path, group: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        field = model.model_fields.get(name)
        where = ".".join((*group, name))
        if field is None:
            raise SettingsFileError(f"{file}: there is no setting {where}.", remedy=_nearest(name, model, group))
        inner = group_of(field)
        if inner is None:
            found[name] = _placed(value, field, file.parent)
        elif isinstance(value, Mapping):
            found[name] = _checked(value, inner, file, (*group, name))
        else:
            raise SettingsFileError(
                f"{file}: {where} is a group of settings, not a value.", remedy=f"Write [{where}] above its settings."
            )
    return found


def group_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a group of settings; ``None`` for a single setting."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _placed(value: Any, field: FieldInfo, folder: Path) -> Any:
    if isinstance(value, str) and value and "Path" in str(field.annotation):
        return folder / Path(value).expanduser()
    return value


def _nearest(name: str, model: type[BaseModel], group: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, model.model_fields, n=1)
    if close:
        return f"Do you mean {'.'.join((*group, close[0]))}?"
    return "`financelake config` shows every setting."


class SettingsFile(PydanticBaseSettingsSource):
    """The settings file as a source of settings."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not asked: the source gives all its values at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """The values of the file; none without one."""
        file = find()
        return {} if file is None else read(file, self.settings_cls)


def template(model: type[BaseModel]) -> str:
    """A settings file in which every setting stands with its meaning and its default, commented out."""
    return "\n".join(
        [
            "# Settings of this lake. Take the `#` away in front of what you change. Variables of the environment",
            "# (`financelake config` lists them) override this file. Relative paths are relative to its folder.",
            "# Keep passwords and tokens out of it: see FINANCELAKE_SECRETS_DIR.",
            *_lines(model, ()),
            "",
        ]
    )


def _lines(model: type[BaseModel], group: tuple[str, ...]) -> Iterator[str]:
    groups = {name: inner for name, field in model.model_fields.items() if (inner := group_of(field))}
    for name, field in model.model_fields.items():
        if name not in groups and "Secret" not in str(field.annotation):
            yield f"\n# {field.description or ''}"
            default = field.get_default(call_default_factory=True)
            yield f"# {name} =" if default is None else f"# {name} = {_toml(default)}"
    for name, inner in groups.items():
        yield f"\n[{'.'.join((*group, name))}]"
        if inner.__doc__:
            yield f"# {inner.__doc__.strip().splitlines()[0]}"
        yield from _lines(inner, (*group, name))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_toml(inner)}' for key, inner in value.items())}}}"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
