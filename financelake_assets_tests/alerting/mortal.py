"""An alerter that dies: ``python -m financelake_assets_tests.alerting.mortal DATA_DIR STEP``.

It makes one round and serves each address, and ends before or after that step, as if it was killed.
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


if __name__ == "__main__":
    serve(Settings.model_validate({"data_dir": sys.argv[1]}), sys.argv[2])
