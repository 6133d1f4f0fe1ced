"""Assets: files by the ids that workflows of the Comfy API v2 name them by, whether they were sent or made here.

Owns what an id leads to - an asset, an upload, a generation's output - and the hashes of what is sent. Taking a file in
is `Uploads`' business; an asset is but a name for one, and deleting it deletes no file.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from app import clock
from app.asset_records import HASH, KEY_TTL_S, Asset, is_asset_id, output_place
from app.db.asset_shelf import AssetShelf
from app.db.repository import Repository
from app.errors import NotFound
from app.reading import is_stored
from app.records import Generation, Output
from app.storage import Storage, StoredOutput
from app.uploads import Upload, Uploads
from app.v2_errors import AssetInUse, BlobNotFound, HashMismatch, KeySpent

MAX_SHOWN_CHARS: Final = 100
"""Of an id that is none."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that has arrived. `is_new`: nobody sent its content before."""

    upload: Upload
    hash: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """An asset that is a file somebody sent. `asset` None: it was sent as an upload, and has its id."""

    upload: Upload
    asset: Asset | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """An asset that is an output of a generation."""

    record: Generation
    stored: StoredOutput

    @property
    def output(self) -> Output:
        return self.stored.output


class Assets:
    """`storage` tells whether a file is still there."""

    def __init__(
        self,
        shelf: AssetShelf,
        uploads: Uploads,
        repository: Repository,
        storage: Storage,
        *,
        wall: Callable[[], float] = clock.now,
    ) -> None:
        self._shelf, self._uploads, self._repository, self._storage = shelf, uploads, repository, storage
        self._wall = wall

    async def check_key(self, key: str) -> None:
        """Raises KeySpent if an asset was made under this key within a day."""
        if await self._shelf.is_spent(key, self._wall() - KEY_TTL_S):
            raise KeySpent

    async def take(self, chunks: AsyncIterator[bytes], file_path: str, expected_hash: str | None) -> Taken:
        """Take in a file. Raises HashMismatch, and what `Uploads.keep` raises: then nothing is left behind."""
        content, began = blake3(), round(self._wall(), 6)  # As exact as a date on record.
        async with contextlib.aclosing(_hashed(chunks, content, expected_hash)) as hashed:
            upload = await self._uploads.keep(hashed, file_path)
        # An upload that was there before keeps its date.
        return Taken(upload, _written(content), upload.created_at >= began)

    async def mint(self, taken: Taken, file_path: str, key: str | None) -> Sent:
        """A new asset of a file that has arrived. Raises KeySpent."""
        return await self._named(taken.upload, taken.hash, file_path, key)

    async def mint_again(self, content_hash: str, file_path: str | None) -> Sent:
        """A new asset of a content that is here, without sending it again. Raises BlobNotFound."""
        known = await self.by_hash(content_hash)
        path = file_path or (known.asset.file_path if known.asset is not None else known.upload.filename)
        return await self._named(known.upload, content_hash, path, None)

    async def by_hash(self, content_hash: str) -> Sent:
        """The newest asset of a content whose file is there. Raises BlobNotFound."""
        asset = await self._shelf.by_hash(content_hash) if HASH.fullmatch(content_hash) else None
        if asset is None:
            raise BlobNotFound
        upload = await self._uploads.get(asset.upload_id)
        if not await is_stored(self._storage, upload.location):
            raise BlobNotFound
        return Sent(upload, asset)

    async def get(self, asset_id: str) -> Sent | Made:
        """What has this id. Raises NotFound."""
        if not is_asset_id(asset_id):
            raise NotFound("asset", asset_id[:MAX_SHOWN_CHARS])
        if (place := output_place(asset_id)) is not None:
            return await self._made(asset_id, place.first_id, place.last_id, place.number)
        if (asset := await self._shelf.get(asset_id)) is not None:
            return Sent(await self._uploads.get(asset.upload_id), asset)
        try:
            return Sent(await self._uploads.get(asset_id))
        except NotFound as error:
            raise NotFound("asset", asset_id) from error

    async def delete(self, asset_id: str) -> None:
        """Forget an asset; its file stays. Raises NotFound, and AssetInUse for outputs and for plain uploads."""
        if not await self._shelf.delete(asset_id):
            await self.get(asset_id)
            raise AssetInUse

    async def as_input(self, asset_id: str) -> Upload:
        """The file as a workflow takes it in; an output becomes an upload for that. Raises NotFound and BadSource."""
        match await self.get(asset_id):
            case Sent(upload=upload):
                return upload
            case Made(record=record, stored=stored):
                place = record.outputs.index(stored.output)
                return await self._uploads.from_source(f"/api/generations/{record.id}/outputs/{place}")

    async def _made(self, asset_id: str, first_id: str, last_id: str, number: int) -> Made:
        generation_id = await self._shelf.generation_between(first_id, last_id)
        record = None if generation_id is None else await self._repository.get(generation_id)
        outputs = () if record is None else record.outputs
        output = next((each for each in outputs if each.index == number), None)
        if record is None or output is None:
            raise NotFound("asset", asset_id)
        return Made(record, StoredOutput.of(self._storage, output))

    async def _named(self, upload: Upload, content_hash: str, file_path: str, key: str | None) -> Sent:
        now = self._wall()
        asset = Asset(
            id=str(uuid.uuid4()),
            upload_id=upload.id,
            hash=content_hash,
            file_path=file_path,
            idempotency_key=key,
            created_at=now,
        )
        if not await self._shelf.add(asset, keys_since=now - KEY_TTL_S):
            raise KeySpent
        return Sent(upload, asset)


async def _hashed(
    chunks: AsyncIterator[bytes], content: blake3, expected_hash: str | None
) -> AsyncGenerator[bytes, None]:
    """The chunks, with `content` told of each; HashMismatch at their end if they are not what was expected."""
    async for chunk in chunks:
        content.update(chunk)
        yield chunk
    if expected_hash is not None and _written(content) != expected_hash:
        raise HashMismatch


def _written(content: blake3) -> str:
    return f"blake3:{content.hexdigest()}"
