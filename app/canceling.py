"""Freeing a backend: of a prompt that is not wanted any more, and of memory that ran out.

An interrupt that comes between dequeue and start is lost with a 200, and a node that reports no progress runs to its
end (COMFYUI_PROTOCOL 2.4); so the request is repeated until the prompt is seen to be gone. A worker that reacts to
nothing is dead: only a restart of ComfyUI helps, and until then the backend gets no more work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from app.backends import Backend
from app.comfyui.errors import ComfyError

log = logging.getLogger(__name__)

RETRY_S: Final = 0.5
"""Pause between two requests; a step of a large model takes longer, and asking again costs nothing."""


async def take_away(
    backend: Backend, prompt_id: str, is_over: Callable[[], bool], is_waiting: Callable[[], bool]
) -> None:
    """Cancel until `is_over`; while `is_waiting`, its submission is under way and there is nothing to cancel yet."""
    while not is_over():
        if not is_waiting():
            await _cancel(backend, prompt_id)
        await asyncio.sleep(RETRY_S)


async def free_backend(backend: Backend, prompt_id: str, patience_s: float) -> None:
    """Get a prompt nobody waits for any more out of the way; a backend that will not let go of it is stuck."""
    try:
        async with asyncio.timeout(patience_s):
            while await _has(backend, prompt_id):
                await _cancel(backend, prompt_id)
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        backend.is_stuck_with(prompt_id)


async def clear(backend: Backend) -> None:
    """A backend is back: take away what went to another one meanwhile."""
    while backend.given_up and backend.is_up:
        for prompt_id in tuple(backend.given_up):
            await _cancel(backend, prompt_id)
            if not await _has(backend, prompt_id):
                backend.given_up.discard(prompt_id)
        await asyncio.sleep(RETRY_S)


async def free_memory(backend: Backend) -> None:
    """After a prompt ran out of memory: unload the models, so that the next one does not inherit the shortage."""
    try:
        await backend.client.free(unload_models=True, free_memory=True)
    except ComfyError as error:
        facts = {"action": "free_memory", "backend": backend.name}
        log.warning("memory could not be freed", extra={**facts, "cause": str(error)})


async def _cancel(backend: Backend, prompt_id: str) -> None:
    try:
        await backend.client.cancel(prompt_id)
    except ComfyError as error:
        facts = {"action": "cancel", "prompt_id": prompt_id, "backend": backend.name}
        log.warning("cancel failed, trying again", extra={**facts, "cause": str(error)})


async def _has(backend: Backend, prompt_id: str) -> bool:
    """Whether the prompt is still queued or running there; a backend that cannot be asked may have it."""
    try:
        queue = await backend.client.queue()
    except ComfyError:
        return True
    return prompt_id in queue.running or prompt_id in queue.pending
