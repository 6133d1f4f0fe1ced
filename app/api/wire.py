"""Events as bytes on a stream: each encoded once per process, the same bytes for every watcher.

The frequent events are one msgspec call. Those with URLs (the end, an output, a preview) are rare and are shaped here.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from app.api.links import Links
from app.api.schemas import GenerationRead, output_read
from app.bus import Entry
from app.events import Canceled, Completed, Event, Failed, Moment, OutputReady, PreviewReady
from app.generations import Shown
from app.watching import END

_encode = msgspec.json.Encoder().encode


class EventEncoder:
    """Turns entries into Server-Sent Event frames. Keeps each entry's frame on the entry."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def frame(self, entry: Entry) -> bytes:
        """`id` and `data` of one unnamed event. Terminal events have the id every process knows."""
        if entry.frame is None:
            cursor = END if entry.event.is_terminal else entry.cursor
            entry.frame = b"id: %b\ndata: %b\n\n" % (cursor.encode(), self.payload(entry.event, entry.cursor))
        return entry.frame

    def inline_frame(self, entry: Entry) -> bytes:
        """The same, with the picture itself in preview events."""
        if not isinstance(entry.event, PreviewReady):
            return self.frame(entry)
        preview = entry.event
        picture = base64.b64encode(preview.image).decode()
        shape = self._preview(preview, entry.cursor) | {"dataUrl": f"data:{preview.mime_type};base64,{picture}"}
        return b"id: %b\ndata: %b\n\n" % (entry.cursor.encode(), _encode(shape))

    def payload(self, event: Event, cursor: str) -> bytes:
        match event:
            case Completed(record=record) | Failed(record=record) | Canceled(record=record):
                shown = GenerationRead.of(Shown(record, event), self._links).model_dump(mode="json", by_alias=True)
                shape = _moment(event) | {"generation": shown}
                shape |= {key: shown[key] for key in ("images", "imageUrls", "outputs", "error")}
                if isinstance(event, Completed):
                    shape |= {"progressType": event.progress_type}
                return _encode(shape)
            case OutputReady(generation_id=generation_id, output=output):
                entry = output_read(generation_id, output, self._links).model_dump(mode="json", by_alias=True)
                return _encode({"type": "output", "generationId": generation_id, "output": entry})
            case PreviewReady():
                return _encode(self._preview(event, cursor))
            case _:
                return _encode(event)

    def _preview(self, preview: PreviewReady, cursor: str) -> dict[str, Any]:
        return {
            "type": "preview",
            "generationId": preview.generation_id,
            "url": self._links.to(preview.generation_id, f"/preview?v={cursor}"),
            "mimeType": preview.mime_type,
            "nodeId": preview.node_id,
        }


def _moment(event: Completed | Failed | Canceled) -> dict[str, Any]:
    """The state fields of a terminal event, in their wire names."""
    shown = {name: getattr(event, name) for name in Moment.__struct_fields__}
    plain: dict[str, Any] = msgspec.to_builtins(Moment(**shown))
    return plain | {"type": event.__struct_config__.tag}
