"""Starts and stops a whole lake: first the checks, then the processes stage by stage; waits until each is healthy.

Input: settings. Output: a lake that runs under its supervisor, or one ``FinanceLakeError`` with the reason. A second
start is harmless: it leaves running processes alone and starts the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from filelock import FileLock, Timeout

from financelake_assets.bronze import feed_choice
from financelake_assets.config import Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.operations import deployment, java_classes, preflight
from financelake_assets.servers import jars, kafka_access, own_secrets
from financelake_assets.supervision import leftovers, processes
from financelake_assets.supervision.processes import Process
from financelake_assets.supervision.supervisor import Supervisor, folder, log_file, mark_unwanted, mark_wanted, wanted

Say = Callable[[str], None]

_GONE_SECONDS = 120  # if the supervisor was killed, the watchdog starts it again long before


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Allow only one ``up``, ``down`` or ``reset`` of a lake at a time."""
    folder(settings).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder(settings) / "lake.lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout as error:
        raise FinanceLakeError(
            f"Another `financelake` is starting or stopping the lake in {settings.data_dir}.",
            remedy="Wait until it has finished.",
        ) from error


def up(settings: Settings, say: Say, progress: jars.Progress | None = None) -> Settings:
    """Start what does not run, and return when all is well.

    Args:
        settings: the lake.
        say: called with a text after each step.
        progress: shows downloads.

    Returns:
        The settings with the secrets of this lake, which the first start makes.

    Raises:
        FinanceLakeError: something is missing or did not become healthy; started processes continue to run.
    """
    preflight.data_folder(settings)
    with _alone(settings):
        supervisor = Supervisor(settings)
        if supervisor.alive():
            say("the lake's supervisor is running already")
            settings = settings.with_own_secrets()  # what runs goes on with those that it has
            _remember_universe(settings, say)
            supervisor.take_up()
        else:
            settings = _with_secrets(settings, say)
            _check(settings, say, progress)
            _remember_universe(settings, say)
            supervisor.start()
        mark_wanted(settings)
        _start(settings, supervisor, say)
        java_classes.make_beside(settings)
    return settings


def _with_secrets(settings: Settings, say: Say) -> Settings:
    """The lake's own secrets, made where they are missing."""
    if own_secrets.make(settings.data_dir):
        say(f"made secrets that only you can read, in {settings.data_dir / 'secrets'}")
    settings = settings.with_own_secrets()
    own_secrets.write_client_files(settings)
    return settings


def _check(settings: Settings, say: Say, progress: jars.Progress | None) -> None:
    ended = leftovers.end(settings)
    if ended:
        say(f"ended {len(ended)} processes of an earlier run of this lake")
    say(preflight.java(settings))
    preflight.memory(settings)
    preflight.ports(settings)
    say(preflight.jar_sets(settings, progress))
    preflight.broker_folder(settings)
    if settings.store.url is not None:
        say(deployment.object_store(settings))


def _remember_universe(settings: Settings, say: Say) -> None:
    """Add the symbols of the user's universe file before their first message can arrive."""
    feed_choice.refuse_mixture(settings)
    path = settings.universe_path
    if settings.universe_file is None and not path.exists() and not path.is_symlink():
        return  # the module that reads it takes a second to import
    from financelake_assets.bronze.universe import AssetClassError
    from financelake_assets.bronze.universe_file import UniverseFileError, read_universe_file, remember

    try:
        entries = read_universe_file(settings.universe_path)
        remember(settings, entries)
    except (UniverseFileError, AssetClassError) as error:
        raise FinanceLakeError(
            str(error), remedy="Correct the file, or choose another with FINANCELAKE_UNIVERSE_FILE."
        ) from error
    _keep_place(settings)
    say(f"{len(entries)} symbols of {settings.universe_path} are in the universe")


