"""What ``financelake status`` prints of the parts that it describes in a line."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from financelake_assets.cli.show import show_status
from financelake_assets.config import Settings
from financelake_assets.gold.publisher_state import PublisherState, state_file
from financelake_assets.operations.status import status
from financelake_assets.own_process import say


def printed(settings: Settings) -> str:
    text = StringIO()
    show_status(Console(file=text, width=400), status(settings))
    return text.getvalue()


def test_status_says_how_far_the_topics_are_and_what_keeps_the_publisher(offline_lake: Settings) -> None:
    assert "published  none yet" in printed(offline_lake)
    offline_lake.run_dir.mkdir(parents=True)
    state = PublisherState(
        "2026-01-01T00:00:00+00:00", 1, {"gold.signals": 61}, {"gold.predictions": "the disk is full"}
    )
    say(state_file(offline_lake), state)
    line = next(one for one in printed(offline_lake).splitlines() if one.startswith("published"))
    assert line.split("  ", 1)[1] == "gold.signals up to version 61; gold.predictions none yet: the disk is full"
