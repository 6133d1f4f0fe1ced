"""Where finished files live. Owns keys, atomic keeping and removal; never looks into a file, never heard of ComfyUI.

    StorageError                the storage could not do it; `key` says for which file
    ├── BadKey                  the key is not one of ours: a mistake of the calling code, not of the disk
    ├── FileTooLarge            the file has more bytes than the caller allows
    ├── StorageFull             no space or quota left: make room, then try again
    └── StorageUnavailable      the folder cannot be used (rights, read-only, broken disk): a person must look

A key is lower-case path segments made by us, such as "outputs/3f/<generation id>/0.png". What a server or a caller
names a file never becomes part of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

# Enough for every signature, a WebP or PNG header and most JPEG frame headers.
HEAD_BYTES: Final = 16 * 1024
# A thread hop costs about as much as writing 100 KB, so small files take one hop and large ones one per MiB.
BATCH_BYTES: Final = 1024 * 1024
# Another process may share the folder: what is younger than this may still be written to.
LEFTOVER_AGE_S: Final = 3600.0
MAX_KEY_CHARS: Final = 255

# A segment never begins with a dot, which rules out "..", "." and our own hidden folder.
_KEY: Final = re.compile(r"[a-z0-9_-][a-z0-9._-]*(?:/[a-z0-9_-][a-z0-9._-]*)*", re.ASCII)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StorageError(Exception):
    """The storage could not do what was asked."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key!r}: {text}")
        self.key = key


class BadKey(StorageError):
    """The key breaks the rules of keys; nothing was touched."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "not a storage key (lower-case segments of a-z 0-9 . _ - joined by single slashes)")


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
    """The operating system refused; `reason` is its word for it, without any path."""

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


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is now safely there. `head` is its beginning (at most HEAD_BYTES), to tell its type by."""

    location: str
    size_bytes: int
    sha256: str
    head: bytes


class Storage(Protocol):
    """The port: keep a stream under a key, find it again, remove it. Implementations raise StorageError only."""

    async def keep(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int) -> Kept:
        """Keep the whole stream or nothing; an older file under the same key is replaced in one step.

        Errors of `chunks` itself pass through unchanged. The caller closes `chunks` and puts a timeout on it.
        A canceled call leaves nothing, or the whole file when the cancellation came too late.
        """
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


class LocalStorage:
    """Files in a folder. Written under a hidden name and renamed when complete, so that nobody sees half a file.

    The hidden names are in one folder of their own, so that sweeping costs the same with ten files kept or ten
    million. A file survives the death of this process; it is not synced to the disk one by one (that would double
    the cost of a small picture even on a fast disk), so a power cut can take the last seconds.
    """

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir
        self._incoming = data_dir / ".incoming"

    async def keep(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int) -> Kept:
        target = self._place(key)
        partial = _PartialFile(self._incoming / uuid4().hex, key)
        try:
            rest = await _write_all_but_rest(partial, chunks, key, max_bytes)
            return await asyncio.to_thread(partial.finish, rest, target)
        except BaseException:
            # Shielded: a second cancellation must not leave the half-written file behind.
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, partial.abandon))
            raise

    def path_of(self, location: str) -> Path | None:
        return self._root / location if _is_key(location) else None

    async def delete_prefix(self, prefix: str) -> None:
        key = prefix.removesuffix("/")
        await asyncio.to_thread(self._delete, key, self._place(key))

    async def check_writable(self) -> None:
        probe = _PartialFile(self._incoming / uuid4().hex, "readiness probe")
        await asyncio.to_thread(probe.try_out)

    async def sweep(self, older_than_s: float = LEFTOVER_AGE_S) -> int:
        return await asyncio.to_thread(self._sweep, time.time() - older_than_s)

    def _place(self, key: str) -> Path:
        if not _is_key(key):
            raise BadKey(key)
        return self._root / key

    def _delete(self, key: str, victim: Path) -> None:
        # Renamed first: it disappears at once and whole, and a file kept meanwhile cannot make the removal fail.
        grave = self._incoming / uuid4().hex
        with refusals_translated(key):
            if os.path.lexists(victim):
                _move(victim, grave)
                _remove(grave)

    def _sweep(self, before: float) -> int:
        if not self._incoming.exists():
            return 0
        with refusals_translated(self._incoming.name):
            leftovers = [path for path in self._incoming.iterdir() if path.lstat().st_mtime < before]
            for path in leftovers:
                _remove(path)
        return len(leftovers)


class _PartialFile:
    """A file being written by worker threads, one hop after another; the lock covers a hop whose awaiter is gone."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        self._file: BinaryIO | None = None
        self._is_over = False
        self._lock = threading.Lock()
        self._hash = hashlib.sha256()
        self._size = 0
        self._head = b""

    def write(self, chunks: Sequence[bytes]) -> None:
        with self._lock, refusals_translated(self._key):
            self._append(chunks)

    def finish(self, chunks: Sequence[bytes], target: Path) -> Kept:
        with self._lock, refusals_translated(self._key):
            self._close_after(chunks)
            _move(self._path, target)
            self._is_over = True
        return Kept(self._key, self._size, self._hash.hexdigest(), self._head)

    def try_out(self) -> None:
        try:
            with refusals_translated(self._key):
                self._close_after((bytes(4096),))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove what is there. Quiet: it runs when something else already failed, and the sweep comes later."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            with contextlib.suppress(OSError):
                if self._file is not None:
                    self._file.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _close_after(self, chunks: Sequence[bytes]) -> None:
        file = self._append(chunks)
        file.close()

    def _append(self, chunks: Sequence[bytes]) -> BinaryIO:
        if self._is_over:
            raise StorageError(self._key, "given up while it was written")
        if self._file is None:
            self._file = _create(self._path)
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
        self._hash.update(data)
        self._file.write(data)
        self._size += len(data)
        return self._file


async def _write_all_but_rest(
    partial: _PartialFile, chunks: AsyncIterator[bytes], key: str, max_bytes: int
) -> list[bytes]:
    """Write in batches and return the last, unwritten one, which is the whole of a small file."""
    total, waiting = 0, 0
    batch: list[bytes] = []
    async for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise FileTooLarge(key, max_bytes)
        batch.append(chunk)
        waiting += len(chunk)
        if waiting >= BATCH_BYTES:
            await asyncio.to_thread(partial.write, batch)
            batch, waiting = [], 0
    return batch


def _is_key(key: str) -> bool:
    return len(key) <= MAX_KEY_CHARS and _KEY.fullmatch(key) is not None


def _create(path: Path) -> BinaryIO:
    """Open a new file; folders are made only when the first attempt misses them, which is once per folder."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _move(source: Path, target: Path) -> None:
    """Rename in one step, making the target's folder when it is missing. A missing source is FileNotFoundError."""
    try:
        source.replace(target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
