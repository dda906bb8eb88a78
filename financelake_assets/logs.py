"""How a lake's Python processes log: a line for people, or one JSON object a line for programs.

Input: the setting ``log_format``. Output: structlog's and Python's own loggers, which libraries use, set up alike.
Values that a logger is given are fields of the object, so that no program has to take a sentence apart.
"""

from __future__ import annotations

import logging
import sys

import structlog

from financelake_assets.config import Settings


def set_up(settings: Settings) -> None:
    """Make this process log as its settings say; to standard error."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[structlog.typing.Processor] = [structlog.stdlib.add_log_level, stamp]
    as_json = settings.log_format == "json"
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    )
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
