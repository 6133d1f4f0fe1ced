"""Puts input files where ComfyUI finds them. Owns the memory of which server has what; never decides who runs what.

The memory of a server is forgotten whenever it may have been restarted. That costs an upload at most: a file's name is
made of its content, so to place it again changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakValueDictionary

from app.backends import Backend
from app.comfyui.errors import BadReply, Incompatible, NoAnswer, Unreachable
from app.comfyui.exchange import Streamed
from app.reading import is_stored, read_stored
from app.records import InputFile
from app.storage import Storage

log = logging.getLogger(__name__)

MAX_REMEMBERED: Final = 4096
"""Names remembered for each server; the oldest is forgotten, and its file placed once more when it is needed."""


class InputGone(Exception):
    """Our own storage has lost an input: no server can be given it."""

    def __init__(self, file: InputFile) -> None:
        super().__init__(f"The input file {file.name} ({file.mime_type}) is no longer stored; upload it again.")


@dataclass(slots=True)
class _Memory:
    """What a server has since the moment `unheard_since` of its life, oldest first."""

    unheard_since: float
    names: dict[str, None] = field(default_factory=dict)

    def add(self, name: str) -> None:
        self.names[name] = None
        if len(self.names) > MAX_REMEMBERED:
            del self.names[next(iter(self.names))]


class Placer:
    """Gives servers what they do not have yet, each file once however many prompts wait for it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._memories: dict[str, _Memory] = {}
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def place(self, backend: Backend, inputs: tuple[InputFile, ...]) -> None:
        """Return when the server has all of them.

        Raises Unreachable when it did not take one and another server, or this one later, may: also where it gave no
        answer, for a file can be sent twice. Rejected (too large) and Incompatible are for ever; so is InputGone. A
        StorageError is our own storage's, and may pass.
        """
        for file in inputs:
            if not self._has(backend, file):
                # Prompts that wait for the same file keep its lock alive; with the last of them it is gone.
                lock = self._locks.setdefault((backend.name, file.name), asyncio.Lock())
                async with lock:
                    if not self._has(backend, file):
                        await self._send(backend, file)

    def forget(self, backend: Backend, inputs: tuple[InputFile, ...]) -> None:
        """The server does not have these, whatever we thought."""
        for file in inputs:
            self._memory(backend).names.pop(file.name, None)

    def _has(self, backend: Backend, file: InputFile) -> bool:
        return file.name in self._memory(backend).names

    def _memory(self, backend: Backend) -> _Memory:
        """What is remembered of a server's present life. A lost socket or a probe that failed may mean a new one."""
        memory = self._memories.get(backend.name)
        if memory is None or memory.unheard_since != backend.unheard_since:
            memory = self._memories[backend.name] = _Memory(backend.unheard_since)
        return memory

    async def _send(self, backend: Backend, file: InputFile) -> None:
        if not await is_stored(self._storage, file.location):
            raise InputGone(file)
        memory = self._memory(backend)
        try:
            async with aclosing(read_stored(self._storage, file.location)) as chunks:
                stored = await backend.client.upload(Streamed(chunks, file.size_bytes), file.name, overwrite=True)
        except NoAnswer as error:
            raise Unreachable(backend.name, "it took no input file") from error
        except BadReply as error:
            raise Incompatible(backend.name, f"did not store an input file: {error.why} {error.status}") from error
        if stored.input_value != file.name:
            raise Incompatible(backend.name, "stored an input file under another name than it was sent")
        memory.add(file.name)
        facts = {"action": "place", "backend": backend.name, "size_bytes": file.size_bytes}
        log.info("input placed", extra=facts)


def forgotten(
    node_errors: Mapping[str, Any], workflow: Mapping[str, Any], inputs: tuple[InputFile, ...]
) -> tuple[InputFile, ...]:
    """The inputs of nodes that ComfyUI finds fault with: a server that lost a file says no more than that."""
    wanted = {
        value
        for node_id in node_errors
        if isinstance(node := workflow.get(node_id), dict) and isinstance(given := node.get("inputs"), dict)
        for value in given.values()
        if isinstance(value, str)
    }
    return tuple(file for file in inputs if file.name in wanted)
