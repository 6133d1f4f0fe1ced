"""Reads stored files from their beginning to their end, wherever they are. Owns nothing that lasts; never writes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from app.storage import FileGone, Storage


async def read_stored(storage: Storage, location: str) -> AsyncGenerator[bytes, None]:
    """The file's content, a piece of at most `storage.CHUNK_BYTES` in memory at a time. Raises FileGone."""
    reading = await storage.open(location, _whole)
    try:
        chunk = reading.first
        while chunk:
            yield chunk
            chunk = await reading.read()
    finally:
        await reading.aclose()


async def is_stored(storage: Storage, location: str) -> bool:
    """Whether the file is there; raises StorageUnavailable where that cannot be told."""
    try:
        reading = await storage.open(location, _nothing)
    except FileGone:
        return False
    await reading.aclose()
    return True


def _whole(size: int) -> tuple[int, int]:
    return 0, size


def _nothing(_: int) -> tuple[int, int]:
    return 0, 0
