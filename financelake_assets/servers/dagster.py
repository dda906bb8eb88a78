"""Dagster's three processes: the code location's gRPC server, the webserver and the daemon.

Input: settings. Output: command lines whose DAGSTER_HOME is ``<data_dir>/dagster``, with the instance settings of the
repository's ``dagster.yaml`` and a workspace that points at this lake's code location. That runs code for whoever
reaches it and asks nobody who he is; so where all three are on this machine, it listens on a Unix socket of their
owner's.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.files import write_whole
from financelake_assets.servers import sockets
from financelake_assets.servers.command import PYTHON, Command

_PACKAGE = Path(__file__).parents[1]
LOCATION = "financelake"

_POSTGRES_VARIABLE = "FINANCELAKE_POSTGRES_URL"  # what dagster.yaml refers to, in the place of the address itself


def home(settings: Settings) -> Path:
    """This lake's DAGSTER_HOME."""
    return settings.data_dir / "dagster"


def prepare(settings: Settings) -> None:
    """Write the instance settings and the workspace of this lake; the database's password is in neither."""
    folder = home(settings)
    folder.mkdir(parents=True, exist_ok=True)
    instance = _instance_settings().read_text()
    if settings.dagster.postgres is not None:
        instance += yaml.safe_dump({"storage": {"postgres": {"postgres_url": {"env": _POSTGRES_VARIABLE}}}})
    write_whole(folder / "dagster.yaml", instance)
    if settings.dagster.code_host is None:
        sockets.prepare(settings)
        place: dict[str, object] = {"socket": str(code_socket(settings))}
    else:
        place = {"host": settings.dagster.code_host, "port": code_port(settings)}
    server = {**place, "location_name": LOCATION}
    write_whole(folder / "workspace.yaml", yaml.safe_dump({"load_from": [{"grpc_server": server}]}))


def code_server(settings: Settings) -> Command:
    """The code location, which also launches the runs."""
    where: tuple[str, ...] = ("--host", settings.host, "--port", str(code_port(settings)))
    if settings.dagster.code_host is None:
        where = ("--socket", str(code_socket(settings)))
    return _command(
        settings,
        *("dagster", "api", "grpc", "-m", "financelake_assets.definitions"),
        *("--max-workers", "12"),  # the usual six have three sensors that wait among them
        *(*where, "--location-name", LOCATION),
        *_log_format(settings),
    )


def code_socket(settings: Settings) -> Path:
    """Where the code location listens when the webserver and the daemon are on the same machine."""
    return sockets.path(settings, "dagster-code")


def code_port(settings: Settings) -> int:
    """Where it listens when they are elsewhere, that is where ``dagster.code_host`` is set."""
    return settings.dagster.code_port + settings.port_offset


def webserver(settings: Settings) -> Command:
    """The Dagster UI, behind the guard that keeps foreign pages out."""
    where = ("-h", settings.host, "-p", str(settings.dagster.port + settings.port_offset))
    workspace = str(home(settings) / "workspace.yaml")
    return _command(settings, "financelake_assets.servers.dagster_web", "-w", workspace, *where, *_log_format(settings))


def daemon(settings: Settings) -> Command:
    """Sensors, schedules, the run queue and run monitoring."""
    workspace = str(home(settings) / "workspace.yaml")
    return _command(settings, "dagster._daemon", "run", "-w", workspace, *_log_format(settings))


def liveness(settings: Settings) -> Command:
    """Asks Dagster's storage for the heartbeats of the daemon."""
    return _command(settings, "dagster._daemon", "liveness-check")


def _log_format(settings: Settings) -> tuple[str, ...]:
    return ("--log-format", "json") if settings.log_format == "json" else ()


def _command(settings: Settings, module: str, *arguments: str) -> Command:
    folder, postgres = home(settings), settings.dagster.postgres
    env = {"DAGSTER_HOME": str(folder)}
    if postgres is not None:
        # without a driver SQLAlchemy 2.1 takes psycopg 3, and Dagster brings psycopg 2
        address = re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", postgres.get_secret_value())
        env[_POSTGRES_VARIABLE] = address
    return Command((*PYTHON, "-m", module, *arguments), cwd=folder, env=env)


def _instance_settings() -> Path:
    """``dagster.yaml``: at the repository's root in a checkout, inside the package once installed."""
    for candidate in (_PACKAGE / "dagster.yaml", _PACKAGE.parent / "dagster.yaml"):
        if candidate.is_file():
            return candidate
    raise FinanceLakeError("dagster.yaml is missing.", remedy="The installation is damaged: install financelake again.")
