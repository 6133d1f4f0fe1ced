"""The end of a run: read ComfyUI's history and keep the files it names.

Owns the transfer from a server's folders into our storage. What it returns are observations; it changes no state.
A file is fetched again until `keep_timeout_s` is over, because a server that restarts still has its output folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
import stamina

from app.comfyui.client import ComfyClient
from app.comfyui.errors import BadReply, ComfyError, NoAnswer, Unreachable
from app.comfyui.history import HistoryEntry, Outcome, OutputFile, OutputText
from app.filetypes import FileType, kind_of
from app.lifecycle import State
from app.media import Facts, facts_of, facts_of_head
from app.observations import Delivered, Finished
from app.origins import origin_of
from app.posters import Posters
from app.records import ErrorCode, Failure, Output, OutputKind
from app.storage import Kept, Storage, StorageError, StorageFull, StorageUnavailable
from app.stripping import stripped

log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 4
"""Files of one generation fetched at the same time: enough to hide latency, too few to crowd out other work."""

HISTORY_RETRY_S: Final = 5.0
"""After the end of a prompt its history is there at once; a server busy with its garbage takes up to 0.6 s."""


LOOK_S: Final = 30.0
"""How long telling a file's size and duration may take; on this machine it takes milliseconds."""

POSTER_S: Final = 60.0
"""How long a video's end may wait for its poster frame, fetching it from a bucket included."""


@dataclass(frozen=True, slots=True)
class Finisher:
    """`max_output_bytes` bounds one file; larger ones are not kept and fail the generation with that reason.

    `keeps_metadata`: whether pictures keep the workflow that ComfyUI wrote into them.
    """

    storage: Storage
    keep_timeout_s: float
    max_output_bytes: int
    posters: Posters
    keeps_metadata: bool = True

    async def finish(self, client: ComfyClient, state: State) -> Finished | None:
        """Read history and keep what it names; None when history does not know the prompt (yet)."""
        entry = await self._history(client, state.record.prompt_id)
        if entry is None:
            return None
        files = _wanted(entry, state)
        results = await self._keep_all(client, state, files)
        outputs = _numbered(state.record.outputs, filter(None, results))
        texts = _texts(entry.texts, len(outputs))
        missing = tuple(file for file, output in zip(files, results, strict=True) if output is None)
        failure = _unavailable(missing) if missing else None
        return Finished(entry, outputs + texts, failure)

    async def keep_early(self, client: ComfyClient, state: State, files: tuple[OutputFile, ...]) -> Delivered:
        """Keep files of a node that delivered while the run goes on. What fails now is tried again at the end, with all
        that came after it: an index is a place, and a place stored under, for ever.
        """
        kept = []
        for output in await self._keep_all(client, state, _unkept(files, state)):
            if output is None:
                break
            kept.append(output)
        return Delivered(tuple(kept))

    async def _history(self, client: ComfyClient, prompt_id: str) -> HistoryEntry | None:
        with contextlib.suppress(ComfyError):
            if (entry := await client.history(prompt_id)) is not None:
                return entry
        try:
            async for attempt in stamina.retry_context(
                on=(ComfyError, _NotYet), attempts=None, timeout=HISTORY_RETRY_S, wait_initial=0.02, wait_max=0.5
            ):
                with attempt:
                    return await _readable(client, prompt_id)
        except (ComfyError, _NotYet):
            log.info("history does not have the prompt yet", extra={"action": "history", "prompt_id": prompt_id})
        return None

    async def _keep_all(self, client: ComfyClient, state: State, files: tuple[OutputFile, ...]) -> list[Output | None]:
        """What became of each file; None: it could not be kept. Indices go on from those on record."""
        first, gate = len(state.record.outputs), asyncio.Semaphore(MAX_AT_ONCE)
        results: list[Output | None] = [None] * len(files)

        async def keep(number: int, file: OutputFile) -> None:
            async with gate:
                results[number] = await self._keep(client, state.record.id, first + number, file)

        if len(files) == 1:
            await keep(0, files[0])
        else:
            async with asyncio.TaskGroup() as group:
                for number, file in enumerate(files):
                    group.create_task(keep(number, file), name=f"keep {state.record.id}/{first + number}")
        return results

    async def _keep(self, client: ComfyClient, generation_id: str, index: int, file: OutputFile) -> Output | None:
        try:
            with contextlib.suppress(*_PASSING):
                return await self._fetch(client, generation_id, index, file)
            async for attempt in stamina.retry_context(
                on=_PASSING, attempts=None, timeout=self.keep_timeout_s, wait_max=5
            ):
                with attempt:
                    return await self._fetch(client, generation_id, index, file)
        except (ComfyError, StorageError) as error:
            facts = {"action": "keep", "generation_id": generation_id, "backend": client.name}
            log.warning("an output could not be kept", extra={**facts, "cause": type(error).__name__})
        return None

    async def _fetch(self, client: ComfyClient, generation_id: str, index: int, file: OutputFile) -> Output:
        key, origin = f"outputs/{generation_id[:2]}/{generation_id}/{index}", origin_of(client.name, file)
        async with client.view(file) as body:
            chunks = body.chunks if self.keeps_metadata else stripped(body.chunks)
            kept = await self.storage.keep(key, chunks, max_bytes=self.max_output_bytes, origin=origin)
        found = kind_of(file.filename, kept.head)
        facts = facts_of_head(found, kept.head) or await self._looked_up(kept, found)
        return Output(
            index=index,
            node_id=file.node_id,
            kind=found.kind,
            filename=file.filename,
            subfolder=file.subfolder,
            folder=file.type,
            mime_type=found.mime_type,
            size_bytes=kept.size_bytes,
            sha256=kept.sha256,
            location=kept.location,
            width=facts.width,
            height=facts.height,
            duration_s=facts.duration_s,
            frames=facts.frames,
            poster=await self._poster(kept, key) if found.kind is OutputKind.VIDEO else None,
        )

    async def _looked_up(self, kept: Kept, found: FileType) -> Facts:
        """What the kept file tells. The file counts more than the facts: where they cannot be had, they are not."""
        try:
            async with asyncio.timeout(LOOK_S):
                return await self.storage.inspect(kept.location, functools.partial(facts_of, found))
        except (StorageError, TimeoutError) as error:
            log.warning("a kept file could not be looked into", extra={"action": "look", "cause": type(error).__name__})
            return Facts()

    async def _poster(self, kept: Kept, key: str) -> str | None:
        """The storage's key of a poster frame; a video without one is as good."""
        if not self.posters.are_made:
            return None
        try:
            async with asyncio.timeout(POSTER_S), self.storage.local(kept.location) as path:
                frame = await self.posters.poster(path)
            if frame is not None:
                return (await self.storage.keep(f"{key}-poster", _once(frame), max_bytes=len(frame))).location
        except (StorageError, TimeoutError) as error:
            log.warning("a poster frame could not be kept", extra={"action": "poster", "cause": type(error).__name__})
        return None


