"""``financelake doctor``: all checks of this machine and of the servers it uses, each with its result or the remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.operations import deployment, preflight
from financelake_assets.servers import jars
from financelake_assets.supervision.supervisor import Supervisor


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check."""

    name: str
    well: bool
    detail: str
    remedy: str = ""


def examine(settings: Settings, progress: jars.Progress | None = None) -> list[Diagnosis]:
    """Run all checks; ports and memory only if this lake runs here and is stopped, because a running lake uses them."""
    checks: dict[str, Callable[[Settings], str]] = {
        "Python": preflight.python,
        "Java": preflight.java,
        "Data folder": preflight.data_folder,
        "Broker's folder": preflight.broker_folder,
        "JVM jars": lambda lake: preflight.jar_sets(lake, progress),
    }
    if not deployment.elsewhere(settings) and not Supervisor(settings).alive():
        checks |= {"Memory": preflight.memory, "Ports": preflight.ports}
    checks |= deployment.checks(settings)
    return [_run(name, check, settings) for name, check in checks.items()]


def _run(name: str, check: Callable[[Settings], str], settings: Settings) -> Diagnosis:
    try:
        return Diagnosis(name, True, check(settings))
    except FinanceLakeError as problem:
        return Diagnosis(name, False, str(problem), problem.remedy)
