"""How many prompts a backend gets at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.backends import Backend
from app.comfyui.client import connect
from app.comfyui.listener import Listener
from app.slots import MAX_DEPTH, MIN_DEPTH


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    """One that was never talked to, but is said to be there."""
    url = "http://127.0.0.1:9"
    listener = Listener("gpu-0", url, lambda _: None, on_connected=lambda _: None, on_gap=lambda _: None)
    async with connect("gpu-0", url) as client:
        made = Backend(client, listener, None)
        made.is_up = True
        yield made


def finish(backend: Backend, count: int, every_s: float, start: float = 1_000.0) -> float:
    """`count` prompts one after the other; the time of the last end."""
    now = start
    for number in range(count):
        now += every_s
        backend.in_flight.add(str(number))
        backend.free(str(number), now)
    return now


async def test_a_backend_that_was_never_used_gets_a_few(backend: Backend) -> None:
    assert backend.free_slots == MIN_DEPTH


async def test_jobs_of_seconds_keep_the_queue_ours(backend: Backend) -> None:
    finish(backend, 100, every_s=3.0)

    assert backend.depth == MIN_DEPTH


async def test_jobs_of_milliseconds_are_handed_out_ahead(backend: Backend) -> None:
    finish(backend, 100, every_s=0.003)

    assert backend.depth == MAX_DEPTH


async def test_the_depth_falls_again_when_jobs_grow_longer(backend: Backend) -> None:
    now = finish(backend, 100, every_s=0.003)

    finish(backend, 10, every_s=2.0, start=now)

    assert backend.depth == MIN_DEPTH


async def test_a_slot_is_freed_once(backend: Backend) -> None:
    backend.in_flight.add("a")

    assert backend.free("a", 1.0)
    assert not backend.free("a", 2.0)


async def test_a_backend_that_is_stuck_gets_nothing(backend: Backend) -> None:
    backend.is_stuck_with("prompt")

    assert backend.free_slots == 0
    assert not backend.is_healthy
