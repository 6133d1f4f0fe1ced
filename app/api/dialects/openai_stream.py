"""The event stream of OpenAI's Images API: some pictures of the unfinished image, then the finished ones.

Owns which previews become partial images. Always base64: these events have no field for a URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.dialects.openai_errors import error_object
from app.api.dialects.openai_pictures import PictureError, Wish, pictures_of, unfinished
from app.api.dialects.openai_runs import Runs
from app.api.dialects.openai_schemas import Usage
from app.api.streams import PING
from app.errors import AppError, Unavailable
from app.events import Canceled, Completed, Failed, Moment, PreviewReady
from app.mailbox import Mailbox
from app.records import Generation

HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_USAGE: Final = Usage().model_dump()


class ImageStream(Response):
    """`kind`: `image_generation` or `image_edit`. `partial_images`: how many of the unfinished image, at most.

    Who hangs up has his generations canceled, as `Runs.abandon` has it. A failure is told by an event `error`.
    """

    media_type = "text/event-stream"

    def __init__(self, runs: Runs, wish: Wish, kind: str, partial_images: int) -> None:
        super().__init__(headers={**HEADERS, "X-Request-Id": runs.ids[0]})
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        self._runs, self._wish, self._kind, self._partial_images = runs, wish, kind, partial_images
        self._mailbox: Mailbox[Any] | None = None
        self._is_over = False
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        has_left = False
        with self._runs.services.hub.attached(self):
            async with asyncio.TaskGroup() as group:
                telling, leaving = group.create_task(self._tell()), group.create_task(_left(receive))
                pinging = group.create_task(self._ping())
                await asyncio.wait([telling, leaving], return_when=asyncio.FIRST_COMPLETED)
                has_left = not telling.done()
                for each in (telling, leaving, pinging):
                    each.cancel()
        if has_left:
            await self._runs.abandon()
        else:
            await send({"type": "http.response.body", "body": b""})

    def ping(self) -> None:
        """This stream pings by itself: it may be in the middle of a large picture."""

    def end(self) -> None:
        """The service stops; the generations go on without this caller."""
        self._is_over = True
        if self._mailbox is not None:
            self._mailbox.close()

    async def _tell(self) -> None:
        try:
            for generation_id in self._runs.ids:
                record = self._runs.with_pictures(await self._followed(generation_id))
                pictures = await pictures_of(self._runs.services, [record], self._wish)
                for output, picture in zip(record.images, pictures, strict=True):
                    shape = {"b64_json": picture.b64_json, "size": f"{output.width}x{output.height}", "usage": _USAGE}
                    await self._event("completed", shape | {"output_format": self._wish.format_of(output)})
        except AppError as error:
            if not isinstance(error, Unavailable):
                await self._runs.abandon()
            told = error_object(error.status, error.code, error.detail)
            await self._write(b"event: error\ndata: %b\n\n" % msgspec.json.encode({"type": "error", "error": told}))

    async def _followed(self, generation_id: str) -> Generation:
        sent, fraction = 0, 0.0
        while not self._is_over:
            async with self._runs.services.generations.watch(generation_id) as watch:
                self._mailbox = watch.subscription.mailbox
                async for entry in watch:
                    match entry.event:
                        case Completed(record=record) | Failed(record=record) | Canceled(record=record):
                            return record
                        case PreviewReady(image=image) if self._is_due(sent, fraction):
                            sent += await self._is_shown(image, sent)
                        case Moment() as moment:
                            fraction = _fraction(moment)
        raise Unavailable("service")

    def _is_due(self, sent: int, fraction: float) -> bool:
        """Partial images are spread over the time of drawing, whatever the number of previews."""
        return sent < self._partial_images and fraction >= (sent + 1) / (self._partial_images + 1)

    async def _is_shown(self, image: bytes, number: int) -> bool:
        try:
            encoded, written = await unfinished(image, self._wish)
        except PictureError:
            return False
        shape = {"b64_json": encoded, "partial_image_index": number, "output_format": written, "size": "auto"}
        await self._event("partial_image", shape)
        return True

    async def _event(self, name: str, shape: dict[str, Any]) -> None:
        kind = f"{self._kind}.{name}"
        asked = {"background": self._wish.background or "auto", "quality": self._wish.quality or "auto"}
        event = {"type": kind, "created_at": int(time.time()), **asked, **shape}
        await self._write(b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(event)))

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._runs.services.settings.ping_interval_s)
            await self._write(PING)

    async def _write(self, body: bytes) -> None:
        async with self._turn:
            with contextlib.suppress(OSError):
                await self._send({"type": "http.response.body", "body": body, "more_body": True})


def _fraction(moment: Moment) -> float:
    return moment.step / moment.total_steps if moment.total_steps else moment.percentage / 100


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
