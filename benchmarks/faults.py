"""Break a real lake under load, at random and again and again; an oracle of its own says what was lost or doubled.

Prints one JSON object: rounds, faults, ``lost``, ``doubled``, ``changed``, ``hidden`` (wrong, and the lake said that
all is well), ``stuck`` and what failed, with the seed and the round that repeat it. Ends by itself; its exit code is 0
only when nothing was wrong. ``--only`` and ``--first`` repeat a part. Root is needed for a disk that can be filled.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import _campaign_visitors  # noqa: F401  # with those of _campaign_faults: each adds itself to the list
from _campaign_lake import CampaignLake, StuckError
from _campaign_load import HISTORY, SYMBOLS, Load
from _campaign_oracle import Gold, Published, Topics, Verdict, judge
from _campaign_scene import FAULTS, OF_WHOLE_LAKES, Scene, is_transient
from _campaign_small import SmallLake


def say(text: str) -> None:
    """To people; standard output is for the result."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


@contextmanager
def disk(size_gb: int) -> Iterator[Path]:
    """A folder with a small file system of its own, where one can be mounted; else a plain folder."""
    with tempfile.TemporaryDirectory(prefix="financelake-faults-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_gb}g,mode=700", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
        try:
            yield Path(folder) / "data"
        finally:
            if mounted.returncode == 0:
                subprocess.run(["umount", "--lazy", folder], check=False)


def plan(seed: int, rounds: int, only: list[str], small: bool) -> list[str]:
    """Which fault each round has: every one of them once, in an order that the seed says, then again."""
    chosen = random.Random(seed)  # noqa: S311  # a plan, not a secret
    names = [name for name in FAULTS if (not only or name in only) and not (small and name in OF_WHOLE_LAKES)]
    found: list[str] = []
    while len(found) < rounds:
        found += chosen.sample(names, len(names))
    return found[:rounds]


class Campaign:
    """The rounds, and what came of them."""

    def __init__(self, lake: CampaignLake, seed: int, rate: float, with_gold: bool) -> None:
        self.lake, self.seed = lake, seed
        self.load = Load(lake.client, seed, rate)
        self.topics = Topics(lake.client)
        self.gold: Gold | None = None
        self._with_gold = with_gold
        self.counts: Counter[str] = Counter()
        self.failures: list[dict[str, Any]] = []

    def begin(self) -> None:
        """A lake with a history, a model, and load."""
        say("starting the lake")
        self.lake.up()
        self.lake.know()
        self.load.history()
        self.load.begin()
        say(f"{HISTORY * len(SYMBOLS)} bars sent, waiting for silver")
        self.lake.settled()
        if self._with_gold:
            self.lake.until("model", lambda now: now["model"] and "error" not in now["model"])
            self.gold = Gold(self.lake.tables)
        say("ready")

    def round(self, number: int, name: str) -> bool:
        """One fault; whether all was well afterwards."""
        began = time.monotonic()
        chance = random.Random(f"{self.seed}/{number}")  # noqa: S311  # a fault, not a secret
        scene = Scene(self.lake, self.load, self.topics, chance)
        verdict, stuck, status = Verdict(), None, {}
        # as after a minute without faults; the back-off would double with each round
        (self.lake.settings.run_dir / "stream-silver.failure.json").unlink(missing_ok=True)
        self.load.go_on()
        scene.wait(0.5, 3)
        try:
            try:
                FAULTS[name](scene)
            except Exception as error:
                if not is_transient(error):
                    raise
            self.load.go_on()
            scene.wait(0.5, 3)
            self.load.pause()
            status = self.lake.settled()
            verdict = self._judge()
        except (AssertionError, Exception) as error:
            stuck = f"{type(error).__name__}: {error}"
        self._count(number, name, verdict, stuck, status)
        ok = verdict.sound and stuck is None
        say(f"round {number} {name}: {'ok' if ok else 'FAILED'} in {time.monotonic() - began:.0f} s")
        if not ok:
            say(json.dumps(self.failures[-1], default=str))
        return ok

    def _judge(self) -> Verdict:
        self.topics.read_on()
        verdict = judge(self.lake.tables, self.topics, self.load)
        if self.gold is not None:
            self._await_scores(self.gold)
            self.gold.judge(verdict)
            Published(self.lake.client, self.lake.tables).judge(verdict)
        return verdict

    def _await_scores(self, gold: Gold) -> None:
        """Until each market's newest bar has a signal; stocks' days off have none, and are not waited for."""
        newest: dict[str, datetime] = {}
        there = {one.number for one in self.topics.found}
        for number, sent in self.load.sent.items():
            if number in there and sent.kind == "bar" and sent.topic == "bronze.crypto":
                at = datetime.fromisoformat(sent.fields["event_time"])
                newest[sent.key] = max(at, newest.get(sent.key, at))
        first = {symbol: at for symbol, at in newest.items() if self.load.days_of(symbol) > HISTORY}
        deadline = time.monotonic() + 240
        while left := gold.scored(first):
            if time.monotonic() > deadline:
                raise StuckError(f"no signals of {left}")
            time.sleep(1)

    def _count(self, number: int, name: str, verdict: Verdict, stuck: str | None, status: dict[str, Any]) -> None:
        for kind in ("lost", "doubled", "changed"):
            self.counts[kind] += getattr(verdict, kind)
        if stuck is not None:
            self.counts["stuck"] += 1
        if not verdict.sound and status.get("healthy"):
            self.counts["hidden"] += verdict.lost + verdict.doubled + verdict.changed
        if not verdict.sound or stuck is not None:
            self.failures.append(
                {"round": number, "fault": name, "seed": self.seed, "stuck": stuck, "examples": verdict.examples}
            )


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(prog="financelake bench faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how many faults (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the faults and their moments (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="begin with this round of the seed's plan")
    parser.add_argument("--only", action="append", default=[], choices=list(FAULTS), help="only this fault; repeatable")
    parser.add_argument("--rate", type=float, default=30, help="messages a second (%(default)s)")
    parser.add_argument("--disk-gb", type=int, default=2, help="size of the lake's own disk (%(default)s)")
    parser.add_argument(
        "--small", action="store_true", help="broker, Spark and silver alone: no Dagster, no page, no gold, minutes"
    )
    parser.add_argument("--brokers", type=int, default=1, help="of a small lake, in one cluster (%(default)s)")
    parser.add_argument("--no-gold", action="store_true", help="train no model and look at silver alone")
    parser.add_argument("--go-on", action="store_true", help="do not end at the first failure")
    parser.add_argument("--list", action="store_true", help="list the faults and end")
    arguments = parser.parse_args()
    if arguments.list:
        print(json.dumps({"faults": list(FAULTS)}))
        return 0
    if arguments.brokers > 1 and not arguments.small:
        parser.error("--brokers is of a --small lake: a whole lake runs one broker")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it finds nothing left behind
    began, done = time.monotonic(), []
    with disk(arguments.disk_gb) as folder:
        lake = SmallLake(folder, arguments.brokers) if arguments.small else CampaignLake(folder)
        with_gold = not (arguments.small or arguments.no_gold)
        campaign = Campaign(lake, arguments.seed, arguments.rate, with_gold)
        try:
            campaign.begin()
            for number, name in enumerate(plan(arguments.seed, arguments.rounds, arguments.only, arguments.small)):
                if number < arguments.first:
                    continue
                well = campaign.round(number, name)
                done.append(name)
                if not well and not arguments.go_on:
                    break
        except KeyboardInterrupt:
            say(f"ended by a signal; go on with --first {arguments.first + len(done)}")
        except Exception as error:
            campaign.counts["stuck"] += 1
            campaign.failures.append(
                {"round": None, "seed": arguments.seed, "stuck": f"{type(error).__name__}: {error}"}
            )
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)  # what is left must go, also when told twice
            try:
                campaign.load.stop()
            finally:
                campaign.lake.close()
    kinds = ("lost", "doubled", "changed", "hidden", "stuck")
    result = {
        "rounds": len(done),
        "seed": arguments.seed,
        "brokers": arguments.brokers,
        **{kind: campaign.counts[kind] for kind in kinds},
        "acknowledged": len(campaign.load.acknowledged),
        "faults": dict(Counter(done)),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "failures": campaign.failures,
    }
    print(json.dumps(result))
    return 1 if campaign.failures else 0


if __name__ == "__main__":
    sys.exit(main())