class _NotYet(Exception):
    """History answered, and does not know the prompt."""


_PASSING: Final = (Unreachable, NoAnswer, BadReply, StorageFull, StorageUnavailable)
"""Failures of a transfer that go away when a server is back, or when somebody has made room on the disk."""


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _readable(client: ComfyClient, prompt_id: str) -> HistoryEntry:
    entry = await client.history(prompt_id)
    if entry is None:
        raise _NotYet
    return entry


def _wanted(entry: HistoryEntry, state: State) -> tuple[OutputFile, ...]:
    """The files to keep: outputs; where a run made none, its temporary files, for they are all it has to show; or all.

    Some versions forget the outputs of a cached run in history (upstream #14939): those heard on the socket serve.
    """
    files = entry.files or (state.files if entry.outcome is Outcome.SUCCESS else ())
    outputs = () if state.record.keep_temporary else tuple(file for file in files if file.type == "output")
    return _unkept(outputs or files, state)


def _unkept(files: tuple[OutputFile, ...], state: State) -> tuple[OutputFile, ...]:
    kept = {(output.node_id, output.filename, output.subfolder, output.folder) for output in state.record.outputs}
    return tuple(file for file in files if (file.node_id, file.filename, file.subfolder, file.type) not in kept)


def _numbered(known: tuple[Output, ...], more: Iterable[Output]) -> tuple[Output, ...]:
    """All of them, each with its place as its index, also where something between them could not be kept."""
    return (*known, *(msgspec.structs.replace(output, index=index) for index, output in enumerate(more, len(known))))


def _texts(texts: tuple[OutputText, ...], first: int) -> tuple[Output, ...]:
    outputs = []
    for number, text in enumerate(texts, start=first):
        raw = text.text.encode("utf-8", "replace")
        outputs.append(
            Output(
                index=number,
                node_id=text.node_id,
                kind=OutputKind.TEXT,
                filename=f"{text.node_id}.txt",
                mime_type="text/plain",
                size_bytes=len(raw),
                sha256=hashlib.sha256(raw).hexdigest(),
                text=text.text,
            )
        )
    return tuple(outputs)


def _unavailable(missing: tuple[OutputFile, ...]) -> Failure:
    names = ", ".join(file.filename for file in missing[:5])
    return Failure(ErrorCode.OUTPUTS_UNAVAILABLE, f"ComfyUI finished but could not hand over: {names}")
