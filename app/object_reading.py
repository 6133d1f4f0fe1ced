"""Reading objects of a bucket: range by range for a reader, at any place for who looks into one. Keeps nothing.

Also says what a failure of obstore means, for everything that asks a bucket.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from typing import TYPE_CHECKING, Any, Final, cast

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from app.storage import CHUNK_BYTES, FileGone, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore.store import S3Store

# Headers are small and far apart, and of what is read ahead much is thrown away; asking again costs more than that.
LOOK_BYTES: Final = 512 * 1024
MAX_LOOKS: Final = 200


@contextlib.contextmanager
def failures_translated(key: str, absent: Exception) -> Iterator[None]:
    """obstore's errors quote addresses and answers; what is told is their class alone."""
    try:
        yield
    except FileNotFoundError as exc:
        raise absent from exc
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as exc:
        raise StorageUnavailable(key, "access denied: check the key and its rights") from exc
    except (BaseError, OSError) as exc:
        raise StorageUnavailable(key, "no usable answer") from exc


class ObjectReading:
    """A part of an object, one range after another, the next one under way while the last one is used.

    Each range is a request of its own: a slow reader holds no connection, and a time limit says something.
    """

    def __init__(self, store: S3Store, location: str, size: int, first: bytes, rest: tuple[int, int]) -> None:
        self.size, self.first = size, first
        self._store, self._location = store, location
        self._next, self._stop = rest
        self._coming: asyncio.Future[Any] | None = None
        self._ask()

    async def read(self) -> bytes:
        if self._coming is None:
            return b""
        with failures_translated(self._location, FileGone(self._location)):
            chunk = bytes(await self._coming)
        self._ask()
        return chunk

    async def aclose(self) -> None:
        if self._coming is not None and not self._coming.done():
            self._coming.cancel()

    def _ask(self) -> None:
        start, self._next = self._next, min(self._stop, self._next + CHUNK_BYTES)
        self._coming = None
        if start < self._next:
            # What obstore returns is a future already, of work that its own threads do.
            asked = obstore.get_range_async(self._store, self._location, start=start, end=self._next)
            self._coming = cast("asyncio.Future[Any]", asked)
            # Looking at the error counts as retrieving it: the reader may have gone away.
            self._coming.add_done_callback(looked_at)


class RemoteFile(io.RawIOBase):
    """An object as a file that is sought and read, for worker threads. A failed request is an OSError."""

    def __init__(self, store: S3Store, location: str, size: int) -> None:
        self._store, self._location, self._size = store, location, size
        self._at, self._requests_left = 0, MAX_LOOKS

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, target: Any) -> int:
        end = min(self._size, self._at + len(target))
        if end <= self._at:
            return 0
        if not self._requests_left:
            raise OSError("headers in too many places")
        self._requests_left -= 1
        try:
            found = obstore.get_range(self._store, self._location, start=self._at, end=end)
        except BaseError as exc:
            raise OSError("the storage does not answer") from exc
        target[: len(found)] = found
        self._at += len(found)
        return len(found)


def looked_at(done: asyncio.Future[Any]) -> None:
    """Count its error as seen: nobody may be left to see it."""
    if not done.cancelled():
        done.exception()
