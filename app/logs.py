"""How log lines look: one line each, for people or for machines, with the facts given as `extra`.

Secrets never get here: modules log ids and names, never workflows, tokens, addresses or image bytes.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import stamina.instrumentation
import structlog
from structlog.typing import Processor


def _console() -> Processor:
    """Plain tracebacks: the pretty ones show local variables, which hold keys, and take seconds to draw."""
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), pad_event_to=28, exception_formatter=structlog.dev.plain_traceback
    )


def configure(level: str, log_format: Literal["text", "json"]) -> None:
    """Send every logger's lines to stderr. Call once, at the start of a command."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "json":
        tail: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        tail = [_console()]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    stamina.instrumentation.set_on_retry_hooks([])  # Whoever retries logs it in his own words.
    for noisy in ("uvicorn.error", "httpx", "alembic", "websockets"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
