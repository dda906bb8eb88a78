"""Tests handed out to workers a file at a time, in the order of collection, also after a worker has crashed.

With pytest-xdist 3.8, a run with ``--dist loadfile`` does not end after a crash. Every file that the crashed worker was
ever given goes back into the queue; a worker that is given a file without tests left reports nothing, and so is never
given another one. A worker that is given a single test waits for a second one before it begins.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController


class ByFile(LoadFileScheduling):
    """``--dist loadfile`` that ends after a crash."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Give up a worker.

        Its files that have tests left go to others. The test in which it crashed has failed, and is not run again.
        """
        given = self.assigned_work[node]
        crashed = next((test for unit in given.values() for test, over in unit.items() if not over), None)
        for unit in given.values():
            if crashed in unit:
                unit[crashed] = True
        self.assigned_work[node] = {file: unit for file, unit in given.items() if not all(unit.values())}
        super().remove_node(node)
        return crashed

    def _reschedule(self, node: WorkerController) -> None:
        """Give a worker its next file, and after a single test one more or the end."""
        if node not in self.registered_collections:
            return  # it has only just started
        super()._reschedule(node)
        while self._pending_of(self.assigned_work[node]) == 1 and not node.shutting_down:
            super()._reschedule(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile | None:
    """The scheduler of ``--dist loadfile``."""
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None
