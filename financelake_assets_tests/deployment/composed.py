"""The compose file as data: its services, their environment, and the variables of a profile.

Only what our own file uses is understood: merge keys are YAML's, ``${NAME:-value}`` and ``${NAME:?message}`` compose's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PROFILES = ("laptop", "cluster", "secure")
SECRETS = "/run/secrets"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@cache
def compose(profile: str) -> dict[str, Any]:
    """The whole file with the variables of a profile filled in."""
    text = (DOCKER / "compose.yaml").read_text()
    values = {**example_variables(), "FINANCELAKE_PROFILE": profile}
    return dict(yaml.safe_load(_VARIABLE.sub(lambda found: _value(found, values), text)))


def services(profile: str) -> dict[str, dict[str, Any]]:
    """The services that a profile starts."""
    return {name: one for name, one in compose(profile)["services"].items() if profile in one["profiles"]}


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """A service's own variables over those of its files."""
    found: dict[str, str] = {}
    for file in service.get("env_file", []):
        found |= read_variables(DOCKER / file)
    return {**found, **{name: str(value) for name, value in service.get("environment", {}).items()}}


def image_environment() -> dict[str, str]:
    """What ``ENV`` sets in the last stage of the Dockerfile."""
    stage = (DOCKER / "Dockerfile").read_text().split("\nFROM ")[-1].replace("\\\n", " ")
    pairs = [pair for line in re.findall(r"^ENV (.*)$", stage, re.M) for pair in line.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def entrypoint() -> list[str]:
    """The image's ``ENTRYPOINT``."""
    found = re.findall(r"^ENTRYPOINT (\[.*\])$", (DOCKER / "Dockerfile").read_text(), re.M)
    return list(yaml.safe_load(found[-1]))


def mounts(service: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Path]:
    """Where each secret of a service is mounted, and the file that it is."""
    found = {}
    for entry in service.get("secrets", []):
        source, target = (entry, entry) if isinstance(entry, str) else (entry["source"], entry["target"])
        found[f"{SECRETS}/{target}"] = (DOCKER / definitions["secrets"][source]["file"]).resolve()
    return found


@lru_cache(maxsize=1)
def example_variables() -> dict[str, str]:
    """What a user starts with."""
    return read_variables(DOCKER / ".env.example")


def read_variables(file: Path) -> dict[str, str]:
    """A file of ``NAME=value`` lines."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    name, operator, other = found.groups()
    if name in values:
        return values[name]
    assert operator == "-", f"{name} is in no .env.example"
    return str(other)
