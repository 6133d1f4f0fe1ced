"""Who owns the loops that live as long as the service.

A loop that crashes takes the process with it: a service that answers 200 without its listener is worse than one that
is restarted. Nothing else in the project catches `Exception`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def background(**loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the loops until the block ends. A crash of one stops the process, not just the loop."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop, name=name) for name, loop in loops.items()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except* Exception as crash:
        log.critical("background loop crashed", exc_info=crash, extra={"action": "crash"})
        signal.raise_signal(signal.SIGTERM)  # uvicorn would otherwise go on serving without the loop
        raise
