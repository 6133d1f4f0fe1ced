"""Local copies of files that are kept elsewhere, for whoever needs a path. Owns a bounded folder of them.

A copy is brought once however many ask for it at the same time, stays while somebody uses it, and may go after that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from app.cache_folder import CacheFolder
from app.local_storage import LocalReading, LocalStorage, open_part, write_whole
from app.storage import FileGone, Kept

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from app.storage import Choose

    Fetch = Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]


class Copies:
    """`max_bytes` bounds what stays when nobody uses it; a single file may be larger."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._used: Counter[Path] = Counter()
        self._cache = CacheFolder(folder, max_bytes, self._used)
        self._arrivals: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()
        self._folder = folder

    @contextlib.asynccontextmanager
    async def local(self, key: str, fetch: Fetch, size_bytes: int) -> AsyncIterator[Path]:
        """The copy's path for as long as the block lasts; raises StorageError, and what the fetched chunks raise."""
        place = self._place(key)
        self._used[place] += 1
        try:
            async with self._arrivals.setdefault(place, asyncio.Lock()):
                if not await asyncio.to_thread(self._cache.has, place):
                    async with fetch() as chunks:
                        await self.keep(key, chunks, max_bytes=size_bytes)
            yield place
        finally:
            self._used[place] -= 1
            self._used += Counter()

    async def keep(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int) -> Kept:
        """Put a copy here before anybody asks for it."""
        place = self._place(key)
        kept = await write_whole(place, self._cache.incoming, chunks, key=key, max_bytes=max_bytes)
        await asyncio.to_thread(self._cache.arrived, place, kept.size_bytes)
        return kept

    async def open(self, key: str, choose: Choose) -> LocalReading | None:
        """Read the copy, where there is one."""
        place = self._place(key)
        if not await asyncio.to_thread(self._cache.has, place):
            return None
        try:
            return await open_part(place, choose)
        except FileGone:
            return None

    async def delete_prefix(self, prefix: str) -> None:
        """Forget the copy of this key, and those under it."""
        name = self._place(prefix.removesuffix("/")).name
        await asyncio.to_thread(self._cache.remove, name, f"{name}~")

    async def sweep(self) -> int:
        return await LocalStorage(self._folder).sweep()

    def _place(self, key: str) -> Path:
        # Flat, because empty folders would outlive their files; no key holds the separator.
        return self._cache.place(key.replace("/", "~"))
