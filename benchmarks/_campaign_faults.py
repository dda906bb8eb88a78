"""The faults of the campaign. Each breaks something while the load goes on, and leaves what a user would leave.

What the docs give a remedy for (docs/operations.md) is remedied as they say; everything else must mend itself.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from _campaign_lake import CampaignLake, StuckError
from _campaign_load import SMALL_POISON, Load
from _campaign_oracle import TOPICS, Topics
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions
from deltalake import DeltaTable
from filelock import FileLock

PROCESSES = ("broker", "spark", "dagster-code", "dagster-web", "dagster-daemon", "dashboard", "watchdog", "publisher")
SILVER = ("ticks", "bars", "quarantine")


@dataclass
class Scene:
    """What a fault may touch."""

    lake: CampaignLake
    load: Load
    topics: Topics
    random: random.Random

    def settle(self) -> None:
        """No load, and everything read."""
        self.load.pause()
        self.lake.settled()

    def wait(self, least: float, most: float) -> None:
        """Some seconds."""
        time.sleep(self.random.uniform(least, most))


Fault = Callable[[Scene], None]
FAULTS: dict[str, Fault] = {}
OF_WHOLE_LAKES: set[str] = set()
"""Faults of processes that a small lake does not have."""


def fault(name: str) -> Callable[[Fault], Fault]:
    """Add a fault to the list."""

    def add(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return add


# -- processes ---------------------------------------------------------------------------------------------


def _kill(name: str) -> Fault:
    def kill(scene: Scene) -> None:
        scene.lake.send_signal(name, signal.SIGKILL)

    return kill


def _freeze(name: str) -> Fault:
    def freeze(scene: Scene) -> None:
        with scene.lake.stopped(name):
            scene.wait(3, 25)

    return freeze


for _name in (*PROCESSES, "supervisor"):
    FAULTS[f"kill {_name}"] = _kill(_name)
    FAULTS[f"freeze {_name}"] = _freeze(_name)
    if _name not in ("broker", "spark"):
        OF_WHOLE_LAKES |= {f"kill {_name}", f"freeze {_name}"}


@fault("kill everything at once, as a loss of power")
def _power(scene: Scene) -> None:
    for name in ("supervisor", "watchdog", *PROCESSES):
        scene.lake.send_signal(name, signal.SIGKILL)
    scene.lake.up()


@fault("down and up again")
def _down_and_up(scene: Scene) -> None:
    scene.lake.down()
    scene.lake.up()


@fault("restart the broker")
def _restart_broker(scene: Scene) -> None:
    scene.lake.send_signal("broker", signal.SIGTERM)


def _between(table: str) -> Fault:
    """A writer waits for its turn at a table, so who has the turn knows where a micro-batch stands."""

    def kill(scene: Scene) -> None:
        with FileLock(scene.lake.settings.run_dir / f"table-silver-{table}.lock"):
            planned = _newest(scene.lake.checkpoint / "offsets")
            deadline = time.monotonic() + 30
            while _newest(scene.lake.checkpoint / "offsets") == planned and time.monotonic() < deadline:
                time.sleep(0.05)
            scene.wait(0.5, 3)
            scene.lake.send_signal("spark", signal.SIGKILL)

    return kill


for _name in SILVER:
    FAULTS[f"kill spark before the commit of {_name}"] = _between(_name)


def _newest(folder: Path) -> int:
    return max((int(file.name) for file in folder.glob("*") if file.name.isdigit()), default=-1)


# -- topics ------------------------------------------------------------------------------------------------


@fault("make the topics again")
def _topics_again(scene: Scene) -> None:
    scene.settle()
    scene.topics.read_on()  # what was on them is known for good
    before = scene.lake.topic_ids()
    # nothing of the lake may make them again in its own way before we do; its sensor does it just so
    admin = AdminClient(scene.lake.client)  # kept: a client that is gone answers nothing
    for future in admin.delete_topics(list(TOPICS), operation_timeout=30).values():
        future.result(60)
    deadline = time.monotonic() + 120
    while True:
        with suppress(KafkaException):
            now = scene.lake.topic_ids()
            if all(now[topic] != before[topic] for topic in TOPICS):
                break
        if time.monotonic() > deadline:
            raise StuckError("the topics were not made again")
        time.sleep(1)
    scene.load.go_on()
    _refused(scene, "other topics", "made again", "data may have been lost", "Some data may have been lost")
    scene.lake.remove_checkpoint()


@fault("add a partition")
def _partition(scene: Scene) -> None:
    scene.settle()  # a key's messages move to another partition, where nothing says which came first
    topic = scene.random.choice(TOPICS)
    admin = AdminClient(scene.lake.client)
    count = len(admin.list_topics(topic, timeout=20).topics[topic].partitions)
    if count < 6:
        for future in admin.create_partitions([NewPartitions(topic, count + 1)]).values():
            future.result(30)
        scene.wait(1, 3)


# -- files -------------------------------------------------------------------------------------------------


def _cut_offsets(share: float) -> Fault:
    def cut(scene: Scene) -> None:
        scene.lake.send_signal("spark", signal.SIGKILL)
        newest = _newest(scene.lake.checkpoint / "offsets")
        if newest < 0:
            return
        file = scene.lake.checkpoint / "offsets" / str(newest)
        text = file.read_text()
        file.write_text(text[: int(len(text) * share)])
        file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
        # of a batch that was not committed Spark itself says so, in its log
        _refused(scene, "damaged", "does not hold", "the query stopped")
        scene.lake.remove_checkpoint()

    return cut


FAULTS["empty the checkpoint's last offsets"] = _cut_offsets(0)
FAULTS["halve the checkpoint's last offsets"] = _cut_offsets(0.5)


@fault("remove the checkpoint's last commit")
def _no_commit(scene: Scene) -> None:
    scene.lake.send_signal("spark", signal.SIGKILL)
    newest = _newest(scene.lake.checkpoint / "commits")
    for name in (f"{newest}", f".{newest}.crc"):
        (scene.lake.checkpoint / "commits" / name).unlink(missing_ok=True)


@fault("remove the checkpoint")
def _no_checkpoint(scene: Scene) -> None:
    scene.lake.send_signal("spark", signal.SIGKILL)
    scene.lake.remove_checkpoint()


@fault("empty and halve the files of run/")
def _run_files(scene: Scene) -> None:
    for file in scene.lake.settings.run_dir.glob("*.json"):
        text = file.read_text()
        file.write_text(scene.random.choice(["", text[: len(text) // 2]]))


@fault("cut the last commit of quarantine")
def _cut_commit(scene: Scene) -> None:
    scene.load.poison(list(SMALL_POISON))
    scene.lake.settled_enough()
    scene.lake.send_signal("spark", signal.SIGKILL)
    log = scene.lake.tables / "silver" / "quarantine" / "_delta_log"
    file = max(log.glob("*.json"))
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    # as docs/runbook.md says of a commit that is cut
    scene.wait(5, 15)
    scene.lake.send_signal("spark", signal.SIGKILL)
    file.unlink(missing_ok=True)
    scene.lake.remove_checkpoint()


@fault("fill the disk")
def _full(scene: Scene) -> None:
    ballast = scene.lake.settings.data_dir / "ballast"
    free = shutil.disk_usage(scene.lake.settings.data_dir).free
    if free > 8 << 30:
        return  # not a disk of its own
    with ballast.open("wb") as file, suppress(OSError):
        block = bytes(8 << 20)
        while True:
            file.write(block)
            file.flush()
    try:
        scene.wait(5, 20)
    finally:
        ballast.unlink(missing_ok=True)


def _refused(scene: Scene, *words: str) -> None:
    """Wait until the lake says loudly that it cannot go on."""

    def said(now: dict[str, object]) -> bool:
        streams = now["streams"]
        error = str(streams["silver"].get("error")) if isinstance(streams, dict) else ""
        return any(word in error for word in words)

    scene.lake.until(f"refusal that says one of {words}", said, 180)


# -- messages ----------------------------------------------------------------------------------------------


@fault("poison of many kinds")
def _poison(scene: Scene) -> None:
    values = SMALL_POISON * 8
    scene.random.shuffle(values)
    scene.load.poison(values, scene.random.choice(TOPICS))


@fault("poison of almost a megabyte each")
def _large(scene: Scene) -> None:
    values: list[bytes | None] = [bytes([scene.random.randrange(128, 256)]) * 900_000 for _ in range(60)]
    scene.load.poison(values, **{"message.max.bytes": 1_000_000})


@fault("poison that is a hundred times larger than its batch")
def _bomb(scene: Scene) -> None:
    values: list[bytes | None] = [b"x" * 900_000 for _ in range(150)]
    # the broker's limit is on what is compressed
    options = {
        "compression.type": "zstd",
        "message.max.bytes": 150_000_000,
        "batch.size": 150_000_000,
        "linger.ms": 500,
    }
    scene.load.poison(values, **options)


@fault("poison stamped with impossible times")
def _stamped(scene: Scene) -> None:
    # a client or the broker may refuse some: then nothing is acknowledged, and nothing may be on the topic
    for stamp in (0, 1, -(10**16), 2**62):
        scene.load.poison(list(SMALL_POISON), stamp=stamp, **{"message.timeout.ms": 20_000})


@fault("transactions, committed and aborted")
def _transactions(scene: Scene) -> None:
    scene.load.pause()
    for _ in range(4):
        scene.load.transaction(commits=scene.random.random() < 0.5)


# -- others who write and read -----------------------------------------------------------------------------


@fault("a second writer")
def _second_writer(scene: Scene) -> None:
    code = (
        "from financelake_assets.config import Settings; from financelake_assets.silver.backfill import backfill;"
        "from financelake_assets.spark_sessions import job_session;"
        "lake = Settings(); backfill(job_session(lake), lake)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=scene.lake.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode and "GapError" not in done.stderr and "CommitFailed" not in done.stderr:
        raise StuckError(f"the second writer: {done.stderr[-1500:]}")


@fault("OPTIMIZE and VACUUM at once")
def _optimize(scene: Scene) -> None:
    def work(name: str) -> None:
        for _ in range(5):
            table = DeltaTable(str(scene.lake.tables / "silver" / name))
            with suppress(Exception):  # the live writer was faster
                table.optimize.compact()
            table.vacuum(168, dry_run=False, full=True)

    threads = [threading.Thread(target=work, args=(name,)) for name in SILVER]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)


@fault("change the universe")
def _universe(scene: Scene) -> None:
    scene.lake.know({f"NEW{scene.random.randrange(10**6)}": "stock"})
    scene.lake.send_signal("spark", signal.SIGKILL)
    scene.lake.know({f"NEW{scene.random.randrange(10**6)}": "crypto"})


OF_WHOLE_LAKES.add("cross-site requests to Dagster")


@fault("cross-site requests to Dagster")
def _cross_site(scene: Scene) -> None:
    settings = scene.lake.settings
    port = settings.dagster.port + settings.port_offset
    body = json.dumps({"query": 'mutation { stopRunningSchedule(id: "x") { __typename } }'})
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        connection = http.client.HTTPConnection(settings.host, port, timeout=20)
        try:
            connection.request("POST", "/graphql", body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse().status
        except OSError:
            continue  # not up at the moment: nothing was let in
        finally:
            connection.close()
        if answer < 400:
            raise AssertionError(f"hidden: a cross-site request with {headers} was answered {answer}")


@fault("clients that disconnect in the middle of a word")
def _disconnect(scene: Scene) -> None:
    settings = scene.lake.settings
    ports = (settings.kafka.port, settings.spark.port, settings.dagster.port, settings.dashboard.port)
    for port in ports * 10:
        with suppress(OSError), socket.create_connection((settings.host, port), timeout=5) as client:
            client.sendall(scene.random.randbytes(scene.random.randrange(1, 400)))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@fault("the clock was set")
def _clock(scene: Scene) -> None:
    """Its notes and file times are those of a machine whose clock was a day ahead, or eight days behind, before."""
    ahead = scene.random.choice([86_400, -8 * 86_400])
    run = scene.lake.settings.run_dir
    with suppress(OSError, ValueError):
        noted = json.loads((run / "clock.json").read_text())
        (run / "clock.json").write_text(json.dumps({**noted, "seen": noted["seen"] + ahead}))
    for file in (*run.glob("*.json"), *(scene.lake.checkpoint / "offsets").glob("*")):
        with suppress(OSError):
            at = file.stat().st_mtime + ahead
            os.utime(file, (at, at))
    failure = run / "stream-silver.failure.json"
    failure.write_text(json.dumps({"count": 3, "error": "before the clock was set", "at": time.time() + ahead}))
    scene.lake.send_signal("spark", signal.SIGKILL)


def is_transient(error: BaseException) -> bool:
    """Whether an error only says that the broker is away, which a fault may have brought about."""
    return isinstance(error, KafkaException) and error.args[0].code() in (
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
    )
