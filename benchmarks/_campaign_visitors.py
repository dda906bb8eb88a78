"""The faults that come from outside: what others send, write and ask, and a clock that was set.

See ``_campaign_faults.py`` for those of the lake's own processes, topics and files.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

from _campaign_faults import SILVER
from _campaign_lake import StuckError
from _campaign_load import SMALL_POISON
from _campaign_oracle import TOPICS
from _campaign_scene import OF_WHOLE_LAKES, Scene, fault
from deltalake import DeltaTable

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
    brokers = [int(one.rpartition(":")[2]) for one in settings.kafka_bootstrap.split(",")]
    for port in [*brokers, settings.spark.port, settings.dagster.port, settings.dashboard.port] * 10:
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
