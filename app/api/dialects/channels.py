"""Event channels: the canonical stream under a channel's name, `file.{id}`.

Owns the names. Channels of other things, which the older service had, do not exist here and are 404 at once.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.api.dependencies import ServicesDep
from app.api.events import LastEventId, Previews, stream
from app.api.openapi import EVENTS, errors, readable
from app.api.schemas import UUID
from app.errors import NotFound

router = APIRouter(prefix="/api/events", tags=["dialects"])

_FILE: Final = re.compile(rf"file\.({UUID.removeprefix('^').removesuffix('$')})")

Channel = Annotated[str, Path(max_length=200, description="`file.` and a generation's id")]


@readable(router, "/{channel}", responses={**EVENTS, **errors(404, 422)})
async def channel(
    channel: Channel, services: ServicesDep, last_event_id: LastEventId = None, previews: Previews = "url"
) -> Response:
    """The same stream as `GET /api/generations/{id}/events`, for callers that name it by its channel.

    Any other channel, such as that of a chat, is 404 before anything is sent.
    """
    found = _FILE.fullmatch(channel)
    if found is None:
        raise NotFound("channel", channel)
    return await stream(services, found[1], last_event_id, previews)
