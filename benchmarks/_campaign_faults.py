"""The faults of the campaign. Each breaks something while the load goes on, and leaves what a user would leave.

What the docs give a remedy for (docs/operations.md) is remedied as they say; everything else must mend itself.
"""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from _campaign_lake import StuckError
from _campaign_load import SMALL_POISON
from _campaign_oracle import TOPICS
from _campaign_scene import FAULTS, OF_WHOLE_LAKES, Fault, Scene, fault
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions
from filelock import FileLock

PROCESSES = ("broker", "spark", "dagster-code", "dagster-web", "dagster-daemon", "dashboard", "watchdog", "publisher")
SILVER = ("ticks", "bars", "quarantine")


# -- processes ---------------------------------------------------------------------------------------------


def _kill(name: str) -> Fault:
    def kill(scene: Scene) -> None:
        scene.lake.send_signal(scene.one_of(name), signal.SIGKILL)

    return kill


def _freeze(name: str) -> Fault:
    def freeze(scene: Scene) -> None:
        with scene.lake.stopped(scene.one_of(name)):
            scene.wait(3, 25)

    return freeze


for _name in (*PROCESSES, "supervisor"):
    FAULTS[f"kill {_name}"] = _kill(_name)
    FAULTS[f"freeze {_name}"] = _freeze(_name)
    if _name not in ("broker", "spark"):
        OF_WHOLE_LAKES |= {f"kill {_name}", f"freeze {_name}"}


@fault("kill everything at once, as a loss of power")
def _power(scene: Scene) -> None:
    for name in dict.fromkeys(("supervisor", "watchdog", *PROCESSES, *scene.lake.brokers)):  # each once
        scene.lake.send_signal(name, signal.SIGKILL)
    scene.lake.up()


@fault("down and up again")
def _down_and_up(scene: Scene) -> None:
    scene.lake.down()
    scene.lake.up()


@fault("restart the broker")
def _restart_broker(scene: Scene) -> None:
    scene.lake.send_signal(scene.one_of("broker"), signal.SIGTERM)


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
