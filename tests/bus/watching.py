"""Events to publish, and ways to read what a subscription got; every wait has a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.bus import Entry, Subscription
from app.events import Completed, Event, PreviewReady, Progressed, StatusChanged
from app.records import Generation, Status

TOPIC = "generation-1"
WITHIN_S = 20.0
"""Generous: a limit that a busy machine does not reach, and a hanging test does."""


def status(step: int) -> StatusChanged:
    return StatusChanged(generation_id=TOPIC, comfyui_prompt_id="p", status=Status.RUNNING, step=step)


def progress(step: int) -> Progressed:
    return Progressed(generation_id=TOPIC, comfyui_prompt_id="p", status=Status.RUNNING, step=step)


def preview(number: int) -> PreviewReady:
    return PreviewReady(generation_id=TOPIC, image=b"\x89PNG %d" % number, mime_type="image/png")


def complete() -> Completed:
    record = Generation(id=TOPIC, prompt_id="p", status=Status.SUCCEEDED, params={"seed": 2**64}, created_at=1.5)
    return Completed(generation_id=TOPIC, comfyui_prompt_id="p", status=Status.SUCCEEDED, record=record)


async def read(subscription: Subscription, count: int) -> list[Entry]:
    """The next `count` entries, or fewer when the subscription ends before."""
    entries: list[Entry] = []
    async with asyncio.timeout(WITHIN_S):
        async for entry in subscription:
            entries.append(entry)
            if len(entries) == count:
                break
    return entries


async def read_to_end(subscription: Subscription) -> list[Entry]:
    """Everything up to the terminal event, or to the end of the subscription."""
    entries: list[Entry] = []
    async with asyncio.timeout(WITHIN_S):
        async for entry in subscription:
            entries.append(entry)
            if entry.event.is_terminal:
                break
    return entries


async def waiting(subscription: Subscription, matches: Callable[[Entry], bool]) -> None:
    """Return when such an entry waits in the mailbox, without reading anything."""
    arrived = asyncio.Event()
    subscription.attach(arrived.set)
    async with asyncio.timeout(WITHIN_S):
        while not subscription.mailbox.any(matches):
            arrived.clear()
            await arrived.wait()


def is_end(entry: Entry) -> bool:
    return entry.event.is_terminal


def events_of(entries: list[Entry]) -> list[Event]:
    return [entry.event for entry in entries]
