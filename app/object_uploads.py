"""Large uploads to a bucket: a stream cut into parts, sent while the next ones come in, completed or aborted.

Owns the hand-over between the task that reads the stream and obstore, which sends; never names or removes an object.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final, cast

import obstore

from app.object_reading import failures_translated, looked_at
from app.storage import CHUNK_BYTES, HEAD_BYTES, FileTooLarge, Kept

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from obstore.store import S3Store

    from app.storage import StorageError

# S3 takes at most 10,000 parts of at least 5 MiB: with these a file may have 80 GB.
PART_BYTES: Final = 8 * 1024 * 1024
PARTS_AT_ONCE: Final = 3
# How long a failed upload may take to be aborted before its caller hears of the failure.
ABORT_WAIT_S: Final = 10.0


async def put_in_parts(store: S3Store, key: str, first: bytes, intake: Intake, absent: StorageError) -> None:
    """Send `first` and what follows it; raises StorageError (`absent`: no bucket), and what the stream raises.

    Read on this task, sent on obstore's: whatever ends the reading, the upload ends by being told so. A canceled future
    would leave the parts behind, so this one is never canceled.
    """
    relay = _Relay()
    # What obstore returns is a future already, of work that its own threads do.
    asked = obstore.put_async(
        store, key, relay, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
    )
    sending = cast("asyncio.Future[Any]", asked)
    sending.add_done_callback(relay.is_sent)
    try:
        part = first
        while part and await relay.give(part):
            part = await intake.part()
        await relay.give(b"")
        with failures_translated(key, absent):
            await asyncio.shield(sending)
    except BaseException:
        relay.give_up()
        await asyncio.wait({sending}, timeout=ABORT_WAIT_S)
        raise


class Intake:
    """The stream that comes in: cut into parts, counted and hashed."""

    def __init__(self, key: str, chunks: AsyncIterator[bytes], max_bytes: int) -> None:
        self._key, self._chunks, self._max_bytes = key, chunks, max_bytes
        self._hash, self._size, self._head = hashlib.sha256(), 0, b""
        self.is_over = False

    async def part(self) -> bytes:
        """The next PART_BYTES or more; less at the end, when `is_over` is set. Raises FileTooLarge."""
        gathered, waiting = [], 0
        while waiting < PART_BYTES:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                self.is_over = True
                break
            waiting += len(chunk)
            if self._size + waiting > self._max_bytes:
                raise FileTooLarge(self._key, self._max_bytes)
            gathered.append(chunk)
        part = b"".join(gathered)
        await self._count(part)
        return part

    def kept(self) -> Kept:
        return Kept(self._key, self._size, self._hash.hexdigest(), self._head)

    async def _count(self, part: bytes) -> None:
        self._size += len(part)
        self._head += part[: HEAD_BYTES - len(self._head)]
        if len(part) > CHUNK_BYTES:
            await asyncio.to_thread(self._hash.update, part)
        else:
            self._hash.update(part)


class _GivenUp(Exception):
    """Tells obstore to abort the upload."""


class _Relay:
    """One slot between the task that reads and obstore, which asks for parts from tasks of its own."""

    def __init__(self) -> None:
        self._part: bytes | None = None
        self._is_given_up = self._is_sent = False
        self._turn = asyncio.Event()

    async def give(self, part: bytes) -> bool:
        """Wait until the last part is taken, then leave this one; an empty one is the end. False: nobody takes it."""
        while self._part is not None and not self._is_sent:
            self._turn.clear()
            await self._turn.wait()
        self._part = part
        self._turn.set()
        return not self._is_sent

    def give_up(self) -> None:
        self._is_given_up = True
        self._turn.set()

    def is_sent(self, done: asyncio.Future[Any]) -> None:
        self._is_sent = True
        self._turn.set()
        looked_at(done)

    def __aiter__(self) -> _Relay:
        return self

    async def __anext__(self) -> bytes:
        while self._part is None and not self._is_given_up:
            self._turn.clear()
            await self._turn.wait()
        if self._is_given_up or self._part is None:
            raise _GivenUp
        part, self._part = self._part, None
        self._turn.set()
        if not part:
            raise StopAsyncIteration
        return part
