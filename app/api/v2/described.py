"""What FastAPI cannot infer of the Comfy API v2 for the OpenAPI document: bodies, streams and errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

_REF: Final = "#/components/schemas/{model}"
_WHEN: Final = {
    401: "`unauthorized`: a key is required",
    404: "`not_found`, or `blob_not_found` for a content nobody sent",
    409: "`hash_mismatch`, or `asset_in_use`",
    413: "`body_too_large`",
    422: "`invalid_workflow`, `workflow_format_ui`, `missing_asset`, `idempotency_key_reuse`, or `invalid_request`; "
    "`details.errors` names each place, `details.node_errors` each node",
    429: "`queue_full` or `deployment_not_ready`; see `Retry-After`",
    503: "`upstream_error`: database, event bus or storage does not answer; see `Retry-After`",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Envelopes for these statuses, and for those that any route may give."""
    schema = {"$ref": _REF.format(model="ErrorEnvelope")}
    return {
        status: {
            "description": f"{HTTPStatus(status).phrase}: {_WHEN[status]}",
            "content": {"application/json": {"schema": schema}},
        }
        for status in sorted({401, 503, *statuses})
    }


def body(model: str) -> dict[str, Any]:
    """A JSON body that the route reads by itself."""
    content = {"application/json": {"schema": {"$ref": _REF.format(model=model)}}}
    return {"requestBody": {"required": True, "content": content}}


UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "content_type": {
                            "type": "string",
                            "description": "taken, and not believed: the content decides",
                        },
                        "file_path": {"type": "string", "description": "what you call it; by default the file's name"},
                        "expected_hash": {"type": "string", "description": "`blake3:` and 64 hexadecimal digits"},
                        "tags": {"type": "array", "items": {"type": "string"}, "description": "taken, and not used"},
                        "expires_in": {"type": "integer", "description": "taken; assets do not expire"},
                    },
                    "required": ["file"],
                }
            }
        },
    }
}

EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "`status`, `progress`, `preview` and `output` events; the last is a terminal `status`",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "one event of the stream",
                    "properties": {
                        "event": {"enum": ["status", "progress", "preview", "output"]},
                        "data": {"type": "string", "contentMediaType": "application/json"},
                    },
                    "required": ["event", "data"],
                }
            }
        },
    }
}
