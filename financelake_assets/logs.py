"""Logs of a lake's Python processes: a text line for people, or one JSON object on each line for programs.

Input: the setting ``log_format``. Output: the same configuration for structlog and for Python's own loggers, which
libraries use. Values in a log call become fields of the object, so that no program has to parse a sentence.
"""

from __future__ import annotations

import logging
import sys

import structlog

from financelake_assets.config import Settings


def set_up(settings: Settings) -> None:
    """Configure this process's logs by its settings; they go to standard error."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[structlog.typing.Processor] = [structlog.stdlib.add_log_level, stamp]
    as_json = settings.log_format == "json"
    # the usual formatter shows the values of local variables, which may be secrets
    for_people = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    last: structlog.typing.Processor = structlog.processors.JSONRenderer() if as_json else for_people
    failures: list[structlog.typing.Processor] = [structlog.processors.format_exc_info] if as_json else []
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *failures, last],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
