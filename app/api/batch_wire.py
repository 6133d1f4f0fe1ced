"""Batches as streams of bytes: events, result lines, and answers that take as long as their reader."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final, cast

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.api.batch_schemas import BatchRead, BatchResult
from app.api.links import Links
from app.api.schemas import GenerationRead
from app.batch_events import BatchCompleted, BatchConnected, BatchEvent, BatchProgressed, ItemEnded
from app.batches import Batches, as_recorded
from app.bus import Entry
from app.records import Generation, Status
from app.storage import StorageError

log = logging.getLogger(__name__)

PIECE_TIMEOUT_S: Final = 120.0
"""A reader that takes nothing for so long counts as gone."""

_TYPES: Final = {BatchConnected: "connected", BatchProgressed: "progress", BatchCompleted: "complete"}
_encode = msgspec.json.encode


class BatchEncoder:
    """Turns the entries of a watched batch into frames; each entry is encoded once, whoever reads it."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def frame(self, entry: Entry) -> bytes:
        if entry.frame is None:
            shape = self._shape(cast("BatchEvent", entry.event))
            entry.frame = b"id: %b\ndata: %b\n\n" % (entry.cursor.encode(), _encode(shape))
        return entry.frame

    def _shape(self, event: BatchEvent) -> dict[str, Any]:
        if isinstance(event, ItemEnded):
            item = result_of(event.record, self._links).model_dump(mode="json", by_alias=True)
            return {"type": "item", "batchId": event.record.batch_id, "item": item}
        read = BatchRead.of(event.standing, self._links).model_dump(mode="json", by_alias=True)
        return {"type": _TYPES[type(event)], "batchId": read["id"], **read}


def result_of(record: Generation, links: Links) -> BatchResult:
    """An item and what came of it, as it is on record."""
    return BatchResult.of(GenerationRead.of(as_recorded(record), links))


async def result_lines(batches: Batches, batch_id: str, statuses: list[Status], links: Links) -> AsyncIterator[bytes]:
    """Every item as a line of JSON, in order."""
    async for page in batches.items(batch_id, statuses):
        lines = [result_of(record, links).model_dump_json(by_alias=True) for record in page]
        yield "".join(f"{line}\n" for line in lines).encode()


class PatientStream(StreamingResponse):
    """A body made while it is sent. A reader who stops reading is given up after `PIECE_TIMEOUT_S`.

    After the first byte an error is no answer any more: the connection ends too early instead.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pieces = cast("AsyncGenerator[bytes, None]", self.body_iterator)
        try:
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    await _sent(send, piece, more_body=True)
                await _sent(send, b"", more_body=False)
        except (TimeoutError, StorageError) as error:
            log.warning("a download broke off", extra={"action": "serve", "cause": type(error).__name__})


async def _sent(send: Send, piece: bytes, *, more_body: bool) -> None:
    async with asyncio.timeout(PIECE_TIMEOUT_S):
        await send({"type": "http.response.body", "body": piece, "more_body": more_body})