def _keep_place(settings: Settings) -> None:
    """Let every later command of this lake find the universe file that this one was given."""
    own = settings.data_dir / "universe.yaml"
    if settings.universe_path == own:
        return
    if own.exists() and not own.is_symlink():
        raise FinanceLakeError(
            f"This lake has a universe file of its own, {own}, and {settings.universe_path} is another.",
            remedy=f"Move one into the other, then remove {own}; or use `financelake symbols`.",
        )
    own.unlink(missing_ok=True)
    own.symlink_to(settings.universe_path)


def take_up_symbols(settings: Settings, say: Say) -> bool:
    """Start and stop feeds of a running lake after its universe file has changed; false where no lake runs.

    Raises:
        FinanceLakeError: another command starts or stops the lake.
    """
    with _alone(settings):
        supervisor = Supervisor(settings)
        if not supervisor.alive():
            return False
        added, removed = supervisor.take_up()
        for name in added:
            supervisor.start_process(name)
            say(f"{name} is started")
        for name in removed:
            say(f"{name} is stopped")
        return True


def _start(settings: Settings, supervisor: Supervisor, say: Say) -> None:
    deadline = time.monotonic() + settings.runtime.start_seconds
    for number, stage in enumerate(processes.stages(processes.of_lake(settings))):
        for process in stage:
            supervisor.start_process(process.name)
        _await_well(settings, supervisor, stage, deadline, say)
        if number == 0 and settings.kafka.publishes_for_all:
            kafka_access.open_to_clients(settings)
        if number == 0 and settings.kafka.bootstrap is None and settings.kafka.tls:
            kafka_access.grant(settings)
            say(f"the user {settings.kafka.username} may read and write the lake's topics")


def _await_well(
    settings: Settings, supervisor: Supervisor, stage: Sequence[Process], deadline: float, say: Say
) -> None:
    started, waiting = time.monotonic(), list(stage)
    while waiting:
        states = supervisor.states()
        for process in list(waiting):
            state = states[process.name]
            problem = process.problem(state)
            if problem is None:
                waiting.remove(process)
                say(f"{process.title} is up ({time.monotonic() - started:.0f} s)")
            elif state.state == "FATAL" or time.monotonic() > deadline:
                raise FinanceLakeError(
                    f"{process.title} did not start: {problem}\n{_end_of_log(settings, process)}",
                    remedy=f"The complete log is {log_file(settings, process.name)}. `financelake doctor` checks the "
                    "machine; `financelake down` stops the started processes.",
                )
        time.sleep(0.2)


def _end_of_log(settings: Settings, process: Process) -> str:
    try:
        text = log_file(settings, process.name).read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-8:])


def down(settings: Settings, say: Say) -> bool:
    """Stop exactly what ``up`` started, in reverse order; true if something ran.

    Raises:
        FinanceLakeError: the supervisor does not end.
    """
    if not folder(settings).is_dir():
        return False
    with _alone(settings):
        supervisor = Supervisor(settings)
        ran = supervisor.alive()
        mark_unwanted(settings)
        if ran:
            say("stopping the lake in order")
            supervisor.shut_down()
        ended = leftovers.end(settings)
        if ended:
            say(f"ended {len(ended)} remaining processes")
        return ran or bool(ended)


def await_end(settings: Settings, say: Say) -> None:
    """Return when somebody has stopped the lake, for instance by ``down`` in another terminal.

    Until then announce the first prediction and the first signal of a new lake.

    Raises:
        FinanceLakeError: the supervisor is gone though nobody stopped the lake, and nothing started it again.
    """
    from financelake_assets.operations.firsts import Firsts  # what reads tables takes a second to import

    supervisor, firsts = Supervisor(settings), Firsts(settings)
    seen = time.monotonic()
    while wanted(settings):
        time.sleep(1)
        for line in firsts.news():
            say(line)
        if supervisor.alive():
            seen = time.monotonic()
        elif time.monotonic() - seen > _GONE_SECONDS:
            raise FinanceLakeError("The lake's supervisor is gone.", remedy="`financelake up` starts the lake again.")
