"""Alerters that die: ``python -m financelake_assets_tests.alerting.mortal DATA_DIR``.

Input: a line with a step for each alerter. Output: its exit code. It makes one round and serves each address, and ends
before or after that step, as if it was killed. This process imports everything once and forks before any thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from financelake_assets.alerting import addresses, postman
from financelake_assets.alerting.alerter import Alerter
from financelake_assets.alerting.outbox import Outbox
from financelake_assets.config import Settings

DEAD = 9
STEPS = ("before advance", "after advance", "before send", "after send", "after taken")


def _dying(step: str, name: str, of: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any) -> Any:
        if step == f"before {name}":
            os._exit(DEAD)
        answer = of(*args)
        if step == f"after {name}" and (name != "advance" or args[2]):
            os._exit(DEAD)
        return answer

    return called


def serve(settings: Settings, step: str) -> None:
    """One round, with the addresses served in this thread."""
    with (
        patch.object(Outbox, "advance", _dying(step, "advance", Outbox.advance)),
        patch.object(Outbox, "taken", _dying(step, "taken", Outbox.taken)),
        patch.object(addresses, "send", _dying(step, "send", addresses.send)),
        patch.object(postman.Postman, "start", lambda _: None),
    ):
        alerter = Alerter(settings)
        alerter.round()
        for one in alerter._postmen.values():
            while one.round() == 0:
                pass


def main(data_dir: str) -> None:
    settings = Settings.model_validate({"data_dir": data_dir})
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)  # what it says is no exit code
            serve(settings, line.strip())
            os._exit(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
