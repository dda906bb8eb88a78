"""``python -m dash_app``: serve FinanceLake Pro for the lake of this environment.

Input: the settings of the environment. Output: a web server that runs until it is told to stop; ``/health`` answers
before any table exists.
"""

from __future__ import annotations

import gc
import logging
import signal
import sys
from types import FrameType

import waitress

from dash_app.data.lake_reader import LakeReader
from dash_app.login import OpenHostError
from dash_app.server import create_app
from dash_app.serving import OPTIONS, Turns
from financelake_assets import logs
from financelake_assets.config import get_settings


def main() -> int:
    """Serve until SIGINT or SIGTERM; return exit code 2 if the settings are invalid."""
    settings = get_settings()
    logs.set_up(settings)
    reader = LakeReader(settings)
    try:
        app = create_app(settings, reader)
    except OpenHostError as error:
        logging.error("%s", error)  # noqa: TRY400  # a message for the user, without a stack trace
        return 2
    signal.signal(signal.SIGTERM, _leave)
    # imported modules stay in memory; the garbage collector need not scan them, which takes longer than a request
    gc.collect()
    gc.freeze()
    reader.start()
    port = settings.dashboard.port + settings.port_offset
    logging.getLogger(__name__).info("FinanceLake Pro at %s", settings.dashboard_url)
    try:
        waitress.serve(Turns(app.server), host=settings.host, port=port, _quiet=True, **OPTIONS)
    finally:
        reader.stop()
    return 0


def _leave(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of signal handlers
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
