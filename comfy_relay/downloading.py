"""Operations that fetch files: to disk, or into memory. Owns how a file arrives whole.

A file is written beside its place under another name and renamed when it is complete: whatever is there under its own
name is whole. After a drop it goes on where it was (`Range`, as long as it is the same file: `If-Range`).
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from comfy_relay import naming
from comfy_relay.batching import NamedBatch
from comfy_relay.batching import id_of as batch_id_of
from comfy_relay.effects import Close, Head, Lost, Steps, read, together, work
from comfy_relay.errors import DamagedFile
from comfy_relay.exchange import Core, Patience, begun
from comfy_relay.generating import get
from comfy_relay.records import Generation, Output, Upload

Fetchable: TypeAlias = Output | Upload | str
"""A file on record, or a URL out of an answer."""

Folder: TypeAlias = str | os.PathLike[str]

TRIES: Final = 2
"""How often a file is fetched that is not the one on record."""

FETCHES: Final = 4
"""How many files of a generation come at a time."""


def url_of(core: Core, /, what: Fetchable) -> str:
    """The whole address of a file. Raises ValueError for one that is somewhere else: it is no business of this client.

    Addresses in answers begin at the root of the service, wherever that is.
    """
    url = what if isinstance(what, str) else what.url
    if not urlsplit(url).scheme and not url.startswith("//"):
        return f"{core.base}/{url.lstrip('/')}"
    if not url.startswith(f"{core.base}/"):
        raise ValueError(f"{url} is no address of the service at {core.base}")
    return url


def read_file(core: Core, /, what: Fetchable) -> Steps[bytes]:
    """The content of a file, checked against the record."""
    for _ in range(TRIES):
        with io.BytesIO() as memory:
            yield from _fetched(core, url_of(core, what), memory)
            content = memory.getvalue()
        if _is_whole(what, len(content), hashlib.sha256(content).hexdigest()):
            return content
    raise DamagedFile(_name(what))


def download(core: Core, /, what: Fetchable, to: Folder = ".") -> Steps[Path]:
    """Fetch a file to `to`, a folder or the path of the new file, and give its path.

    In a folder it is called as on record, with a number where that name is taken by something else; a file of that
    name and the same content is left as it is. A path of its own is replaced. Folders are made. Raises OSError.
    """
    place = yield from work(lambda: _place(what, to))
    if place.is_there:
        return place.path
    for _ in range(TRIES):
        with _beside(place.path) as part:
            with part.open("wb") as file:
                yield from _fetched(core, url_of(core, what), file)
            size, digest = yield from work(lambda: _measured(part))
            if _is_whole(what, size, digest):
                return (yield from work(lambda: place.take(part)))
    raise DamagedFile(_name(what))


def download_all(core: Core, /, generation: str | Generation, folder: Folder = ".") -> Steps[tuple[Path, ...]]:
    """Fetch every file of a generation into a folder, and give their paths in the order of its outputs.

    AsyncClient fetches up to four at a time. A record from before its end is read anew: it has no files yet.
    """
    record = generation
    if isinstance(record, str) or not record.is_over:
        record = yield from get(core, record)
    namesakes: dict[str, list[int]] = {}
    for number, output in enumerate(record.outputs):
        namesakes.setdefault(_name(output).casefold(), []).append(number)
    fetches = [_downloads(core, record.outputs, numbers, folder) for numbers in namesakes.values()]
    paths: dict[int, Path] = {}
    for fetched in (yield from together(fetches, FETCHES)):
        paths |= fetched
    return tuple(path for _, path in sorted(paths.items()))


def download_archive(core: Core, /, batch: NamedBatch, to: Folder = ".") -> Steps[Path]:
    """Fetch the archive of a batch, a zip of its files with a `manifest.json`, to a folder or a path.

    It is made while it is sent: after a drop it begins anew.
    """
    batch_id = batch_id_of(batch)
    path = yield from work(lambda: _path(to, f"batch-{naming.safe(batch_id[:8], 'archive')}.zip"))
    with _beside(path) as part:
        with part.open("wb") as file:
            yield from _fetched(core, core.url("api", "batches", batch_id, "archive"), file)
        return (yield from work(lambda: part.replace(path)))


def _downloads(core: Core, outputs: Sequence[Output], numbers: Sequence[int], folder: Folder) -> Steps[dict[int, Path]]:
    """Some of the outputs, one after the other: those of one name get their numbers in their order."""
    paths: dict[int, Path] = {}
    for number in numbers:
        paths[number] = yield from download(core, outputs[number], f"{os.fspath(folder)}/")
    return paths


def _fetched(core: Core, url: str, file: IO[bytes]) -> Steps[None]:
    """The whole of what is at `url`, into `file`, from where it got to before a drop."""
    patience, tag, furthest = Patience(core), "", 0
    while True:
        have = file.tell()
        headers = {"Range": f"bytes={have}-", "If-Range": tag} if have and tag else {}
        request = core.request("GET", url=url, headers={"Accept-Encoding": "identity", **headers})
        head = yield from begun(core, request, patience, accepted=(416,) if headers else ())
        if head.status == 416:
            tag = ""
            continue
        if head.status != 206:
            file.seek(0)
            file.truncate()
        tag = _strong(head)
        try:
            while piece := (yield from read()):
                yield from work(partial(file.write, piece))
                if file.tell() > furthest:
                    furthest = file.tell()
                    patience.renew()
        except Lost as lost:
            yield from patience.after_loss(lost)
        else:
            yield Close()
            return


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file is to be. `is_there`: it is already. `is_free`: nothing else may be replaced by it."""

    path: Path
    is_there: bool = False
    is_free: bool = False

    def take(self, part: Path) -> Path:
        """Put the finished file there; beside it, if somebody else was quicker."""
        path, number = self.path, 1
        while self.is_free:
            try:
                path.open("xb").close()
            except FileExistsError:
                number += 1
                path = self.path.with_name(naming.numbered(self.path.name, number))
            else:
                break
        return part.replace(path)


