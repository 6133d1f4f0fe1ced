"""The archive of a batch: a zip of all its files with a manifest, made while it is sent.

Owns what files are called in it and what the manifest says. Nothing is kept but the directory and the manifest, and
those on disk when they grow: a batch of ten thousand takes no more memory than one of ten.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import IO, Any, Final

import msgspec

from app.batches import Batches, Standing
from app.records import TERMINAL, Generation, Output
from app.storage import FileGone, StorageUnavailable, StoredFile, StoredOutput
from app.zips import ZipStream

MANIFEST: Final = "manifest.json"
IN_MEMORY_BYTES: Final = 1024 * 1024
MAX_NAME_CHARS: Final = 60

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,8}$")
_encode = msgspec.json.encode


async def archive(batches: Batches, standing: Standing, created: datetime | None = None) -> AsyncIterator[bytes]:
    """The bytes of the archive: the files of every item that has ended, in order, and then the manifest.

    A file that is gone is left out, and the manifest says so. Where the storage fails midway the stream breaks off:
    what arrived is then no archive, and everybody can see it.
    """
    at = created or datetime.now(UTC)
    zipped = ZipStream((at.year, at.month, at.day, at.hour, at.minute, at.second))
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as manifest:
        manifest.write(_head(standing, at))
        count = 0
        async for page in batches.items(standing.batch.id, sorted(TERMINAL)):
            for record in page:
                names: dict[int, str] = {}
                async for piece in _files(zipped, batches.outputs(record), _stem(record, standing), names):
                    yield piece
                manifest.write((b",\n" if count else b"\n") + _encode(_entry(record, names)))
                count += 1
        manifest.write(b"\n]}\n")
        for piece in _manifest(zipped, manifest):
            yield piece
        yield zipped.finish()


async def _files(
    zipped: ZipStream, outputs: tuple[StoredOutput, ...], stem: str, names: dict[int, str]
) -> AsyncIterator[bytes]:
    """The files of an item; `names` gets what each is called in the archive, by its index."""
    kept = [(each.output, each.file) for each in outputs if each.file is not None]
    for number, (output, file) in enumerate(kept):
        name = f"{stem}{f'-{number + 1}' if len(kept) > 1 else ''}{_extension(output)}"
        with contextlib.suppress(FileGone):
            async with contextlib.aclosing(_file(zipped, file, name)) as pieces:
                async for piece in pieces:
                    names[output.index] = name
                    yield piece


async def _file(zipped: ZipStream, file: StoredFile, name: str) -> AsyncGenerator[bytes, None]:
    reading = await file.open(_whole)
    try:
        yield zipped.begin(name)
        piece, left = reading.first, reading.size
        while piece:
            left -= len(piece)
            yield zipped.data(piece)
            piece = await reading.read()
        if left:
            raise StorageUnavailable(file.location, "a file ended too early")
        yield zipped.end()
    finally:
        await reading.aclose()


def _manifest(zipped: ZipStream, manifest: IO[bytes]) -> Iterator[bytes]:
    yield zipped.begin(MANIFEST)
    manifest.seek(0)
    while piece := manifest.read(IN_MEMORY_BYTES):
        yield zipped.data(piece)
    yield zipped.end()


def _head(standing: Standing, at: datetime) -> bytes:
    """The manifest up to its items; written by hand, for the items come one by one."""
    batch = standing.batch
    facts: dict[str, Any] = {
        "batchId": batch.id,
        "total": batch.total,
        "isComplete": standing.is_over,
        "createdAt": datetime.fromtimestamp(batch.created_at, UTC),
        "archivedAt": at,
        "metadata": batch.metadata,
    }
    return _encode(facts)[:-1] + b',"items":['


def _entry(record: Generation, names: dict[int, str]) -> dict[str, Any]:
    """What the manifest says of an item. `file` is null where the file is gone, or where the output is a mere text."""
    return {
        "index": record.batch_index,
        "key": record.item_key,
        "generationId": record.id,
        "status": record.status,
        "template": record.template,
        "prompt": record.prompt_text,
        "seed": record.seed,
        "params": record.params,
        "files": [_file_entry(output, names.get(output.index)) for output in record.outputs],
        "error": record.error,
    }


def _file_entry(output: Output, name: str | None) -> dict[str, Any]:
    return {
        "file": name,
        "sha256": output.sha256,
        "sizeBytes": output.size_bytes,
        "mimeType": output.mime_type,
        "kind": output.kind,
        "width": output.width,
        "height": output.height,
        "nodeId": output.node_id,
        **({"text": output.text} if output.text is not None else {}),
    }


def _stem(record: Generation, standing: Standing) -> str:
    """The name of an item's files: its place, so that they sort, and its key as far as it is fit for a name."""
    width = max(4, len(str(standing.batch.total)))
    place = f"{(record.batch_index or 0):0{width}}"
    name = _UNSAFE.sub("-", record.item_key or "").strip("-.")[:MAX_NAME_CHARS]
    return f"{place}-{name}" if name else place


def _extension(output: Output) -> str:
    found = _EXTENSION.search(output.filename)
    return found[0].lower() if found else ""


def _whole(size: int) -> tuple[int, int]:
    return 0, size
