"""What a batch command prints while it runs: with --json items as they come, else paths of files by item."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from app.commands import speech
from app.commands.batch_plan import Item
from app.commands.batch_running import Settled


class Telling:
    """Of items as they are settled. A person at a terminal has the bars, and the folder."""

    def __init__(self, items: Sequence[Item], folder: Path, *, as_json: bool) -> None:
        self._folder, self._as_json = folder, as_json
        self._left = deque(item.key for item in items)
        self._waiting: dict[str, Settled] = {}

    def take(self, settled: Settled) -> None:
        """An item; its files are told after those of all items before it."""
        if self._as_json:
            paths = self._paths(settled)
            speech.entry({"type": "item", "place": settled.item.place, **settled.result.raw, "files": paths})
        elif not sys.stdout.isatty():
            self._waiting[settled.item.key] = settled
            while self._left and self._left[0] in self._waiting:
                self._put(self._waiting.pop(self._left.popleft()))

    def finish(self) -> None:
        """There are no more: those that wait for one that does not come are told."""
        for key in self._left:
            if key in self._waiting:
                self._put(self._waiting[key])

    def _put(self, settled: Settled) -> None:
        for path in self._paths(settled):
            speech.put(path)

    def _paths(self, settled: Settled) -> list[str]:
        return [str(self._folder / each.file) for each in settled.kept.files] if settled.kept else []
