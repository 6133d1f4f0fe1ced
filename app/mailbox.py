"""A bounded box between one writer that must not wait and one reader that may be slow.

Owns nothing but what was put in and not yet taken. What can be replaced by a newer one of the same slot is replaced;
the rest is kept in order up to `max_items`; each slot holds one item more. Overflow is remembered, never silent: the
reader sees `is_overflowed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """`slot_of(item)` names what a newer item of the same slot replaces; None = never replaced.

    Full and put another irreplaceable item: the item is dropped and `is_overflowed` stays true until the reader resets
    it. A box with room again takes items again, behind the gap.
    """

    __slots__ = ("_items", "_max_items", "_newest", "_next_key", "_slot_of", "_waiter", "is_closed", "is_overflowed")

    def __init__(self, slot_of: Callable[[T], Hashable | None], max_items: int) -> None:
        self._slot_of, self._max_items = slot_of, max_items
        self._items: dict[int, T] = {}
        self._newest: dict[Hashable, int] = {}
        self._next_key = 0
        self._waiter: asyncio.Future[None] | None = None
        self.is_overflowed = False
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add without waiting. Items keep their order; a replaced one gives up its place."""
        slot = self._slot_of(item)
        if slot is not None:
            self._items.pop(self._newest.get(slot, -1), None)
            self._newest[slot] = self._next_key
        if slot is None and len(self._items) - len(self._newest) >= self._max_items:
            self.is_overflowed = True
        else:
            self._items[self._next_key] = item
            self._next_key += 1
        self.wake()

    def drain(self) -> list[T]:
        """Everything that waits, oldest first; the box is empty afterwards."""
        items = list(self._items.values())
        self._items.clear()
        self._newest.clear()
        return items

    def any(self, matches: Callable[[T], bool]) -> bool:
        return any(matches(item) for item in self._items.values())

    def close(self) -> None:
        """No more will come: the reader gets what is left and then an empty list."""
        self.is_closed = True
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[T]:
        """Wait for at least one item; an empty list means closed, or overflowed with nothing left."""
        await self._wait()
        return self.drain()

    async def take_first(self) -> T | None:
        """Wait for the oldest item and leave the others, which newer ones may still replace; None as for `take`."""
        await self._wait()
        key = next(iter(self._items), None)
        if key is None:
            return None
        item = self._items.pop(key)
        slot = self._slot_of(item)
        if slot is not None and self._newest.get(slot) == key:
            del self._newest[slot]
        return item

    async def _wait(self) -> None:
        while not self._items and not self.is_closed and not self.is_overflowed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
