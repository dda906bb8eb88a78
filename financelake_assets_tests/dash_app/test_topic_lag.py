"""What waits on the topics, as the lake view says it; the broker may be away."""

from __future__ import annotations

import json

import pytest

from dash_app.data.inventory import Inventory
from dash_app.data.lag import BrokerWatcher, TopicLag, by_topic
from dash_app.data.lake_reader import Snapshot
from dash_app.views import lake as view
from financelake_assets.config import Settings
from financelake_assets_tests.silver import kafka


def text(topics: tuple[TopicLag, ...]) -> str:
    page = view.page(Snapshot(inventory=Inventory(topics=topics), loaded=True))
    return json.dumps([part.to_plotly_json() for part in page], default=lambda part: part.to_plotly_json())


def test_what_waits_is_behind_what_was_consumed_and_still_held() -> None:
    consumed = {"bronze.stock": {0: 5, 1: 7}}
    marks = {"bronze.stock": {0: (2, 9), 1: (0, 7)}, "bronze.crypto": {0: (10, 13)}}
    assert by_topic(consumed, marks) == (
        TopicLag("bronze.crypto", 0, 3, 3),
        TopicLag("bronze.stock", 12, 14, 4),
    )


def test_without_the_broker_only_what_was_consumed_is_known() -> None:
    topics = by_topic({"bronze.stock": {0: 5, 1: 7}}, None)
    assert topics == (TopicLag("bronze.stock", 12, None, None),)
    assert "the lag is not known" in text(topics)
    assert by_topic({}, None) == ()
    assert "has consumed nothing yet" in text(())


def test_the_view_names_topics_and_their_messages() -> None:
    shown = text((TopicLag("bronze.stock", 12_000, 14_000, 4_000),))
    assert all(part in shown for part in ("Waiting for silver", "bronze.stock", "12,000", "14,000", "4,000"))
    assert "not known" not in shown


def test_a_broker_that_is_away_is_not_known_and_not_an_error(offline_lake: Settings) -> None:
    nobody = offline_lake.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    watcher = BrokerWatcher(offline_lake.model_copy(update={"kafka": nobody}))
    watcher.marks = {"bronze.stock": {0: (0, 1)}}
    watcher.look()
    assert watcher.marks is None


@pytest.mark.integration
def test_the_broker_says_what_is_on_its_topics(lake: Settings) -> None:
    sent = kafka.produce(lake, kafka.mixture(60))
    watcher = BrokerWatcher(lake)
    watcher.look()
    assert sum(one.waiting or 0 for one in by_topic({}, watcher.marks)) == sent
