"""Nothing kept: files stay where they were made and are fetched from there on demand.

What passes is counted and hashed once, and every later reading is held against that: a file that was replaced at its
origin counts as gone, it never goes out under the old name. A bounded folder of copies makes the newest ones cheap.
Files without an origin (inputs, poster frames) are kept in the folder of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar
from urllib.parse import parse_qs, urlencode

from app.local_storage import open_part
from app.storage import CHUNK_BYTES, BadKey, FileGone, Kept, is_key

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from app.copies import Copies
    from app.local_storage import LocalStorage
    from app.storage import Choose, Reading

    OpenOrigin = Callable[[str], AbstractAsyncContextManager[AsyncIterator[bytes]]]

T = TypeVar("T")

_MARK: Final = "origin:"


class PassingThrough:
    """`open_origin` streams the file that an origin names; it raises FileGone or StorageUnavailable."""

    def __init__(self, local: LocalStorage, copies: Copies, open_origin: OpenOrigin) -> None:
        self._local, self._copies, self._open_origin = local, copies, open_origin

    async def keep(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int, origin: str | None = None) -> Kept:
        if origin is None:
            return await self._local.keep(key, chunks, max_bytes=max_bytes)
        if not is_key(key):
            raise BadKey(key)
        seen = await self._copies.keep(key, chunks, max_bytes=max_bytes)
        place = _Place(key, origin, seen.size_bytes, seen.sha256)
        return Kept(place.location, seen.size_bytes, seen.sha256, seen.head)

    async def open(self, location: str, choose: Choose, *, size_bytes: int | None = None) -> Reading:
        place = _Place.of(location)
        if place is None:
            return await self._local.open(location, choose)
        if (copied := await self._copies.open(place.key, choose)) is not None:
            return copied
        start, stop = choose(place.size)
        if start == 0 < stop:
            return await _PassingReading.opened(place, self._open_origin(place.origin), stop)
        # From the middle on: brought here whole, because the next wish is for another middle of the same film.
        async with self._copy(place) as path:
            return await open_part(path, choose)

    async def inspect(self, location: str, look: Callable[[BinaryIO], T]) -> T:
        place = _Place.of(location)
        if place is None:
            return await self._local.inspect(location, look)
        async with self._copy(place) as path:
            return await asyncio.to_thread(_look_into, path, look)

    @contextlib.asynccontextmanager
    async def local(self, location: str) -> AsyncIterator[Path]:
        place = _Place.of(location)
        async with self._local.local(location) if place is None else self._copy(place) as path:
            yield path

    def path_of(self, location: str) -> Path | None:
        return self._local.path_of(location)

    async def delete_prefix(self, prefix: str) -> None:
        await self._local.delete_prefix(prefix)
        await self._copies.delete_prefix(prefix)

    async def check_writable(self) -> None:
        await self._local.check_writable()

    async def sweep(self) -> int:
        return await self._local.sweep() + await self._copies.sweep()

    def _copy(self, place: _Place) -> AbstractAsyncContextManager[Path]:
        return self._copies.local(place.key, lambda: self._verified(place), place.size)

    @contextlib.asynccontextmanager
    async def _verified(self, place: _Place) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._open_origin(place.origin) as chunks, contextlib.aclosing(_verified(chunks, place)) as verified:
            yield verified


@dataclass(frozen=True, slots=True)
class _Place:
    """A file at its origin, and what it was when it was seen: all that a location holds."""

    key: str
    origin: str
    size: int
    sha256: str

    @property
    def location(self) -> str:
        return _MARK + urlencode({"key": self.key, "size": self.size, "sha256": self.sha256, "origin": self.origin})

    @classmethod
    def of(cls, location: str) -> _Place | None:
        """None for the location of a file that is kept here; such a one is a key and has no colon."""
        if not location.startswith(_MARK):
            return None
        told = {name: values[0] for name, values in parse_qs(location.removeprefix(_MARK)).items()}
        return cls(told["key"], told["origin"], int(told["size"]), told["sha256"])


class _PassingReading:
    """A file straight from its origin, from its beginning on.

    The last piece is held back until the hash of the whole is right, so that nobody takes another file for this one;
    a small file is one piece, and is refused before its first byte.
    """

    def __init__(self, size: int, first: bytes, left: int, pieces: AsyncIterator[bytes], stack: AsyncExitStack) -> None:
        self.size, self.first = size, first
        self._left, self._pieces, self._stack = left, pieces, stack

    @classmethod
    async def opened(
        cls, place: _Place, source: AbstractAsyncContextManager[AsyncIterator[bytes]], stop: int
    ) -> _PassingReading:
        async with AsyncExitStack() as stack:
            chunks = await stack.enter_async_context(source)
            verified = await stack.enter_async_context(contextlib.aclosing(_verified(chunks, place)))
            pieces = await stack.enter_async_context(contextlib.aclosing(_in_pieces(verified)))
            first = (await anext(pieces, b""))[:stop]
            return cls(place.size, first, stop - len(first), pieces, stack.pop_all())

    async def read(self) -> bytes:
        if not self._left:
            return b""
        piece = (await anext(self._pieces, b""))[: self._left]
        self._left -= len(piece)
        return piece

    async def aclose(self) -> None:
        await self._stack.aclose()


async def _verified(chunks: AsyncIterator[bytes], place: _Place) -> AsyncGenerator[bytes, None]:
    """The same bytes, the last of them only when they are the right ones; FileGone otherwise."""
    digest, size, last = hashlib.sha256(), 0, b""
    async for chunk in chunks:
        if last:
            yield last
        digest.update(chunk)
        size, last = size + len(chunk), chunk
        if size > place.size:
            raise FileGone(place.key)
    if digest.hexdigest() != place.sha256:
        raise FileGone(place.key)
    if last:
        yield last


async def _in_pieces(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    gathered, waiting = [], 0
    async for chunk in chunks:
        gathered.append(chunk)
        waiting += len(chunk)
        if waiting >= CHUNK_BYTES:
            yield b"".join(gathered)
            gathered, waiting = [], 0
    if gathered:
        yield b"".join(gathered)


def _look_into(path: Path, look: Callable[[BinaryIO], T]) -> T:
    with path.open("rb") as file:
        return look(file)
