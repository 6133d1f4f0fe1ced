"""The `session_id` API: the progress stream in snake_case. A session is a generation, and its id is the generation's.

Owns that stream's shape. What it knows of a generation and when it ends is `app.api.events`' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path
from starlette.responses import Response

from app.api.dependencies import ServicesDep, calling_it
from app.api.events import LastEventId, stream
from app.api.links import Links
from app.api.openapi import errors, readable
from app.api.schemas import UUID, GenerationRead
from app.bus import Entry
from app.errors import NotFound
from app.events import Canceled, Completed, Connected, Event, Failed, Moment, Progressed
from app.generations import Shown
from app.watching import END

router = APIRouter(prefix="/api/progress", tags=["dialects"], dependencies=[calling_it("session")])

SessionId = Annotated[str, Path(max_length=200, description="`session_id` of an answer to `POST /api/generate`")]

_ID: Final = re.compile(UUID)
_SHAPE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "type": {"enum": ["connected", "progress", "complete", "error"]},
        "session_id": {"type": "string"},
        "current_step": {"type": "integer", "minimum": 0},
        "total_steps": {"type": "integer", "minimum": 1},
        "percentage": {"type": "number", "minimum": 0, "maximum": 100},
        "message": {"type": "string"},
        "images": {"type": "array", "items": {"type": "object"}},
        "image_urls": {"type": "array", "items": {"type": "string"}},
        "error": {"type": "string"},
        "code": {"type": "string"},
    },
    "required": ["type", "session_id"],
}
_ONE: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": _SHAPE},
    },
    "required": ["id", "data"],
}
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "unnamed events with a `type`", "content": {"text/event-stream": {"schema": _ONE}}},
    204: {"description": "the end was seen already; do not reconnect"},
}


@readable(router, "/{session_id}", responses={**_STREAM, **errors(404, 422)})
async def session(session_id: SessionId, services: ServicesDep, last_event_id: LastEventId = None) -> Response:
    """Follow one generation in the words of the `session_id` API: `connected`, `progress`, then `complete` or `error`.

    `progress` carries `current_step` and `total_steps` and only comes when there are steps to count. A canceled
    generation ends with `error`, which is what callers of that API wait for. A stranger's id is 404 at once.
    """
    if not _ID.fullmatch(session_id):
        raise NotFound("session", session_id)
    return await stream(services, session_id, last_event_id, frame=SessionFrames(services.links))


class SessionFrames:
    """Entries as this dialect's frames, by calling it; what the dialect has no word for becomes nothing."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def __call__(self, entry: Entry) -> bytes:
        cursor = END if entry.event.is_terminal else entry.cursor
        frames = [b"id: %b\ndata: %b\n\n" % (cursor.encode(), _encode(told)) for told in self._told(entry.event)]
        return b"".join(frames)

    def _told(self, event: Event) -> Iterator[dict[str, Any]]:
        match event:
            case Connected():
                yield {"type": "connected", "session_id": event.generation_id, "message": event.message}
                yield from _steps(event)
            case Progressed():
                yield from _steps(event)
            case Completed(record=record):
                shown = GenerationRead.of(Shown(record, event), self._links)
                images = [each.model_dump(mode="json") for each in shown.images]
                urls = {"images": images, "image_urls": shown.image_urls}
                yield {"type": "complete", "session_id": record.id, "percentage": 100.0, **urls}
            case Failed(error=error):
                failure = {"error": error.message, "message": error.message, "code": error.code.value}
                yield {"type": "error", "session_id": event.generation_id, **failure}
            case Canceled():
                failure = {"error": event.message, "message": event.message, "code": "canceled"}
                yield {"type": "error", "session_id": event.generation_id, **failure}
            case _:
                pass


def _steps(moment: Moment) -> Iterator[dict[str, Any]]:
    """Nothing while there is nothing to count: these callers divide by the total."""
    if moment.total_steps > 0:
        yield {
            "type": "progress",
            "session_id": moment.generation_id,
            "current_step": moment.step,
            "total_steps": moment.total_steps,
            "percentage": moment.percentage,
            "message": moment.message,
        }


_encode = msgspec.json.Encoder().encode
