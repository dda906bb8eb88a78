"""Which requests reach a web server that has no login: those of its own pages and of programs, never another page's.

Input: any ASGI application, the names under which it may be asked for, and the key that visitors must have. Output:
the same application, which refuses what a foreign page in the user's browser can send: a name that was rebound to this
address, another origin, a mutation by GET, by form or as plain text, a foreign WebSocket. A program sends neither
``Origin`` nor ``Sec-Fetch-Site``; so where there is a key, it must show that, as everybody must (``web_token.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from financelake_assets.servers import web_token
from financelake_assets.servers.web_token import WebToken

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine that nobody else can claim."""

OPEN_PATHS = ("/server_info",)
"""What answers without the key: probes have none, and it tells nothing but versions."""

_READING = ("GET", "HEAD")
_POLICY_VIOLATION = 1008  # of RFC 6455: the close code of a refused WebSocket
_LONGEST_QUERY = 100_000  # characters of GraphQL in an address; more is no query of a person


class WebGuard:
    """ASGI middleware that refuses what a foreign page can send.

    Args:
        app: the application behind the guard.
        hosts: names and addresses, without ports, under which it may be asked for besides ``LOOPBACK``.
        key: what a visitor must show; ``None`` lets everybody in who reaches the server.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), key: WebToken | None = None) -> None:
        self._app = app
        self._key = key
        self._hosts = frozenset(name.lower().strip("[]") for name in (*LOOPBACK, *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a connection: by the application, or by a refusal."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self.refusal(scope)
        if refusal is None and self._key is not None and _shows(scope, self._key):
            exchanged = self._key.exchange(scope["path"], scope["query_string"].decode("latin-1"))
            await Response(status_code=303, headers=exchanged)(scope, receive, send)
        elif refusal is None:
            await self._app(scope, receive, _without_frames(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": ""})
        else:
            status, why = refusal
            await PlainTextResponse(f"Refused: {why}\n", status)(scope, receive, send)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """HTTP status and reason of a refusal; ``None`` for what may pass."""
        headers = Headers(scope=scope)
        return (
            self._foreign_host(headers)
            or _foreign_page(scope, headers)
            or _odd_request(scope, headers)
            or self._without_key(scope, headers)
        )

    def _foreign_host(self, headers: Headers) -> tuple[int, str] | None:
        asked = headers.getlist("host")
        if len(asked) == 1 and _name(asked[0]) in self._hosts:
            return None
        return 403, (
            f"this server is not known as {', '.join(asked)[:200]!r}. "
            "FINANCELAKE_DAGSTER__HOSTS lists the names under which it may be asked for."
        )

    def _without_key(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        if self._key is None or scope["path"] in OPEN_PATHS or _shows(scope, self._key):
            return None
        cookies = "; ".join(headers.getlist("cookie"))
        return None if self._key.admits(cookies, headers.get("authorization")) else (401, web_token.REFUSAL)


def _shows(scope: Scope, key: WebToken) -> bool:
    """Whether a person opens an address with the token in it, which then gets a cookie in its place."""
    reading = scope["type"] == "http" and scope["method"] in _READING
    return reading and key.offered(scope["query_string"].decode("latin-1"))


def _name(host: str) -> str | None:
    """The name in a Host header, without its port; ``None`` for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def _foreign_page(scope: Scope, headers: Headers) -> tuple[int, str] | None:
    """Refuse what another page's script, form, image or frame sends; following a link is allowed."""
    for origin in headers.getlist("origin"):
        if not _same_origin(origin, headers["host"]):
            return 403, "another page sent it (Origin). Open this server's own page."
    site = headers.get("sec-fetch-site", "none")
    if site in ("none", "same-origin") or _follows_a_link(scope, headers):
        return None
    return 403, "another page sent it (Sec-Fetch-Site). Open this server's own page."


def _same_origin(origin: str, host: str) -> bool:
    """Whether a page's origin is this server. Its port counts; its scheme does not, as a proxy may end TLS."""
    scheme, separator, place = origin.lower().partition("://")
    return bool(separator) and scheme in ("http", "https") and place == host.lower()


def _follows_a_link(scope: Scope, headers: Headers) -> bool:
    """Whether a person went here from another page: a whole new page is read, and the other page sees nothing of it."""
    return (
        scope["type"] == "http"
        and scope["method"] in _READING
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest", "document") == "document"
    )


def _odd_request(scope: Scope, headers: Headers) -> tuple[int, str] | None:
    """Refuse what changes something by a way that a page may use without asking this server first."""
    if scope["type"] == "websocket":
        return None
    method = scope["method"]
    if method not in (*_READING, "POST"):
        return 405, f"{method} is no method of this server."
    if method == "POST":
        # exactly this: `text/plain; application/json` is plain text to a browser, and JSON to a careless reader
        kinds = [kind.partition(";")[0].strip().lower() for kind in headers.getlist("content-type")]
        return None if kinds == ["application/json"] else (415, "a POST must be application/json.")
    if any(_mutates(text) for text in _queries(scope)):
        return 405, "a mutation needs a POST."
    return None


def _queries(scope: Scope) -> Sequence[str]:
    """Every GraphQL document of the address."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return [value for key, value in pairs if key == "query"]


def _mutates(text: str) -> bool:
    """Whether a document may change something; one that is no GraphQL cannot."""
    if len(text) > _LONGEST_QUERY:
        return True
    try:
        definitions = parse(text).definitions
    except GraphQLError:
        return False
    except RecursionError:
        return True
    operations = [each.operation for each in definitions if isinstance(each, OperationDefinitionNode)]
    return OperationType.MUTATION in operations


def _without_frames(send: Send) -> Send:
    """No other page may show this one inside itself, where it could steer a user's clicks."""

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Frame-Options"] = "DENY"
        await send(message)

    return sender
