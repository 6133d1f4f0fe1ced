"""Finished files into a folder. Owns which name a file gets, and that what is there whole is not fetched again.

A file appears under its name only when it is whole: the client sees to that, and compares it with the record.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.commands import names
from app.commands.batch_state import KeptFile
from app.commands.errors import Unwritable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfy_relay import AsyncClient, Output

AT_ONCE: Final = 6
"""Files fetched side by side."""


class Shelf:
    """A folder that files are put into. Names of ours are given once, however many ask for one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._given: set[Path] = set()
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def save(self, client: AsyncClient, outputs: Sequence[Output], stem: str) -> tuple[KeptFile, ...]:
        """All files of a generation, in their order. Raises Unwritable where the folder cannot be written."""
        kept = []
        for number, output in enumerate(outputs):
            suffix = names.suffix(output.filename, output.mime_type)
            async with self._gate:
                kept.append(await self._saved(client, output, stem, number, len(outputs), suffix))
        return tuple(kept)

    async def is_whole(self, kept: KeptFile) -> bool:
        """Whether the file is there as it was put there."""
        return await asyncio.to_thread(_is_whole, self.folder / kept.file, kept.size_bytes, kept.sha256)

    async def _saved(
        self, client: AsyncClient, output: Output, stem: str, number: int, count: int, suffix: str
    ) -> KeptFile:
        again = 0
        while True:
            path = self.folder / names.file_name(stem, number, count, suffix, again)
            if path not in self._given:
                is_there = path.exists() or path.is_symlink()
                if is_there and await asyncio.to_thread(_is_whole, path, output.size_bytes, output.sha256):
                    break
                if not is_there:
                    self._given.add(path)
                    await self._fetched(client, output, path)
                    break
            again += 1
        self._given.add(path)
        size, digest = await asyncio.to_thread(_measured, path)
        return KeptFile(path.name, output.sha256 or digest, size)

    async def _fetched(self, client: AsyncClient, output: Output, path: Path) -> None:
        try:
            await client.download(output, path)
        except OSError as error:
            raise Unwritable(f"{path}: cannot be written ({error.strerror}); choose another place with -o") from error


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _is_whole(path: Path, size: int | None, sha256: str | None) -> bool:
    try:
        return path.stat().st_size == size and _measured(path) == (size, sha256)
    except OSError:
        return False
