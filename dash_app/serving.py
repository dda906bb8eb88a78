"""How the page's application is served: threads of waitress.

A page's requests, the API's reads and its streams share one pool of threads. The reads and the streams are bounded, and
there are so many threads that the page always has its own.
"""

from __future__ import annotations

from typing import Any

from dash_app.api.events import MOST_LISTENERS
from dash_app.api.routes import MOST_READS

PAGE_THREADS = 8

OPTIONS: dict[str, Any] = {
    "threads": PAGE_THREADS + MOST_READS + MOST_LISTENERS,
    "channel_request_lookahead": 1,  # so that a listener who leaves is noticed before the next write to it
    "ident": "FinanceLake",
}
"""Options for waitress."""
