"""Publishers that die: ``python -m financelake_assets_tests.publishing.mortal BOOTSTRAP DATA_DIR``.

Input: a line with a number for each publisher. Output: its exit code. It makes one round, and is killed after so many
calls of its producer. This process imports everything once and forks, before any library of it has begun a thread.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from confluent_kafka import Producer

from financelake_assets.config import Settings
from financelake_assets.publishing import pieces, sender
from financelake_assets.publishing.publisher import Publisher

DEAD = 9
ROWS = 2
"""Rows of a transaction, so that a commit needs several."""


class Mortal(Producer):
    """The real producer, whose process ends after so many of its calls."""

    left = 0

    def _counted(self, name: str, *args: Any, **more: Any) -> Any:
        answer = getattr(super(), name)(*args, **more)
        Mortal.left -= 1
        if Mortal.left == 0:
            if name == "produce":
                self.flush(10)  # the messages are with the broker, and not committed
            os._exit(DEAD)
        return answer

    def init_transactions(self, *args: Any) -> Any:
        return self._counted("init_transactions", *args)

    def begin_transaction(self, *args: Any) -> Any:
        return self._counted("begin_transaction", *args)

    def produce(self, *args: Any, **more: Any) -> Any:
        return self._counted("produce", *args, **more)

    def commit_transaction(self, *args: Any) -> Any:
        return self._counted("commit_transaction", *args)


def main(bootstrap: str, data_dir: str) -> None:
    settings = Settings.model_validate({"data_dir": data_dir, "kafka": {"bootstrap": bootstrap}})
    sender.Producer, pieces.MOST_ROWS = Mortal, ROWS
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)  # what it says is no exit code
            Mortal.left = int(line)
            os._exit(0 if Publisher(settings).round() else 1)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
