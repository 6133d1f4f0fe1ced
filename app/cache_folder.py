"""A folder of bounded size for what can be had again. Owns counting and throwing out; never knows what the files are.

Half-written files are in a hidden folder of their own, so that throwing out never meets one.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from app.storage import refusals_translated

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

# Trimming goes below the limit, so that a full cache is not listed for every new file.
_TRIM_TO: Final = 0.8


class CacheFolder:
    """Files of at most `max_bytes` together, the least recently used ones removed first. For worker threads.

    The newest file and those in `spared` stay, however large. Methods raise StorageError.
    """

    def __init__(self, folder: Path, max_bytes: int, spared: Container[Path] = ()) -> None:
        self._folder, self._max_bytes, self._spared = folder, max_bytes, spared
        self._total_bytes: int | None = None
        self._lock = threading.Lock()
        self.incoming = folder / ".incoming"

    def place(self, name: str) -> Path:
        return self._folder / name

    def has(self, path: Path) -> bool:
        """Whether it is there; asking marks it as used."""
        try:
            os.utime(path)
        except OSError:
            # A folder that cannot even be asked gets its typed error from the attempt to write.
            return False
        return True

    def put(self, target: Path, content: bytes) -> None:
        """Make the file appear in one step."""
        partial = self.incoming / uuid4().hex
        with refusals_translated(target.name):
            self.incoming.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_bytes(content)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        self.arrived(target, len(content))

    def arrived(self, newest: Path, size: int) -> None:
        """Count a file that was put here by other means, and make room for it."""
        with refusals_translated(newest.name), self._lock:
            if self._total_bytes is not None:
                self._total_bytes += size
            if self._total_bytes is None or self._total_bytes > self._max_bytes:
                self._total_bytes = self._trim(newest)

    def remove(self, name: str, below: str) -> None:
        """Forget the file of this name, and those whose names begin with `below`; the next one has all counted anew."""
        with refusals_translated(name), self._lock:
            for _, _, path in self._files():
                if path.name == name or path.name.startswith(below):
                    path.unlink(missing_ok=True)
                    self._total_bytes = None

    def _trim(self, newest: Path) -> int:
        """Count what is there and remove the oldest down to the mark."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total <= self._max_bytes:
            return total
        for _, size, path in files:
            if total > self._max_bytes * _TRIM_TO and path != newest and path not in self._spared:
                path.unlink(missing_ok=True)
                total -= size
        return total

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        if not self._folder.exists():
            return
        for path in self._folder.iterdir():
            # Another process may just have thrown it out.
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                if path.is_file():
                    yield stat.st_mtime, stat.st_size, path
