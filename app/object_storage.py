"""Files in an S3-compatible bucket. Owns every use of obstore: uploads in parts, reads in ranges, removal by prefix.

Nothing is visible before its last byte: a small file is one request, a large one a multipart upload that is completed
or aborted. Only the death of the process leaves parts behind, which a bucket's lifecycle rule
(AbortIncompleteMultipartUpload) clears; S3 shows them to nobody. Memory per file: the parts under way, or two chunks.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar, cast

import obstore
from obstore.store import S3Store

from app.object_reading import LOOK_BYTES, ObjectReading, RemoteFile, failures_translated
from app.object_uploads import Intake, put_in_parts
from app.storage import CHUNK_BYTES, BadKey, FileGone, Kept, StorageUnavailable, is_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from app.copies import Copies
    from app.storage import Choose

T = TypeVar("T")

DELETES_AT_ONCE: Final = 1000
RETRIES: Final = 3
PROBE: Final = "readiness-probe"


class ObjectStorage:
    """`prefix` stands before every key; `copies` are for those who need a path. Every request ends in `timeout_s`.

    Without `key_id` and `secret` the credentials are found as AWS's own tools find them.
    """

    def __init__(
        self,
        bucket: str,
        copies: Copies,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        key_id: str | None = None,
        secret: str | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        given = {"endpoint": endpoint, "region": region, "access_key_id": key_id, "secret_access_key": secret}
        self._copies = copies
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            client_options={
                "allow_http": (endpoint or "").startswith("http://"),
                "timeout": timedelta(seconds=timeout_s),
                "connect_timeout": timedelta(seconds=min(timeout_s, 5.0)),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=timeout_s),
                "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=2)},
            },
            **cast("Any", {name: value for name, value in given.items() if value is not None}),
        )

    async def keep(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int, origin: str | None = None) -> Kept:
        intake = Intake(_checked(key), chunks, max_bytes)
        first = await intake.part()
        if intake.is_over:
            with failures_translated(key, _no_bucket(key)):
                await obstore.put_async(self._store, key, first, use_multipart=False)
        else:
            await put_in_parts(self._store, key, first, intake, _no_bucket(key))
        return intake.kept()

    async def open(self, location: str, choose: Choose, *, size_bytes: int | None = None) -> ObjectReading:
        size = await self._size(_checked(location)) if size_bytes is None else size_bytes
        start, stop = choose(size)
        if start >= stop:
            # Even who reads nothing of it is told when it is gone.
            return ObjectReading(self._store, location, await self._size(location), b"", (stop, stop))
        middle = min(stop, start + CHUNK_BYTES)
        with failures_translated(location, FileGone(location)):
            found = await obstore.get_async(self._store, location, options={"range": (start, middle)})
            true_size, first = found.meta["size"], bytes(await found.bytes_async())
        if true_size != size:
            return await self.open(location, choose)
        return ObjectReading(self._store, location, size, first, (middle, stop))

    async def inspect(self, location: str, look: Callable[[BinaryIO], T]) -> T:
        size = await self._size(_checked(location))
        remote = io.BufferedReader(RemoteFile(self._store, location, size), LOOK_BYTES)
        return await asyncio.to_thread(look, remote)

    @contextlib.asynccontextmanager
    async def local(self, location: str) -> AsyncIterator[Path]:
        size = await self._size(_checked(location))
        async with self._copies.local(location, lambda: self._whole(location), size) as path:
            yield path

    def path_of(self, location: str) -> Path | None:
        return None

    async def delete_prefix(self, prefix: str) -> None:
        key = _checked(prefix.removesuffix("/"))
        with failures_translated(key, _no_bucket(key)):
            await self._delete([key])
            # Listed by segments: "a/one" finds "a/one/0" and spares "a/one-more/0".
            async for found in obstore.list(self._store, key, chunk_size=DELETES_AT_ONCE):
                await self._delete([entry["path"] for entry in found])
        await self._copies.delete_prefix(key)

    async def check_writable(self) -> None:
        with failures_translated(PROBE, _no_bucket(PROBE)):
            await obstore.put_async(self._store, PROBE, b"comfy-relay can write here\n", use_multipart=False)

    async def sweep(self) -> int:
        return await self._copies.sweep()

    async def _size(self, key: str) -> int:
        with failures_translated(key, FileGone(key)):
            return (await obstore.head_async(self._store, key))["size"]

    async def _delete(self, keys: Sequence[str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(self._store, keys)

    @contextlib.asynccontextmanager
    async def _whole(self, location: str) -> AsyncIterator[AsyncIterator[bytes]]:
        reading = await self.open(location, lambda size: (0, size))
        try:
            yield _chunks(reading)
        finally:
            await reading.aclose()


def _checked(key: str) -> str:
    if not is_key(key):
        raise BadKey(key)
    return key


def _no_bucket(key: str) -> StorageUnavailable:
    return StorageUnavailable(key, "the bucket does not exist")


async def _chunks(reading: ObjectReading) -> AsyncIterator[bytes]:
    chunk = reading.first
    while chunk:
        yield chunk
        chunk = await reading.read()
