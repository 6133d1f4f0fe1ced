"""Converted pictures, kept on disk. Owns its worker threads and a bounded cache folder; never serves and never parses.

Everything in the folder can be made again: it may be emptied at any time. The conversion itself is `app.pictures`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.cache_folder import CacheFolder
from app.pictures import Conversion, PictureError, convert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

log = logging.getLogger(__name__)

MAX_CACHE_BYTES: Final = 1024**3
# Each conversion may hold a few copies of MAX_PIXELS in memory, so the number at once bounds memory, not only time.
CONVERSIONS_AT_ONCE: Final = 2
MAX_WAITING: Final = 64
# The largest picture takes about ten seconds; past this the queue in front of it is the reason.
TIMEOUT_S: Final = 60.0


class ConversionsBusy(PictureError):
    """More pictures wait to be converted than is sensible: try again after `retry_after_s`."""

    def __init__(self, retry_after_s: float = 2.0) -> None:
        super().__init__(f"too many pictures are being converted; try again in {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class Conversions:
    """Makes each conversion once, however many ask for it at the same time, and remembers it.

    A caller that goes away cancels nothing: the conversion is finished for the others, or for the next to ask.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        max_bytes: int = MAX_CACHE_BYTES,
        at_once: int = CONVERSIONS_AT_ONCE,
        convert: Callable[[Path, Conversion], bytes] = convert,
    ) -> None:
        self._convert = convert
        self._cache = CacheFolder(cache_dir, max_bytes)
        self._workers = ThreadPoolExecutor(at_once, thread_name_prefix="convert")
        self._under_way: dict[Path, asyncio.Future[None]] = {}

    async def converted(
        self, source: Path | Callable[[], AbstractAsyncContextManager[Path]], sha256: str, conversion: Conversion
    ) -> Path:
        """The file of `source` (whose content has this hash) as wished; raises PictureError or StorageError.

        `source` is a path, or opens one: only where the conversion has to be made.
        """
        target = self._cache.place(f"{sha256}-{conversion.name}")
        if target not in self._under_way and await asyncio.to_thread(self._cache.has, target):
            return target
        async with _at_hand(source) if isinstance(source, Path) else source() as path:
            work = self._under_way.get(target) or self._start(path, target, conversion)
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await asyncio.shield(work)
            except TimeoutError as exc:
                raise ConversionsBusy from exc
        return target

    async def aclose(self) -> None:
        """Let the running conversions end and drop the waiting ones."""
        await asyncio.to_thread(self._workers.shutdown, cancel_futures=True)

    def _start(self, source: Path, target: Path, conversion: Conversion) -> asyncio.Future[None]:
        if len(self._under_way) >= MAX_WAITING:
            raise ConversionsBusy
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._workers, self._make, source, target, conversion)
        self._under_way[target] = work
        work.add_done_callback(lambda done: self._forget(target, done))
        return work

    def _forget(self, target: Path, done: asyncio.Future[None]) -> None:
        del self._under_way[target]
        # Looking at the error counts as retrieving it: all who asked may have gone away.
        if not done.cancelled() and (error := done.exception()) is not None:
            log.warning("picture not converted", extra={"action": "convert", "reason": str(error)})

    def _make(self, source: Path, target: Path, conversion: Conversion) -> None:
        # Somebody may have made it between this caller's look and its turn.
        if not self._cache.has(target):
            self._cache.put(target, self._convert(source, conversion))


@contextlib.asynccontextmanager
async def _at_hand(path: Path) -> AsyncIterator[Path]:
    yield path
