"""Generations whose idempotency key is good for one request: a second one is refused, never answered anew.

Owns that rule of the Comfy API v2 over `Generations`, whose own keys repeat the first answer. A key is spent by a
generation, whatever becomes of it; a request that makes none leaves it free.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from app import clock
from app.asset_records import KEY_TTL_S
from app.db.repository import Repository
from app.errors import KeyInUse, KeyMismatch, NotFound, StillRunning, WorkflowRejected
from app.generations import Generations, Shown
from app.requests import Request
from app.v2_errors import KeySpent

_OURS: Final = "v2:"
"""In front of a key on record, so that it is not mistaken for one whose answer is repeated."""


class SingleUse:
    """`generations` does the work; `repository` holds the keys."""

    def __init__(
        self, generations: Generations, repository: Repository, *, wall: Callable[[], float] = clock.now
    ) -> None:
        self._generations, self._repository, self._wall = generations, repository, wall

    async def submit(self, request: Request) -> Shown:
        """As `Generations.submit`, with a key that is good for one day and one generation.

        Raises KeySpent, and whatever that raises. Of a workflow that ComfyUI refuses nothing stays on record.
        """
        if request.idempotency_key is None:
            return await self._submit(request)
        request = replace(request, idempotency_key=(key := f"{_OURS}{request.idempotency_key}"))
        try:
            return await self._submit(request)
        except KeySpent:
            if not await self._repository.forget_key(key, self._wall() - KEY_TTL_S):
                raise
        return await self._submit(request)

    async def _submit(self, request: Request) -> Shown:
        try:
            submitted = await self._generations.submit(request)
        except (KeyInUse, KeyMismatch) as error:
            raise KeySpent from error
        except WorkflowRejected as error:
            with contextlib.suppress(NotFound, StillRunning):
                await self._generations.delete(error.extra["generationId"])
            raise
        if submitted.is_replay:
            raise KeySpent
        return submitted.shown
