"""Where finished files live: the port. Owns keys, errors and what a storage promises; never looks into a file.

    StorageError                the storage could not do it; `key` says for which file
    ├── BadKey                  the key is not one of ours: a mistake of the calling code, not of the storage
    ├── FileGone                the storage does not have the file (any more)
    ├── FileTooLarge            the file has more bytes than the caller allows
    ├── StorageFull             no space or quota left: make room, then try again
    └── StorageUnavailable      the storage cannot be used (rights, broken disk, no answer): a person must look

A key is lower-case path segments made by us, such as "outputs/3f/<generation id>/0". What a server or a caller
names a file never becomes part of one. The storages themselves: `app.local_storage`, `app.object_storage`,
`app.passing_through`; `app.opening` chooses one.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from app.records import Output

T = TypeVar("T")

# Enough for every signature, a WebP or PNG header and most JPEG frame headers.
HEAD_BYTES: Final = 16 * 1024
# A reader gets a file in pieces of this size: a larger one occupies memory, a smaller one costs more hops.
CHUNK_BYTES: Final = 1024 * 1024
MAX_KEY_CHARS: Final = 255

# A segment never begins with a dot, which rules out "..", "." and our own hidden folder.
_KEY: Final = re.compile(r"[a-z0-9_-][a-z0-9._-]*(?:/[a-z0-9_-][a-z0-9._-]*)*", re.ASCII)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Choose = Callable[[int], tuple[int, int]]
"""Told the size of a file, the part to read: from `start` up to but not including `stop`; equal for none of it."""


class StorageError(Exception):
    """The storage could not do what was asked."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key!r}: {text}")
        self.key = key


class BadKey(StorageError):
    """The key breaks the rules of keys; nothing was touched."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "not a storage key (lower-case segments of a-z 0-9 . _ - joined by single slashes)")


class FileGone(StorageError):
    """The storage does not have the file."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "no such file in the storage")


class FileTooLarge(StorageError):
    """The file went past the allowed size; nothing of it was kept."""

    def __init__(self, key: str, max_bytes: int) -> None:
        super().__init__(key, f"larger than the allowed {max_bytes} bytes")
        self.max_bytes = max_bytes


class StorageFull(StorageError):
    """No space or quota is left; nothing of the file was kept."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "no space left in the storage")


class StorageUnavailable(StorageError):
    """The storage refused or did not answer; `reason` says why, without any path or address."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, f"the storage cannot be used ({reason})")
        self.reason = reason


@contextlib.contextmanager
def refusals_translated(key: str) -> Iterator[None]:
    """Turn the operating system's refusal (OSError) into a StorageError, without its path."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise StorageFull(key) from exc
        raise StorageUnavailable(key, exc.strerror or type(exc).__name__) from exc


def is_key(key: str) -> bool:
    """Whether this may name a file."""
    return len(key) <= MAX_KEY_CHARS and _KEY.fullmatch(key) is not None


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is now safely there. `head` is its beginning (at most HEAD_BYTES), to tell its type by."""

    location: str
    size_bytes: int
    sha256: str
    head: bytes


class Reading(Protocol):
    """A part of a file being read. `size` is that of the whole file, `first` the beginning of the part."""

    size: int
    first: bytes

    async def read(self) -> bytes:
        """What comes next, up to CHUNK_BYTES; empty at the end, and where the file ends too early."""
        ...

    async def aclose(self) -> None:
        """Let go of it; called once, by the task that opened it."""
        ...


class Storage(Protocol):
    """The port: keep a stream under a key, find it again, remove it. Implementations raise StorageError only."""

    async def keep(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int, origin: str | None = None) -> Kept:
        """Keep the whole stream or nothing; an older file under the same key is replaced in one step.

        Errors of `chunks` itself pass through unchanged. The caller closes `chunks` and puts a timeout on it.
        A canceled call leaves nothing, or the whole file when the cancellation came too late. `origin` names a
        place where the same bytes can be had again, for a storage that would rather not keep them.
        """
        ...

    async def open(self, location: str, choose: Choose, *, size_bytes: int | None = None) -> Reading:
        """Start to read the part that `choose` names; FileGone where there is no such file.

        `size_bytes` is the size on record, which saves asking for it. The caller closes the reading.
        """
        ...

    async def inspect(self, location: str, look: Callable[[BinaryIO], T]) -> T:
        """What `look` finds in the file, in a worker thread. It may seek; only what it reads is transferred.

        Raises FileGone, and what `look` raises; a transfer that fails reaches `look` as OSError.
        """
        ...

    def local(self, location: str) -> AbstractAsyncContextManager[Path]:
        """The file as one of this machine, for as long as the block lasts; FileGone where there is none."""
        ...

    def path_of(self, location: str) -> Path | None:
        """Where the file would be on this machine, or None when this storage has no such place. Touches no disk."""
        ...

    async def delete_prefix(self, prefix: str) -> None:
        """Remove the file or folder of this key. One that is not there is no error."""
        ...

    async def check_writable(self) -> None:
        """Prove that a file could be kept now; raises the StorageError that keeping it would meet."""
        ...

    async def sweep(self) -> int:
        """Remove what a crash left half-written; returns how many files that were. Call it once at start."""
        ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A kept file, wherever it is."""

    storage: Storage
    location: str
    size_bytes: int | None = None

    async def open(self, choose: Choose) -> Reading:
        return await self.storage.open(self.location, choose, size_bytes=self.size_bytes)

    def local(self) -> AbstractAsyncContextManager[Path]:
        return self.storage.local(self.location)


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """An output, its file unless it is a mere text, and a video's poster frame."""

    output: Output
    file: StoredFile | None
    poster: StoredFile | None

    @classmethod
    def of(cls, storage: Storage, output: Output) -> StoredOutput:
        """Where the storage has it; nothing is asked of the storage yet."""
        file = StoredFile(storage, output.location, output.size_bytes) if output.location else None
        return cls(output, file, StoredFile(storage, output.poster) if output.poster else None)
