"""Refuses what another web page in a visitor's browser sends.

The page changes rule alerts, and a browser sends a login or a cookie along with what any page sends. Input: a POST.
Output: a refusal, unless this server's own page or a program sent it. Browsers say so in the header
``Sec-Fetch-Site``; one that does not, says its page in ``Origin``. A program sends neither, and shows token or login.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request

from dash_app.api import problems


def refuse_foreign_pages(server: Flask) -> None:
    """Look at each POST before it is answered."""

    @server.before_request
    def guard() -> Response | None:
        if request.method != "POST" or request.path.startswith(problems.PREFIX):
            return None
        headers = request.headers
        if is_foreign(headers.get("Sec-Fetch-Site"), headers.get("Origin"), request.host):
            return Response("Refused: another page sent it. Open this server's own page.\n", 403, mimetype="text/plain")
        # a page may send other kinds anywhere without asking; `text/plain; application/json` is one of those
        if request.mimetype != "application/json":
            return Response("Refused: a POST must be application/json.\n", 415, mimetype="text/plain")
        return None


def is_foreign(site: str | None, origin: str | None, host: str) -> bool:
    """Whether another page sent a request, by its headers ``Sec-Fetch-Site``, ``Origin`` and ``Host``.

    The scheme does not count: a proxy may end TLS.
    """
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()
