"""Waiting for something that tells nobody when it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

WITHIN_S = 20.0
"""How long anything may take before a test says it hangs."""


async def until(holds: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    """Return once the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event; the time limit is the caller's proof
            await asyncio.sleep(0.005)
