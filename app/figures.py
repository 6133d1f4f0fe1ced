"""What is counted for whoever watches the service from outside: how much waits now, and how much has ended.

Owns the patience with a database that is away: a scrape then misses some figures, and neither fails nor hangs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from app.db.errors import DatabaseError
from app.db.gauge_shelf import Gauges
from app.records import Status
from app.webhook_records import DeliveryStatus

__all__ = ["DeliveryStatus", "Figures", "Gauges"]

KEEP_S: Final = 5.0
"""How long an answer of the database is told again, also that there was none."""

WAIT_S: Final = 1.0
"""How long a scrape waits for the database."""


class Figures:
    """`read` asks the database. `generations` and `deliveries` are those that ended in this process since it started;
    they are counted where that is written down.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Gauges]],
        generations: Mapping[Status, int],
        deliveries: Mapping[DeliveryStatus, int],
        *,
        wait_s: float = WAIT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._wait_s, self._monotonic = read, wait_s, monotonic
        self.generations, self.deliveries = generations, deliveries
        self._known: Gauges | None = None
        self._known_at = float("-inf")

    async def gauges(self) -> Gauges | None:
        """How much waits, as it was a few seconds ago; None: the database does not say. While one scrape asks, others
        are told what was known before.
        """
        now = self._monotonic()
        if now - self._known_at >= KEEP_S:
            self._known_at = now
            self._known = await self._asked()
        return self._known

    async def _asked(self) -> Gauges | None:
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._read()
        except (DatabaseError, TimeoutError):
            return None
