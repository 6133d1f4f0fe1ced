"""The bodies of webhooks: what is remembered of an event as JSON, with URLs made for this very sending."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from app.api.links import Links
from app.records import OutputKind, Status
from app.webhook_news import BATCH_COMPLETED, OUTPUT, TEST, BatchNews, GenerationNews, OutputNews
from app.webhook_records import Delivery

NewsT = TypeVar("NewsT", GenerationNews, BatchNews)


class WebhookBodies:
    """`base` is where callers reach this service; None: URLs begin with a slash."""

    def __init__(self, links: Links, base: str | None) -> None:
        self._links, self._base = links, base or ""

    def of(self, delivery: Delivery) -> str:
        """The body, the same in every attempt but for tokens in its URLs."""
        told = {"type": delivery.event, "timestamp": _time(delivery.occurred_at), "data": self._told(delivery)}
        return json.dumps(told, separators=(",", ":"))  # In ASCII: half characters go through, too.

    def _told(self, delivery: Delivery) -> dict[str, Any]:
        match delivery.event:
            case event if event == TEST:
                test: dict[str, Any] = json.loads(delivery.news)
                return test
            case event if event == BATCH_COMPLETED:
                return self._batch(_decoded(delivery.news, BatchNews))
            case event:
                return self._generation(_decoded(delivery.news, GenerationNews), is_output=event == OUTPUT)

    def _generation(self, news: GenerationNews, *, is_output: bool) -> dict[str, Any]:
        def url(path: str) -> str:
            return self._base + self._links.to(news.id, path)

        started, ended = news.started_at, news.completed_at
        outputs = [_output(output, url) for output in news.outputs]
        images = [output for output in news.outputs if output.kind is OutputKind.IMAGE]
        files = {"imageUrls": [url(f"/images/{number}") for number, _ in enumerate(images)], "outputs": outputs}
        return {
            "id": news.id,
            "comfyuiPromptId": news.prompt_id,
            "status": news.status.value,
            "template": news.template,
            "seed": news.seed,
            "attempt": news.attempt,
            "projectId": news.project_id,
            "batchId": news.batch_id,
            "batchIndex": news.batch_index,
            "itemKey": news.item_key,
            "metadata": news.metadata,
            "createdAt": _time(news.created_at),
            "startedAt": _time(started),
            "completedAt": _time(ended),
            "durationSeconds": round(ended - started, 3) if ended and started else None,
            "error": None if news.error is None else {"code": news.error.code.value, "message": news.error.message},
            **({"output": outputs[0]} if is_output else files),
            "urls": {"self": url("")},
        }

    def _batch(self, news: BatchNews) -> dict[str, Any]:
        def url(path: str) -> str:
            return self._base + self._links.to_batch(news.id, path)

        return {
            "id": news.id,
            "status": news.status.value,
            "total": news.total,
            "counts": {status.value: news.counts.get(status, 0) for status in Status},
            "projectId": news.project_id,
            "metadata": news.metadata,
            "createdAt": _time(news.created_at),
            "completedAt": _time(news.completed_at),
            "urls": {"self": url(""), **{name: url(f"/{name}") for name in ("generations", "results", "archive")}},
        }


def _output(output: OutputNews, url: Callable[[str], str]) -> dict[str, Any]:
    return {
        "index": output.index,
        "kind": output.kind.value,
        "url": url(f"/outputs/{output.index}"),
        "filename": output.filename,
        "mimeType": output.mime_type,
        "sizeBytes": output.size_bytes,
        "sha256": output.sha256,
        "width": output.width,
        "height": output.height,
    }


def _decoded(news: str, shape: type[NewsT]) -> NewsT:
    try:
        return msgspec.json.decode(news, type=shape)
    except msgspec.DecodeError:  # Half characters, which only the standard library reads.
        return msgspec.convert(json.loads(news), shape)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
