"""What the simulator has said so far, for tests to wait for and to hold back.

Owns counts, waiters and holds. Never touches a socket. `note` is for the event loop, `pause` for the worker thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field

from app.comfyui.simulator.faults import ANY_NODE, NodePattern, Pattern

_MOST_REMEMBERED = 100_000
"""Kinds of messages (prompt ids make kinds, too) that are counted; beyond it the oldest count is dropped."""


@dataclass(eq=False, slots=True)
class _Waiter:
    pattern: Pattern
    missing: int
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, message_type: str, node: str | None) -> None:
        if self.pattern.matches(message_type, node):
            self.missing -= 1
            if self.missing <= 0:
                self.done.set()


class Journal:
    """Counts every message of the simulator's life, over restarts."""

    def __init__(self) -> None:
        self._published: Counter[tuple[str, str | None]] = Counter()
        self._waiters: list[_Waiter] = []
        self._holds: list[Pattern] = []
        self._paused = False
        self._changed = threading.Condition()

    def count(self, message_type: str, node: NodePattern = ANY_NODE) -> int:
        """How many such messages were published, to whomever."""
        if node != ANY_NODE:
            return self._published[message_type, node]
        return sum(times for (said, _), times in self._published.items() if said == message_type)

    def note(self, message_type: str, node: str | None) -> None:
        """One more such message went out."""
        self._published[message_type, node] += 1
        if len(self._published) > _MOST_REMEMBERED:
            del self._published[next(iter(self._published))]
        for waiter in self._waiters:
            waiter.note(message_type, node)

    async def wait_for(self, message_type: str, node: NodePattern, count: int, timeout_s: float) -> None:
        """Return once `count` such messages were published since the simulator began. Raises TimeoutError."""
        missing = count - self.count(message_type, node)
        if missing <= 0:
            return
        waiter = _Waiter(Pattern(message_type, node), missing)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter.done.wait()
        finally:
            self._waiters.remove(waiter)

    def hold(self, message_type: str, node: NodePattern) -> None:
        """From now on the worker stops right before it says this."""
        with self._changed:
            self._holds.append(Pattern(message_type, node))

    def release(self) -> None:
        """Forget all holds; a worker that stands at one goes on."""
        with self._changed:
            self._holds.clear()
            self._paused = False
            self._changed.notify_all()

    async def held(self, timeout_s: float) -> None:
        """Return once the worker stands at a hold. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await asyncio.to_thread(self._wait_until_paused, timeout_s)

    def _wait_until_paused(self, timeout_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._paused, timeout_s):
                raise TimeoutError

    def pause(self, message_type: str, node: str | None, stopping: threading.Event) -> None:
        """Stand still while this message is held, unless the server stops."""
        if not self._holds:
            return
        with self._changed:
            while not stopping.is_set() and any(hold.matches(message_type, node) for hold in self._holds):
                self._paused = True
                self._changed.notify_all()
                self._changed.wait(timeout=0.1)
            self._paused = False
