"""Storages to test on: a folder, a bucket, and ComfyUI itself. A test that takes `place` runs on each.

`place.put` keeps a file, `place.leavings` tells all that is there afterwards, half-written and hidden files included.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import pytest

from app.copies import Copies
from app.local_storage import LocalStorage
from app.object_storage import ObjectStorage
from app.passing_through import PassingThrough
from app.storage import FileGone
from tests.buckets import Bucket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.storage import Kept, Storage

KINDS = ("folder", "bucket", "comfyui")
CACHE_BYTES = 64 * 1024 * 1024


async def in_chunks(content: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read_whole(storage: Storage, location: str, size_bytes: int | None = None) -> bytes:
    """All of a file, as an answer would be made of it."""
    return await read_part(storage, location, 0, None, size_bytes)


async def read_part(
    storage: Storage, location: str, start: int, stop: int | None, size_bytes: int | None = None
) -> bytes:
    reading = await storage.open(location, lambda size: (start, size if stop is None else stop), size_bytes=size_bytes)
    try:
        content = bytearray(reading.first)
        while chunk := await reading.read():
            content += chunk
        return bytes(content)
    finally:
        await reading.aclose()


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def contents_under(folder: Path) -> list[bytes]:
    """Of the files that are not hidden."""
    return [path.read_bytes() for path in files_under(folder) if ".incoming" not in path.parts]


class Place(ABC):
    """A storage, with a look behind it."""

    storage: Storage

    async def put(self, key: str, content: bytes, *, chunk_bytes: int = 64 * 1024) -> Kept:
        chunks = in_chunks(content, chunk_bytes)
        return await self.storage.keep(key, chunks, max_bytes=len(content), origin=self.origin(key, content))

    def origin(self, key: str, content: bytes) -> str | None:
        """Where the same bytes can be had again."""
        return key

    @abstractmethod
    def leavings(self) -> list[str]:
        """The names of all there is."""

    @abstractmethod
    def visible(self) -> list[bytes]:
        """The contents of what can be read."""


class FolderPlace(Place):
    def __init__(self, folder: Path) -> None:
        self.folder, self.storage = folder, LocalStorage(folder)

    def leavings(self) -> list[str]:
        return [path.name for path in files_under(self.folder)]

    def visible(self) -> list[bytes]:
        return contents_under(self.folder)


class BucketPlace(Place):
    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self.bucket, self.folder = bucket, folder
        copies = Copies(folder, max_bytes=CACHE_BYTES)
        self.storage = ObjectStorage(
            bucket.name,
            copies,
            prefix="kept",
            endpoint=bucket.endpoint,
            region="us-east-1",
            key_id="key",
            secret="secret",
            timeout_s=10,
        )

    def leavings(self) -> list[str]:
        hidden = ["unfinished upload"] * self.bucket.unfinished_uploads()
        objects = [key for key in self.bucket.objects() if key != "kept/readiness-probe"]
        return [*objects, *hidden, *(path.name for path in files_under(self.folder))]

    def visible(self) -> list[bytes]:
        return [self.bucket.read(key) for key in self.bucket.objects()]


class Origin:
    """Where files are made: hands them out by name, as often as it is asked, and counts that."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked = 0

    @contextlib.asynccontextmanager
    async def open(self, origin: str) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked += 1
        if origin not in self.files:
            raise FileGone(origin)
        yield in_chunks(self.files[origin])


class OriginPlace(Place):
    def __init__(self, folder: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self.folder, self.source = folder, Origin()
        copies = Copies(folder / "copies", max_bytes=cache_bytes)
        self.storage = PassingThrough(LocalStorage(folder), copies, self.source.open)

    def origin(self, key: str, content: bytes) -> str | None:
        self.source.files[key] = content
        return key

    def leavings(self) -> list[str]:
        return [path.name for path in files_under(self.folder)]

    def visible(self) -> list[bytes]:
        return contents_under(self.folder)

    def forget_copies(self) -> None:
        for path in files_under(self.folder / "copies"):
            path.unlink()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A storage of each kind."""
    match request.param:
        case "folder":
            return FolderPlace(tmp_path / "kept")
        case "bucket":
            return BucketPlace(request.getfixturevalue("bucket"), tmp_path / "copies")
        case _:
            return OriginPlace(tmp_path / "kept")
