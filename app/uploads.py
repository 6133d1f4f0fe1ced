"""What goes in: files that callers send, point at, or made here before. Owns their way into the storage and on record.

A file is believed only by its content, and kept once however often it is sent. Nothing of a file that is refused, or
whose sender hangs up, stays behind. Where it is needed then is `app.placing`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from app import clock, data_urls
from app.db.repository import Repository
from app.db.upload_shelf import UploadShelf
from app.errors import BadSource, BodyTooLarge, NotFound, Unavailable, UnsupportedMedia, UnusableFile
from app.fetching import Fetcher
from app.intake import Upload, shown_name
from app.reading import is_stored, read_stored
from app.records import Output, OutputKind
from app.screening import Screening
from app.storage import FileGone, FileTooLarge, Kept, Storage, StorageError, StoredFile

log = logging.getLogger(__name__)

__all__ = ["Upload", "Uploads"]

_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID: Final = re.compile(_UUID)
_OUR_UPLOAD: Final = re.compile(f"/api/uploads/({_UUID})(?:/content)?")
_OUR_OUTPUT: Final = re.compile(f"/api/generations/({_UUID})/(images|outputs)/([0-9]{{1,7}})")


class Uploads:
    """`max_bytes` bounds a file, `screening` decides what it may be."""

    def __init__(
        self,
        storage: Storage,
        shelf: UploadShelf,
        repository: Repository,
        fetcher: Fetcher,
        screening: Screening,
        *,
        max_bytes: int,
        wall: Callable[[], float] = clock.now,
    ) -> None:
        self._storage, self._shelf, self._repository, self._fetcher = storage, shelf, repository, fetcher
        self._screening, self.max_bytes, self._wall = screening, max_bytes, wall

    async def keep(self, chunks: AsyncIterator[bytes], filename: str | None) -> Upload:
        """Take in a file; the same content again is the same upload, under its first name.

        Raises UnsupportedMedia, UnusableFile, BodyTooLarge or Unavailable, and what `chunks` raises: then nothing is
        left behind. The caller closes `chunks` and puts a time limit on it.
        """
        upload_id = str(uuid4())
        key = f"uploads/{upload_id[:2]}/{upload_id}"
        try:
            with self._told():
                async with contextlib.aclosing(self._screening.screened(chunks)) as screened:
                    kept = await self._storage.keep(key, screened, max_bytes=self.max_bytes)
                upload = await self._recorded(upload_id, kept, filename)
        except BaseException:
            await asyncio.shield(self._discard(key))
            raise
        if upload.location != key:
            await self._discard(key)
        return upload

    async def get(self, upload_id: str) -> Upload:
        """The upload of this id; raises NotFound."""
        upload = await self._shelf.get(upload_id)
        if upload is None:
            raise NotFound("upload", upload_id)
        return upload

    def file(self, upload: Upload) -> StoredFile:
        """Its file, wherever that is; nothing is opened yet."""
        return StoredFile(self._storage, upload.location, upload.size_bytes)

    async def from_source(self, source: str, own_host: str | None = None) -> Upload:
        """What a caller means by an upload's id, a data URL, an http(s) URL, or a URL out of an answer of ours.

        `own_host`: `host:port` by which the caller speaks to us; absolute URLs to it are ours too. Raises BadSource
        whatever is wrong with the source, and Unavailable where nothing is wrong with it.
        """
        try:
            return await self._from_source(source.strip(), own_host)
        except BodyTooLarge as error:
            raise BadSource(f"The file has more than the {self.max_bytes} bytes that are taken.") from error
        except (NotFound, UnsupportedMedia, UnusableFile) as error:
            raise BadSource(error.detail) from error

    async def _from_source(self, source: str, own_host: str | None) -> Upload:
        if _ID.fullmatch(source):
            return await self.get(source)
        scheme = source[:8].partition(":")[0].lower()
        if scheme == "data":
            return await self.keep(_decoded(source), None)
        path = _own_path(source, scheme, own_host)
        if path is not None:
            return await self._from_own(path)
        if scheme not in {"http", "https"}:
            raise BadSource("Send an upload's id, a data URL (data:image/png;base64,...), or an http(s) URL.")
        async with self._fetcher.open(source) as found:
            return await self.keep(found.chunks, found.filename)

    async def _from_own(self, path: str) -> Upload:
        """A file of our own routes: nothing is fetched, and a generation that is deleted takes no input with it."""
        if ours := _OUR_UPLOAD.fullmatch(path):
            return await self.get(ours[1])
        if (ours := _OUR_OUTPUT.fullmatch(path)) is None:
            raise BadSource("The URL is this service's own, but of no file; send the URL of an image or an output.")
        record = await self._repository.get(ours[1])
        outputs: tuple[Output, ...] = () if record is None else getattr(record, ours[2])
        output = outputs[int(ours[3])] if int(ours[3]) < len(outputs) else None
        if output is None or output.location is None:
            raise BadSource("There is no such file of a generation; take its URL out of the finished record.")
        known = await self._shelf.by_content(output.sha256)
        try:
            with self._told():
                if known is not None and await self._is_there(known):
                    return known
                async with contextlib.aclosing(read_stored(self._storage, output.location)) as chunks:
                    return await self.keep(chunks, output.filename)
        except FileGone as error:
            raise BadSource("The file of this generation is no longer stored; run the generation again.") from error

    async def _recorded(self, upload_id: str, kept: Kept, filename: str | None) -> Upload:
        known = await self._shelf.by_content(kept.sha256)
        if known is not None and await self._is_there(known):
            return known
        upload = await self._described(upload_id, kept, filename)
        if known is not None:
            # Its file was lost, and here it is again; what refers to the upload is whole once more.
            await self._shelf.move(known, kept.location)
            return await self.get(known.id)
        return await self._shelf.add(upload)

    async def _described(self, upload_id: str, kept: Kept, filename: str | None) -> Upload:
        kind, mime_type = self._screening.screen(kept.head)
        width, height = None, None
        if kind is OutputKind.IMAGE:
            async with self._storage.local(kept.location) as path:
                width, height = await self._screening.proven(path, kept.head)
        return Upload(
            id=upload_id,
            sha256=kept.sha256,
            kind=kind,
            mime_type=mime_type,
            filename=shown_name(filename, mime_type),
            size_bytes=kept.size_bytes,
            width=width,
            height=height,
            location=kept.location,
            created_at=self._wall(),
        )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The storage's refusals as a caller is told them, but for a file that is gone: that depends on whose it is."""
        try:
            yield
        except FileGone:
            raise
        except FileTooLarge as error:
            raise BodyTooLarge(self.max_bytes) from error
        except StorageError as error:
            log.warning("an upload could not be kept", extra={"action": "upload", "cause": type(error).__name__})
            raise Unavailable("storage") from error

    async def _is_there(self, upload: Upload) -> bool:
        return await is_stored(self._storage, upload.location)

    async def _discard(self, key: str) -> None:
        """Quiet: it runs when something else was decided already, or went wrong."""
        try:
            await self._storage.delete_prefix(key)
        except StorageError as error:
            facts = {"action": "upload", "key": key, "cause": type(error).__name__}
            log.warning("a file that is not needed could not be removed", extra=facts)


async def _decoded(url: str) -> AsyncIterator[bytes]:
    try:
        for piece in data_urls.decoded(url):
            yield piece
    except ValueError as error:
        raise BadSource("The data URL cannot be read; write it like data:image/png;base64,iVBORw0...") from error


def _own_path(source: str, scheme: str, own_host: str | None) -> str | None:
    """The path of a URL that leads to ourselves; None for other URLs."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return None
    if source.startswith("/") and not parts.netloc:
        return parts.path
    is_ours = scheme in {"http", "https"} and own_host is not None and parts.netloc.lower() == own_host.lower()
    return parts.path if is_ours else None
