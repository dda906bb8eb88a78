"""The figures for Prometheus: what they say of a lake, and that dashboard and alerts ask for none that do not exist."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from dash_app import page_metrics as metrics
from dash_app.data.lake_reader import LakeReader
from financelake_assets.bronze.market_feed_state import STATES, MarketFeedState, state_file
from financelake_assets.config import Settings
from financelake_assets.operations import exporter
from financelake_assets.own_process import say
from financelake_assets_tests.shared_servers import free_ports
from financelake_assets_tests.silver.kafka import add_universe, bar, drain, garbage, produce, running

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"

Samples = dict[tuple[str, str], float]


def scrape(settings: Settings) -> Samples:
    """Every sample that the exporter answers with over HTTP, by name and label values."""
    (port,) = free_ports(1)
    settings = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"port": port})})
    stop = exporter.serve(settings)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
            return samples(response.read().decode())
    finally:
        stop()


def samples(text: str) -> Samples:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, " ".join(sample.labels.values())] = sample.value
    return found


def test_a_part_that_cannot_be_read_is_no_zero(tmp_path: Path):
    (port,) = free_ports(1)
    found = scrape(Settings.model_validate({"data_dir": tmp_path, "kafka": {"port": port}}))
    assert found["financelake_readable", "topics"] == 0
    assert found["financelake_readable", "tables"] == 1
    assert not [name for name, _ in found if name.startswith("financelake_topic")]


def test_each_feed_has_its_figures(tmp_path: Path):
    lake = Settings(data_dir=tmp_path)
    lake.universe_path.write_text("symbols: [{symbol: BTC/USD, provider: kraken}, {symbol: A, provider: yfinance}]")
    live = {"connected": True, "per_second": 2.5, "gaps": 3}
    symbols: dict[str, Any] = {"BTC/USD": {"state": "current"}, "ETH/USD": {"state": "failed"}}
    said = MarketFeedState("kraken", "2026-03-04T12:00:00+00:00", 1, live=live, symbols=symbols)
    say(state_file(lake, "kraken"), said)
    found = {
        (sample.name.removeprefix("financelake_feeds_"), *sample.labels.values()): sample.value
        for family in exporter.feeds(lake)
        for sample in family.samples
    }
    assert found == {
        ("said_timestamp_seconds", "kraken"): 1772625600.0,
        ("connected", "kraken"): 1.0,
        ("per_second", "kraken"): 2.5,
        ("gaps", "kraken"): 3.0,
        **{("symbols", "kraken", state): float(state in ("current", "failed")) for state in STATES},
    }


@pytest.mark.integration
def test_the_figures_are_those_of_the_lake(lake: Settings):
    add_universe(lake)
    produce(lake, [bar("AAPL", 1, 10.0), bar("AAPL", 2, 11.0), bar("AAPL", 2, 11.0), garbage("IBM", b"{")])
    with running(lake) as query:
        drain(lake, query)
    found = scrape(lake)
    places = {place: value for (name, place), value in found.items() if name == "financelake_ledger_messages"}
    assert places == {"consumed": 4, "silver": 2, "duplicates": 1, "quarantine": 1, "missing": 0}
    assert found["financelake_table_rows", "silver/bars"] == 2
    assert sum(value for (name, _), value in found.items() if name == "financelake_topic_high_offset") == 4
    assert {value for (name, _), value in found.items() if name == "financelake_topic_lag"} == {0}
    assert {value for (name, _), value in found.items() if name == "financelake_readable"} == {1}


def test_the_page_times_its_answers_by_route_and_not_by_what_visitors_ask(tmp_path: Path):
    server = Flask("page")
    metrics.measure(server, LakeReader(Settings(data_dir=tmp_path)))
    visitor = server.test_client()
    for path in ("/made/up", "/another", "/metrics"):
        visitor.get(path)
    found = samples(visitor.get("/metrics").text)
    name_of_counts = "financelake_page_request_seconds_count"
    counted = {labels: value for (name, labels), value in found.items() if name == name_of_counts}
    assert counted == {"none 404": 2, "/metrics 200": 1}


def shown() -> dict[str, str]:
    """Every expression of the Grafana dashboard, by its panel."""
    dashboard = json.loads((MONITORING / "grafana" / "financelake.json").read_text())
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }


def alerts() -> dict[str, str]:
    """Every expression of the alerts, by its name."""
    rules = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"][0]["rules"]
    return {rule["alert"]: rule["expr"] for rule in rules}


def test_dashboard_and_alerts_ask_only_for_figures_that_there_are(tmp_path: Path):
    lake = Settings(data_dir=tmp_path)
    parts = [part for name, part in exporter._PARTS.items() if name not in ("topics", "feed")]
    known = {family.name for part in parts for family in part(lake)} | {"financelake_readable"}
    known |= {f"financelake_topic_{name}" for name in ("low_offset", "high_offset", "lag")}
    server = Flask("page")
    metrics.measure(server, LakeReader(lake))
    server.test_client().get("/metrics")
    known |= {name for name, _ in samples(server.test_client().get("/metrics").text)}
    wanted = {
        name for expression in (shown() | alerts()).values() for name in re.findall(r"financelake_\w+", expression)
    }
    assert wanted
    assert wanted <= known


def test_every_panel_has_a_place_of_its_own():
    panels = json.loads((MONITORING / "grafana" / "financelake.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
