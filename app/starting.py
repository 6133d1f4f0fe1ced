"""What a start needs that is nobody's own: patience with a database that is started at the same time, and a bus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import stamina

from app.bus import MemoryEventBus
from app.db.errors import DatabaseUnavailable
from app.settings import Settings

if TYPE_CHECKING:
    from app.redis_bus import RedisEventBus

START_PATIENCE_S: Final = 15.0
"""How long a start waits for a database that does not answer."""


async def patiently(work: Callable[[], Awaitable[object]]) -> None:
    """Do it again while the database does not answer: it may be started at the same time, or be busy."""
    async for attempt in stamina.retry_context(
        on=DatabaseUnavailable, attempts=None, timeout=START_PATIENCE_S, wait_max=2
    ):
        with attempt:
            await work()


def open_bus(settings: Settings) -> MemoryEventBus | RedisEventBus:
    """The bus the settings ask for; it is not running yet."""
    if settings.redis_url is None:
        return MemoryEventBus()
    from app.redis_bus import RedisEventBus  # noqa: PLC0415 - 7 MB that only replicas need

    return RedisEventBus(settings.redis_url.get_secret_value())
