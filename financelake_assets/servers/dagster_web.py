"""Dagster's webserver behind the guard: ``python -m financelake_assets.servers.dagster_web``, with its own arguments.

The webserver has no hook for a middleware, so this module replaces one function of ``dagster_webserver.cli``. It is the
only place that touches what is private to Dagster. Dagster's version is pinned; where a release has renamed that
function, the webserver does not start at all, rather than without the guard; ``test_dagster_web.py`` says what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dagster_webserver import cli
from starlette.applications import Starlette

from financelake_assets.config import get_settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.servers import web_token
from financelake_assets.servers.web_guard import WebGuard
from financelake_assets.servers.web_token import WebToken

PRIVATE = "create_app_from_workspace_process_context"
"""The function of ``dagster_webserver.cli`` that makes the ASGI application."""


def install(hosts: tuple[str, ...], key: WebToken | None = None) -> None:
    """Have Dagster's webserver make its application with the guard around it, which asks for the key if there is one.

    Raises:
        FinanceLakeError: this release of Dagster makes its application in another way.
    """
    make: Callable[..., Starlette] | None = getattr(cli, PRIVATE, None)
    if make is None:
        raise FinanceLakeError(
            f"This release of dagster-webserver has no {PRIVATE}, so its page cannot be guarded.",
            remedy="Install the release that FinanceLake pins: `uv sync --locked`.",
        )

    def guarded(*arguments: Any, **named: Any) -> Starlette:
        app = make(*arguments, **named)
        app.add_middleware(WebGuard, hosts=hosts, key=key)
        return app

    setattr(cli, PRIVATE, guarded)


def main() -> None:
    """Serve Dagster's page, guarded."""
    settings = get_settings()
    install((settings.host, *settings.dagster.hosts), web_token.of(settings))
    cli.main()


if __name__ == "__main__":
    main()
