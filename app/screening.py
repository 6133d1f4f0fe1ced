"""Is this a file we take in? By its beginning while it comes, and for pictures by decoding them once they are here.

Owns the limit on pixels and the threads that decode. Keeps nothing and deletes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from app.errors import Unavailable, UnsupportedMedia, UnusableFile
from app.filetypes import FileType
from app.intake import ACCEPTED, SNIFF_BYTES, accepted_type, picture_size
from app.pictures import Conversion, PictureError, PictureFormat, convert, dimensions
from app.records import OutputKind

AT_ONCE: Final = 2
"""Pictures decoded at a time: each may hold a few copies of its pixels, so this bounds memory."""

TIMEOUT_S: Final = 60.0
"""Decoding takes a second or two; past this the queue in front of it is the reason."""

# Decoding is the proof; the small picture that comes of it is thrown away.
_PROOF: Final = Conversion(PictureFormat.PNG, width=64)


class Screening:
    """`max_pixels` bounds a picture by its header, before anything of it is decoded."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="screen")

    async def screened(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The same bytes, as soon as their beginning has passed `screen`."""
        head, is_screened = b"", False
        async for chunk in chunks:
            if is_screened:
                yield chunk
                continue
            head += chunk
            if len(head) >= SNIFF_BYTES:
                self.screen(head)
                is_screened = True
                yield head
        if not is_screened:
            self.screen(head)
            yield head

    def screen(self, head: bytes) -> FileType:
        """The type of a file that begins like this; UnsupportedMedia or UnusableFile where that much tells."""
        if not head:
            raise UnusableFile("The file is empty; send its content.")
        found = accepted_type(head)
        if found is None:
            raise UnsupportedMedia(ACCEPTED)
        if found.kind is OutputKind.IMAGE and (size := picture_size(head) or dimensions(head)) is not None:
            self._measure(size)
        return found

    async def proven(self, path: Path, head: bytes) -> tuple[int, int]:
        """Width and height of a picture that decodes to its end; UnusableFile for one that does not."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await loop.run_in_executor(self._workers, self._prove, path, head)
        except TimeoutError as error:
            raise Unavailable("check of pictures") from error

    def close(self) -> None:
        """Drop the pictures that wait; the one being decoded ends by itself."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _prove(self, path: Path, head: bytes) -> tuple[int, int]:
        size = picture_size(head) or dimensions(head) or dimensions(path)
        if size is None:
            raise _broken()
        self._measure(size)
        try:
            convert(path, _PROOF)
        except PictureError as error:
            raise _broken() from error
        return size

    def _measure(self, size: tuple[int, int]) -> None:
        width, height = size
        if width * height > self._max_pixels:
            raise UnusableFile(
                f"The picture is {width} x {height} pixels; send one of at most {self._max_pixels} pixels in all."
            )


def _broken() -> UnusableFile:
    return UnusableFile("The picture is broken or cut off: it cannot be decoded to its end; send it again, whole.")
