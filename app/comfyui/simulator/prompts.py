"""The queue of prompts and the memory of finished ones.

Owns both, under one lock, so a prompt is always in exactly one of pending, running and history (COMFYUI_PROTOCOL
section 5). Used by the event loop and the worker thread. `on_change` is called after each change of the counts.
"""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HISTORY = 10_000
"""ComfyUI forgets the oldest beyond this (section 2.5)."""
_SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")


class Item(NamedTuple):
    """One queued prompt, in ComfyUI's own order of fields; lowest `number` runs first, ties by `prompt_id`.

    Comparing two items that agree in both compares their graphs, which is a TypeError: so ComfyUI answers 500 to
    the second of them and runs both all the same (section 2.1).
    """

    number: float
    prompt_id: str
    graph: dict[str, Any]
    extra_data: Any
    outputs: list[str]


@dataclass(slots=True)
class Finished:
    """How a prompt ended: the body of its history entry."""

    outputs: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    completed: bool = True
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """One history entry; `written_at` is monotonic."""

    item: Item
    finished: Finished
    written_at: float

    def as_json(self) -> dict[str, Any]:
        finished = self.finished
        return {
            "prompt": self.item,
            "outputs": finished.outputs,
            "status": {
                "status_str": "success" if finished.completed else "error",
                "completed": finished.completed,
                "messages": finished.messages,
            },
            "meta": finished.meta,
        }


class Prompts:
    """Pending, running, finished."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._changed = threading.Condition(threading.RLock())
        self._pending: list[Item] = []
        self._running: dict[int, Item] = {}
        self._history: dict[str, Entry] = {}
        self._taken = 0
        self._wake = False

    def put(self, item: Item) -> None:
        """Queue a prompt. Raises TypeError, after queueing it, if number and id are both there already."""
        with self._changed:
            try:
                heapq.heappush(self._pending, item)
            finally:
                self._on_change()
                self._changed.notify()

    def take(self, timeout_s: float) -> tuple[int, Item] | None:
        """The next prompt, now running, and the number to finish it under; None when nothing came, or after `wake`."""
        with self._changed:
            if not self._pending and not self._wake:
                self._changed.wait(timeout_s)
            self._wake = False
            if not self._pending:
                return None
            item = heapq.heappop(self._pending)
            self._taken += 1
            self._running[self._taken] = item
            self._on_change()
            return self._taken, item

    def wake(self) -> None:
        """Let `take` return at once."""
        with self._changed:
            self._wake = True
            self._changed.notify()

    def finish(self, taken: int, finished: Finished) -> None:
        """Move a running prompt to the history; an entry of the same id is replaced."""
        with self._changed:
            item = self._running.pop(taken, None)
            if item is None:
                return
            if len(self._history) >= MAX_HISTORY:
                self._history.pop(next(iter(self._history)))
            extra_data = {key: value for key, value in item.extra_data.items() if key not in _SECRETS}
            self._history[item.prompt_id] = Entry(item._replace(extra_data=extra_data), finished, time.monotonic())
            self._on_change()

    def abandon(self, taken: int) -> None:
        """Forget a running prompt without a trace."""
        with self._changed:
            self._running.pop(taken, None)
            self._on_change()

    @property
    def remaining(self) -> int:
        """Running and pending together."""
        with self._changed:
            return len(self._running) + len(self._pending)

    def listed(self) -> tuple[list[Item], list[Item]]:
        """Running, and pending in the order of the heap, which is not the order of execution (section 2.2)."""
        with self._changed:
            return list(self._running.values()), list(self._pending)

    def is_running(self, prompt_id: object) -> bool:
        """Does this prompt run now?"""
        with self._changed:
            return any(item.prompt_id == prompt_id for item in self._running.values())

    def clear(self) -> None:
        """Drop all pending prompts."""
        with self._changed:
            self._pending.clear()
            self._on_change()

    def delete(self, prompt_id: object) -> bool:
        """Drop one pending prompt of this id. The last one left is dropped by `clear`, so the change is told twice."""
        with self._changed:
            for index, item in enumerate(self._pending):
                if item.prompt_id == prompt_id:
                    if len(self._pending) == 1:
                        self.clear()
                    else:
                        self._pending.pop(index)
                        heapq.heapify(self._pending)
                    self._on_change()
                    return True
            return False

    def entry(self, prompt_id: str) -> Entry | None:
        """The history entry of one prompt."""
        with self._changed:
            return self._history.get(prompt_id)

    def entries(self, max_items: int | None, offset: int) -> list[Entry]:
        """A page of the history, oldest first; without `offset` the last `max_items` (section 2.5)."""
        with self._changed:
            entries = list(self._history.values())
        if max_items is None:
            return entries[max(offset, 0) :]
        start = offset if offset >= 0 else len(entries) - max_items
        return entries[max(start, 0) :][: max(max_items, 0)] if start < len(entries) else []

    def forget(self, prompt_id: str) -> None:
        """Lose every trace of a prompt; telling nobody."""
        with self._changed:
            self._pending = [item for item in self._pending if item.prompt_id != prompt_id]
            heapq.heapify(self._pending)
            self._running = {taken: item for taken, item in self._running.items() if item.prompt_id != prompt_id}
            self._history.pop(prompt_id, None)

    def clear_history(self) -> None:
        """Forget every finished prompt."""
        with self._changed:
            self._history.clear()

    def delete_history(self, prompt_id: Any) -> None:
        """Forget one finished prompt. TypeError for an id that cannot be one."""
        with self._changed:
            self._history.pop(prompt_id, None)
