"""Uploads on a database and a folder of their own, for the tests of what goes in."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from app.addresses import Allowed
from app.db import Database, Repository
from app.db.upload_shelf import UploadShelf
from app.fetching import Fetcher
from app.intake import Upload
from app.local_storage import LocalStorage
from app.records import Generation, Output, OutputKind
from app.screening import Screening
from app.uploads import Uploads
from tests import files
from tests.waiting import WITHIN_S
from tests.web import LOOPBACK, Names

NOBODY = "00000000-0000-4000-8000-000000000000"
PICTURE = files.png()


@dataclass
class Place:
    """Uploads on a database and a folder of their own."""

    uploads: Uploads
    shelf: UploadShelf
    repository: Repository
    database: Database
    storage: LocalStorage
    folder: Path

    @property
    def stored(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    async def content(self, upload: Upload) -> bytes:
        async with self.uploads.file(upload).local() as path:
            return path.read_bytes()


async def opened(stack: AsyncExitStack, url: str, folder: Path) -> Place:
    database = await stack.enter_async_context(Database(url))
    repository = await stack.enter_async_context(Repository(database))
    shelf, storage = UploadShelf(database), LocalStorage(folder)
    fetcher = Fetcher(
        Allowed.of(["good.test"]), timeout_s=WITHIN_S, max_bytes=100_000, resolve=Names(good_test=[[LOOPBACK]])
    )
    screening = Screening(1_000_000)
    stack.callback(fetcher.close)
    stack.callback(screening.close)
    uploads = Uploads(storage, shelf, repository, fetcher, screening, max_bytes=100_000, wall=lambda: 1234.5)
    return Place(uploads, shelf, repository, database, storage, folder)


async def bytes_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


async def generation(place: Place, *outputs: Output) -> str:
    """A finished generation with these outputs on record."""
    record = Generation(id=NOBODY, prompt_id=NOBODY, outputs=outputs, created_at=1.0)
    await place.repository.add(record, workflow={}, request={})
    return record.id


async def output(place: Place, index: int, content: bytes, kind: OutputKind = OutputKind.IMAGE) -> Output:
    """An output that is kept."""
    kept = await place.storage.keep(f"outputs/{index}", bytes_of(content), max_bytes=10**6)
    return Output(
        index=index,
        node_id="9",
        kind=kind,
        filename=f"out_{index}.png",
        mime_type="image/png",
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
        location=kept.location,
    )
