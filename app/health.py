"""Whether the service lives, and whether a job could be finished now.

Owns nothing; asks the parts. No answer holds an address, a path or a credential.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from app.backends import Backend, BackendPool
from app.bus import BusUnavailable, EventBus
from app.db.engine import Database
from app.db.errors import DatabaseError
from app.figures import Figures
from app.storage import Storage, StorageError
from app.tracking import Tracker


@dataclass(frozen=True, slots=True)
class Readiness:
    """`is_ready` and, part by part, why."""

    is_ready: bool
    parts: dict[str, Any]


class Health:
    """`check_timeout_s` bounds each part's answer."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        bus: EventBus,
        pool: BackendPool,
        tracker: Tracker,
        figures: Figures,
        check_timeout_s: float = 3.0,
    ) -> None:
        self._database, self._storage, self._bus = database, storage, bus
        self._check_timeout_s = check_timeout_s
        self.pool, self.tracker, self.figures = pool, tracker, figures

    async def ready(self) -> Readiness:
        """True only when the database answers, files can be kept, and a backend's socket has proved itself alive."""
        database, storage, bus = await asyncio.gather(self._database_works(), self._storage_works(), self._bus_works())
        backends = {backend.name: _condition(backend) for backend in self.pool.all}
        is_ready = (
            database and storage and any(backend.is_healthy and backend.is_listening for backend in self.pool.all)
        )
        return Readiness(is_ready, {"database": database, "storage": storage, "bus": bus, "backends": backends})

    async def _database_works(self) -> bool:
        try:
            async with asyncio.timeout(self._check_timeout_s):
                await self._database.ping()
        except (DatabaseError, TimeoutError):
            return False
        return True

    async def _storage_works(self) -> bool:
        try:
            async with asyncio.timeout(self._check_timeout_s):
                await self._storage.check_writable()
        except (StorageError, TimeoutError):
            return False
        return True

    async def _bus_works(self) -> bool:
        try:
            async with asyncio.timeout(self._check_timeout_s):
                await self._bus.latest("readiness")
        except (BusUnavailable, TimeoutError):
            return False
        return True


def _condition(backend: Backend) -> dict[str, Any]:
    return {
        "healthy": backend.is_healthy,
        "listening": backend.is_listening,
        "version": backend.version,
        "inFlight": len(backend.in_flight),
        "lastError": backend.last_error,
    }
