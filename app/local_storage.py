"""Files in a folder of this machine. Owns writing whole or not at all, reading in parts, removal and sweeping.

Never looks into a file. `write_whole` and `open_part` also serve the caches, which are folders, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import threading
import time
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar
from uuid import uuid4

import anyio.to_thread

from app.storage import (
    CHUNK_BYTES,
    HEAD_BYTES,
    BadKey,
    FileGone,
    FileTooLarge,
    Kept,
    StorageError,
    is_key,
    refusals_translated,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from app.storage import Choose

T = TypeVar("T")

# A thread hop costs about as much as writing 100 KB, so small files take one hop and large ones one per MiB.
BATCH_BYTES: Final = 1024 * 1024
# Another process may share the folder: what is younger than this may still be written to.
LEFTOVER_AGE_S: Final = 3600.0

_ABSENT: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalStorage:
    """Files in a folder. Written under a hidden name and renamed when complete, so that nobody sees half a file.

    The hidden names are in one folder of their own, so that sweeping costs the same with ten files kept or ten
    million. A file survives the death of this process; it is not synced to the disk one by one (that would double
    the cost of a small picture even on a fast disk), so a power cut can take the last seconds.
    """

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir
        self._incoming = data_dir / ".incoming"

    async def keep(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int, origin: str | None = None) -> Kept:
        return await write_whole(self._place(key), self._incoming, chunks, key=key, max_bytes=max_bytes)

    async def open(self, location: str, choose: Choose, *, size_bytes: int | None = None) -> LocalReading:
        return await open_part(self._place(location), choose)

    async def inspect(self, location: str, look: Callable[[BinaryIO], T]) -> T:
        return await asyncio.to_thread(_look_into, self._place(location), location, look)

    @contextlib.asynccontextmanager
    async def local(self, location: str) -> AsyncIterator[Path]:
        yield self._place(location)

    def path_of(self, location: str) -> Path | None:
        return self._root / location if is_key(location) else None

    async def delete_prefix(self, prefix: str) -> None:
        key = prefix.removesuffix("/")
        await asyncio.to_thread(self._delete, key, self._place(key))

    async def check_writable(self) -> None:
        probe = _PartialFile(self._incoming / uuid4().hex, "readiness probe")
        await asyncio.to_thread(probe.try_out)

    async def sweep(self, older_than_s: float = LEFTOVER_AGE_S) -> int:
        return await asyncio.to_thread(self._sweep, time.time() - older_than_s)

    def _place(self, key: str) -> Path:
        if not is_key(key):
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


class LocalReading:
    """A part of a file of this machine. Made by `open_part`."""

    def __init__(self, file: BinaryIO, size: int, first: bytes, left: int) -> None:
        self.size, self.first = size, first
        self._file, self._left = file, left

    async def read(self) -> bytes:
        if not self._left:
            return b""
        # anyio wakes the thread that rested last, whose memory is warm: a third faster than asyncio's own pool.
        chunk = await anyio.to_thread.run_sync(self._file.read, min(self._left, CHUNK_BYTES))
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        # Costs microseconds and touches no disk, as the file was only read.
        self._file.close()

    async def aclose(self) -> None:
        self.close()


async def open_part(path: Path, choose: Choose) -> LocalReading:
    """Everything a small file needs in one thread hop: open, measure, seek, read. Raises FileGone, StorageError."""
    opening = asyncio.get_running_loop().run_in_executor(None, _opened, path, choose)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_closed_unread)  # The thread opens it all the same.
        raise


def _closed_unread(opening: asyncio.Future[LocalReading]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


async def write_whole(target: Path, incoming: Path, chunks: AsyncIterator[bytes], *, key: str, max_bytes: int) -> Kept:
    """Write the stream to a hidden file of `incoming` and rename it to `target`; a small one takes one thread hop."""
    partial = _PartialFile(incoming / uuid4().hex, key)
    try:
        rest = await _write_all_but_rest(partial, chunks, key, max_bytes)
        return await asyncio.to_thread(partial.finish, rest, target)
    except BaseException:
        # Shielded: a second cancellation must not leave the half-written file behind.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, partial.abandon))
        raise


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


def _opened(path: Path, choose: Choose) -> LocalReading:
    with contextlib.ExitStack() as on_failure, _absence_told(path.name), refusals_translated(path.name):
        # Buffered for its lock: closing waits for a read whose awaiter was canceled.
        file = on_failure.enter_context(path.open("rb"))
        size = os.fstat(file.fileno()).st_size
        start, stop = choose(size)
        file.seek(start)
        first = file.read(min(stop - start, CHUNK_BYTES)) if stop > start else b""
        on_failure.pop_all()
        return LocalReading(file, size, first, stop - start - len(first))


def _look_into(path: Path, key: str, look: Callable[[BinaryIO], T]) -> T:
    with _absence_told(key), refusals_translated(key):
        file = path.open("rb")
    with file:
        return look(file)


@contextlib.contextmanager
def _absence_told(key: str) -> Iterator[None]:
    try:
        yield
    except StorageError as exc:
        if isinstance(exc.__cause__, _ABSENT):
            raise FileGone(key) from exc.__cause__
        raise


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
