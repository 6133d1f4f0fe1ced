"""The generations behind one request of OpenAI's Images API, from their submission to their end.

Owns what becomes of them when the caller does not wait: nobody else knows of them, so they are canceled, unless he
named his request and may come back for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Request as HttpRequest
from starlette.requests import ClientDisconnect

from app.api.dependencies import Services
from app.api.dialects.openai_errors import GenerationTimedOut, failure
from app.errors import AppError, NotFound, Unavailable
from app.records import Generation, Status
from app.requests import Request

LOOK_S: Final = 1.0
"""How often it is looked whether the caller still waits."""

OVERTIME_S: Final = 15.0
"""What ending an overdue generation may take, on top of the time it had."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Generations in the order of their pictures. `is_named`: the caller has an idempotency key for them."""

    services: Services
    ids: tuple[str, ...]
    is_named: bool
    timeout_s: float

    @classmethod
    async def started(cls, services: Services, requests: Sequence[Request], timeout_s: float) -> Runs:
        """Submit them all, or none: where one is refused, those before it are canceled."""
        runs = cls(services, (), requests[0].idempotency_key is not None, timeout_s)
        ids: list[str] = []
        for request in requests:
            try:
                ids.append((await services.generations.submit(request)).shown.record.id)
            except AppError:
                await cls(services, tuple(ids), is_named=False, timeout_s=timeout_s).abandon()
                raise
        return cls(services, tuple(ids), runs.is_named, timeout_s)

    async def ended(self, http: HttpRequest) -> list[Generation]:
        """Their records, each with pictures. Raises what became of the first that has none, and ClientDisconnect."""
        deadline = time.monotonic() + self.timeout_s + OVERTIME_S
        try:
            return [await self._ended(generation_id, http, deadline) for generation_id in self.ids]
        except (ClientDisconnect, AppError, asyncio.CancelledError) as error:
            if not isinstance(error, Unavailable):
                await self.abandon()
            raise

    async def abandon(self) -> None:
        """Cancel those that nobody will fetch; ended ones stay as they are."""
        if not self.is_named:
            for generation_id in self.ids:
                try:
                    await asyncio.shield(self.services.generations.cancel(generation_id))
                except NotFound:
                    continue

    async def _ended(self, generation_id: str, http: HttpRequest, deadline: float) -> Generation:
        while (began := time.monotonic()) < deadline:
            record = (await self.services.generations.wait(generation_id, LOOK_S)).record
            if record.is_terminal:
                return self.with_pictures(record)
            if await http.is_disconnected():
                raise ClientDisconnect
            if time.monotonic() - began < LOOK_S / 2:  # Nobody may wait any more: the service stops.
                raise Unavailable("service")
        raise GenerationTimedOut(generation_id, self.timeout_s)

    def with_pictures(self, record: Generation) -> Generation:
        """The record of a generation that made some; raises what became of one that did not."""
        if record.status is not Status.SUCCEEDED or not record.images:
            raise failure(record, self.timeout_s)
        return record
