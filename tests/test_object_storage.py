"""Keeping files in a bucket: what only a server far away can do wrong, and what it costs to ask it."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from app.copies import Copies
from app.object_storage import ObjectStorage
from app.object_uploads import PART_BYTES, PARTS_AT_ONCE
from app.storage import StorageError, StorageUnavailable
from tests.storages import BucketPlace, in_chunks, read_part, read_whole
from tests.waiting import WITHIN_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.storage import Storage
    from tests.buckets import Bucket

KEY = "outputs/3f/3f2c9a52-7d0e-4a52-9c1b-0c8a3d7b6a11/0"
LARGE = os.urandom(20 * 1024 * 1024)


_XML = b"<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>"
_UPLOAD_BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_XML), _XML)


def at(endpoint: str, folder: Path, *, name: str = "some-bucket", timeout_s: float = 10, **more: str) -> ObjectStorage:
    copies = Copies(folder / "copies", max_bytes=1024 * 1024)
    key = {"key_id": "key", "secret": "secret"} | more
    return ObjectStorage(name, copies, endpoint=endpoint, region="us-east-1", timeout_s=timeout_s, **key)


@pytest.fixture
def bucket_place(bucket: Bucket, tmp_path: Path) -> BucketPlace:
    return BucketPlace(bucket, tmp_path / "copies")


class Door:
    """A server that answers each request with the same bytes (`answers`: by method), or with nothing at all."""

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self.answers: dict[bytes, bytes] = {}
        self.requests: list[bytes] = []
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                answer = self.answers.get(head.split(b" ")[0], self.answer)
                if answer is None:
                    await reader.read()
                writer.write(answer or b"")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    door = Door()
    async with await asyncio.start_server(door, "127.0.0.1", 0) as server:
        door.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield door


def refused(status: str) -> bytes:
    body = b"<Error><Code>X</Code></Error>"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def every_call(storage: Storage) -> list[BaseException | None]:
    """What each way to use a storage ends with."""

    async def use_path() -> None:
        async with storage.local(KEY):
            pass

    calls = (
        storage.keep(KEY, in_chunks(b"x"), max_bytes=1),
        storage.keep(KEY, in_chunks(LARGE), max_bytes=len(LARGE)),
        storage.open(KEY, lambda size: (0, size)),
        storage.open(KEY, lambda size: (0, size), size_bytes=5),
        storage.inspect(KEY, lambda file: file.read(1)),
        use_path(),
        storage.delete_prefix(KEY),
        storage.check_writable(),
    )
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [result if isinstance(result, BaseException) else None for result in results]


async def test_a_file_is_one_object_with_the_very_bytes(bucket_place: BucketPlace) -> None:
    await bucket_place.put(KEY, LARGE)

    assert bucket_place.bucket.objects() == [f"kept/{KEY}"]
    assert bucket_place.bucket.read(f"kept/{KEY}") == LARGE


async def test_a_missing_bucket_is_named_as_the_reason(s3_endpoint: str, tmp_path: Path) -> None:
    storage = at(s3_endpoint, tmp_path, name="no-such-bucket")

    with pytest.raises(StorageUnavailable, match="bucket does not exist"):
        await storage.check_writable()
    with pytest.raises(StorageUnavailable, match="bucket does not exist"):
        await storage.keep(KEY, in_chunks(b"x"), max_bytes=1)
    with pytest.raises(StorageUnavailable, match="bucket does not exist"):
        await storage.keep(KEY, in_chunks(LARGE), max_bytes=len(LARGE))


async def test_refused_credentials_are_named_as_the_reason(tmp_path: Path) -> None:
    async with open_door() as door:
        door.answer = refused("403 Forbidden")
        with pytest.raises(StorageUnavailable, match="access denied"):
            await at(door.url, tmp_path).check_writable()


@pytest.mark.parametrize("answer", [None, b"no HTTP at all\r\n\r\n", refused("500 Oops"), refused("418 Teapot")])
async def test_a_server_that_makes_no_sense_ends_every_call_in_time(tmp_path: Path, answer: bytes | None) -> None:
    async with open_door() as door, asyncio.timeout(WITHIN_S):
        door.answer = answer

        ends = await every_call(at(door.url, tmp_path, timeout_s=0.4))

    assert all(isinstance(end, StorageUnavailable) for end in ends), ends


async def test_a_server_that_is_not_there_ends_every_call_and_is_not_named(tmp_path: Path) -> None:
    async with open_door() as door:
        url = door.url
    started = time.monotonic()

    ends = await every_call(at(url, tmp_path, timeout_s=1))

    assert all(isinstance(end, StorageUnavailable) for end in ends), ends
    assert not any("127.0.0.1" in str(end) or "some-bucket" in str(end) for end in ends)
    assert time.monotonic() - started < WITHIN_S


async def test_a_bucket_that_vanishes_during_an_upload_fails_it(bucket_place: BucketPlace) -> None:
    async def interrupted() -> AsyncIterator[bytes]:
        yield LARGE[: 9 * 1024 * 1024]
        bucket_place.bucket.remove()
        yield LARGE[9 * 1024 * 1024 :]

    with pytest.raises(StorageError):
        await bucket_place.storage.keep(KEY, interrupted(), max_bytes=len(LARGE))


async def test_no_more_of_a_stream_is_read_ahead_than_a_few_parts(tmp_path: Path) -> None:
    read_mib = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read_mib
        for _ in range(500):
            read_mib += 1
            yield bytes(1024 * 1024)

    async with open_door() as door:
        door.answers = {b"POST": _UPLOAD_BEGUN}
        with pytest.raises(StorageUnavailable):
            await at(door.url, tmp_path, timeout_s=1).keep(KEY, counted(), max_bytes=500 * 1024 * 1024)

    assert read_mib <= (PARTS_AT_ONCE + 3) * PART_BYTES / 1024 / 1024
    assert any(head.startswith(b"DELETE") for head in door.requests)


async def test_a_part_of_a_file_is_one_request_where_the_size_is_known(tmp_path: Path) -> None:
    async with open_door() as door:
        door.answer = (
            b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 10-14/1000\r\n"
            b'Last-Modified: Sat, 21 Nov 2026 15:00:00 GMT\r\nETag: "x"\r\n\r\nhello'
        )

        part = await read_part(at(door.url, tmp_path), KEY, 10, 15, 1000)

    assert part == b"hello"
    assert [head.split(b" ")[0] for head in door.requests] == [b"GET"]
    assert b"range: bytes=10-14" in door.requests[0].lower()


async def test_a_file_replaced_by_another_one_is_read_as_it_is_now(bucket_place: BucketPlace) -> None:
    await bucket_place.put(KEY, b"shorter")

    assert await read_whole(bucket_place.storage, KEY, 5) == b"shorter"


async def test_a_copy_goes_when_its_file_is_deleted(bucket_place: BucketPlace) -> None:
    await bucket_place.put(KEY, b"secret")
    async with bucket_place.storage.local(KEY) as path:
        assert path.exists()

    await bucket_place.storage.delete_prefix(KEY.rpartition("/")[0])

    assert not path.exists()


async def test_deleting_reaches_more_files_than_one_request_takes(bucket_place: BucketPlace) -> None:
    for first in range(0, 1005, 15):  # More at once than the server takes in would wait, and give up.
        await asyncio.gather(*(bucket_place.put(f"a/{number}", b"x") for number in range(first, first + 15)))

    await bucket_place.storage.delete_prefix("a")

    assert bucket_place.leavings() == []
