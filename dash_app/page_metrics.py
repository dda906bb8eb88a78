"""Metrics of the page for Prometheus, at ``/metrics``: response times, and the age of what the page shows.

Input: a Flask server and its reader. Output: a route behind the page's login. Metrics use the declared names of routes,
so that no visitor can create a new name.
"""

from __future__ import annotations

import time

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, Histogram, generate_latest

from dash_app.data.lake_reader import LakeReader

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


def measure(server: Flask, reader: LakeReader) -> None:
    """Count and time the server's answers from now on."""
    known = CollectorRegistry()
    took = Histogram(
        "financelake_page_request_seconds",
        "Time from a request to its answer",
        ["route", "status"],
        registry=known,
        buckets=_BUCKETS,
    )
    newest = Gauge(
        "financelake_page_newest_timestamp_seconds", "Newest bar that the page shows, since the epoch", registry=known
    )
    newest.set_function(lambda: 0.0 if (at := reader.snapshot.newest) is None else at.timestamp())
    problems = Gauge("financelake_page_unreadable_tables", "Tables that the page cannot read", registry=known)
    problems.set_function(lambda: len(reader.snapshot.problems))

    @server.before_request
    def begin() -> None:
        g.begun = time.perf_counter()

    @server.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        begun = getattr(g, "begun", None)
        if begun is not None:
            took.labels(route, str(response.status_code)).observe(time.perf_counter() - begun)
        return response

    @server.get("/metrics")
    def figures() -> Response:
        return Response(generate_latest(known), content_type=CONTENT_TYPE_LATEST)