def _place(what: Fetchable, to: Folder) -> _Place:
    path = _path(to, _name(what))
    if not _is_folder(to):
        return _Place(path)
    number, free = 1, path
    while free.exists():
        if _is_known(what) and _is_whole(what, *_measured(free)):
            return _Place(free, is_there=True)
        number += 1
        free = path.with_name(naming.numbered(path.name, number))
    return _Place(free, is_free=True)


def _path(to: Folder, name: str) -> Path:
    """Where a file of that name goes; its folder is there then."""
    path = Path(to) / name if _is_folder(to) else Path(to)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _is_folder(to: Folder) -> bool:
    return Path(to).is_dir() or os.fspath(to).endswith(("/", os.sep))


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A path for what is not complete yet; nothing is left of it afterwards."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _name(what: Fetchable) -> str:
    if isinstance(what, str):
        return naming.safe(unquote(urlsplit(what).path), "file")
    default = f"output-{what.index}" if isinstance(what, Output) else f"upload-{what.id[:8]}"
    return naming.safe(what.filename, default)


def _is_known(what: Fetchable) -> bool:
    """Whether the record says what the file is. Texts that are no file are sent as text, in whatever bytes."""
    is_text = isinstance(what, Output) and what.text is not None
    return not isinstance(what, str) and what.sha256 is not None and not is_text


def _is_whole(what: Fetchable, size: int, digest: str) -> bool:
    if isinstance(what, str) or not _is_known(what):
        return True
    return digest == what.sha256 and what.size_bytes in (None, size)


def _measured(path: Path) -> tuple[int, str]:
    """Size and SHA-256."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _strong(head: Head) -> str:
    """The strong ETag of an answer, or nothing: only that tells that a file is the same byte by byte."""
    tag = head.headers.get("etag", "")
    return "" if tag.startswith("W/") else tag
