"""What a batch command remembers in its folder, so that it can be killed at any moment and started again.

Owns one file of lines: first what the batch is, then, appended as it happens, its id and each item that is kept. A
line that was cut off is none. One command at a time works in a folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, TypeVar

import msgspec

from app.commands.errors import Misuse

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two commands apart there.
    fcntl = None  # type: ignore[assignment]

NAME: Final = ".comfy-relay-batch.jsonl"
VERSION: Final = 1

T = TypeVar("T")


class KeptFile(msgspec.Struct, frozen=True, rename="camel"):
    """A file in the folder, by its name there."""

    file: str
    sha256: str
    size_bytes: int


class Header(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="is", tag="batch"):
    """The batch: `fingerprint` is that of what all items have, `source` the name of its file."""

    version: int = VERSION
    idempotency_key: str
    fingerprint: str
    source: str


class Accepted(msgspec.Struct, frozen=True, rename="camel", tag_field="is", tag="accepted"):
    """The service has it, under this id."""

    batch_id: str


class Kept(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="is", tag="kept"):
    """An item whose files are all in the folder."""

    key: str
    generation_id: str
    files: tuple[KeptFile, ...]


class State:
    """The open state of a folder. `kept` are the items by key; it only grows."""

    def __init__(self, file: IO[bytes], header: Header, lines: list[Accepted | Kept], *, is_new: bool) -> None:
        self._file = file
        self.header, self.is_new = header, is_new
        self.batch_id: str | None = None
        self.kept: dict[str, Kept] = {}
        for line in lines:
            self._learn(line)

    def write(self, line: Accepted | Kept) -> None:
        """Have it on disk, as far as the system does not crash, before this returns."""
        self._learn(line)
        _append(self._file, line)

    def _learn(self, line: Accepted | Kept) -> None:
        if isinstance(line, Accepted):
            self.batch_id = line.batch_id
        else:
            self.kept[line.key] = line


@contextlib.contextmanager
def opened(folder: Path, new: Header, *, starts_anew: bool = False) -> Iterator[State]:
    """The state in a folder, which is made; `new` becomes the header of one without. Raises Misuse for a folder that
    another command works in or that has a state of another version.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / NAME).open("a+b")
    except OSError as error:
        raise Misuse(f"{folder}: cannot be written ({error.strerror}); choose another folder with -o") from error
    with file:
        _lock(file, folder)
        if starts_anew:
            file.truncate(0)
        header, lines = _read(file, folder)
        if header is not None and not lines and header.fingerprint != new.fingerprint:
            header = None  # It was never accepted: a mistake in it may be corrected.
        if header is None:
            file.truncate(0)
            _append(file, new)
            os.fsync(file.fileno())
        yield State(file, header or new, lines, is_new=header is None)


def _lock(file: IO[bytes], folder: Path) -> None:
    if fcntl is not None:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Misuse(
                f"{folder}: another comfy-relay batch works there; wait for it, or choose another -o"
            ) from error


def _read(file: IO[bytes], folder: Path) -> tuple[Header | None, list[Accepted | Kept]]:
    file.seek(0)
    whole = file.read()
    raw = whole[: whole.rfind(b"\n") + 1]
    if len(raw) < len(whole):  # What comes next must not be written behind half a line.
        file.truncate(len(raw))
    if not raw:
        return None, []
    first, *rest = raw.splitlines()
    try:
        header = msgspec.json.decode(first, type=Header)
        lines = [msgspec.json.decode(line, type=Accepted | Kept) for line in rest]
    except msgspec.DecodeError as error:
        raise Misuse(
            f"{folder / NAME}: cannot be read; choose another folder with -o, or start over with --fresh"
        ) from error
    if header.version != VERSION:
        raise Misuse(f"{folder / NAME}: was written by another version; choose another folder with -o")
    return header, lines


def _append(file: IO[bytes], line: Header | Accepted | Kept) -> None:
    file.write(msgspec.json.encode(line) + b"\n")
    file.flush()
