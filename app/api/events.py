"""Progress as Server-Sent Events, and the newest preview."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from app.api.dependencies import GenerationId, Services, ServicesDep
from app.api.openapi import EVENTS, PICTURE, errors, readable
from app.api.schemas import UUID
from app.api.streams import ProgressStream
from app.bus import Entry
from app.watching import END

router = APIRouter(prefix="/api", tags=["progress"])

NO_CONTENT: Final = 204
"""Tells an `EventSource` not to come back."""

Previews = Annotated[
    Literal["url", "inline"], Query(description="`inline` puts each preview's picture into its event as `dataUrl`")
]
LastEventId = Annotated[str | None, Header(description="the `id` of the last event seen")]


@readable(router, "/generations/{generation_id}/events", responses={**EVENTS, **errors(404, 422)})
async def events(
    generation_id: GenerationId, services: ServicesDep, last_event_id: LastEventId = None, previews: Previews = "url"
) -> Response:
    """Follow one generation to its end, from now or from `Last-Event-ID`.

    The first event is `connected`; the last is exactly one of `complete`, `error`, `canceled`; then the server closes.
    Every state-carrying event is a complete snapshot. Reconnecting after the end answers 204.
    """
    return await stream(services, generation_id, last_event_id, previews)


@readable(router, "/generate/progress", responses={**EVENTS, **errors(404, 422)})
async def progress(
    generation_id: Annotated[str, Query(alias="generationId", pattern=UUID)],
    services: ServicesDep,
    last_event_id: LastEventId = None,
    previews: Previews = "url",
) -> Response:
    """The same stream, under the path that Next.js API layers use."""
    return await stream(services, generation_id, last_event_id, previews)


@readable(router, "/generations/{generation_id}/preview", responses={**PICTURE, **errors(404, 422)})
async def preview(generation_id: GenerationId, services: ServicesDep) -> Response:
    """The newest picture of the unfinished image; 404 while there is none, and some time after the end."""
    newest = await services.generations.preview(generation_id)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(newest.image, media_type=newest.mime_type, headers=headers)


async def stream(
    services: Services,
    generation_id: str,
    last_event_id: str | None = None,
    previews: str = "url",
    frame: Callable[[Entry], bytes] | None = None,
) -> Response:
    """The stream's answer. Raises NotFound before anything is sent; 204 for who has seen the end.

    `frame` writes the events of another dialect.
    """
    if last_event_id == END and (await services.generations.get(generation_id)).record.is_terminal:
        return Response(status_code=NO_CONTENT)
    watching = services.generations.watch(generation_id, last_event_id or None)
    watch = await watching.__aenter__()
    if frame is None:
        frame = services.encoder.inline_frame if previews == "inline" else services.encoder.frame

    async def close() -> None:
        await watching.__aexit__(None, None, None)

    return ProgressStream(watch, close, services.hub, frame)
