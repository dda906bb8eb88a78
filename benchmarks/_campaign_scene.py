"""What a fault of the campaign may touch, and the list of all faults."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from _campaign_lake import CampaignLake
from _campaign_load import Load
from _campaign_oracle import Topics
from confluent_kafka import KafkaError, KafkaException


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

    def one_of(self, name: str) -> str:
        """The process of a name, and one of the brokers where there are several."""
        several = name == "broker" and len(self.lake.brokers) > 1
        return self.random.choice(self.lake.brokers) if several else name


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


def is_transient(error: BaseException) -> bool:
    """Whether an error only says that the broker is away, which a fault may have brought about."""
    return isinstance(error, KafkaException) and error.args[0].code() in (
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
    )
