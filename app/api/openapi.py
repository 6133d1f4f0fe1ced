"""What FastAPI cannot infer for the OpenAPI document: bodies we read ourselves, streams, files and problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.api.batch_schemas import BatchCreate, BatchEventRead, BatchResult, BatchRetry
from app.api.dialects.openai_schemas import ImageCreate, ImageEdit
from app.api.event_schemas import EventRead
from app.api.project_schemas import ProjectWrite
from app.api.request_schemas import GenerationCreate
from app.api.schemas import GenerationPage, GenerationStarted, ProblemRead
from app.api.template_schemas import TemplateWrite
from app.api.v2.schemas import AssetFromHash, ErrorEnvelope, JobCreate
from app.api.webhook_schemas import RedeliveryWrite, WebhookChange, WebhookWrite
from app.catalogue import Template

Route = TypeVar("Route", bound=Callable[..., Any])

_REF: Final = "#/components/schemas/{model}"
_WHEN: Final = {
    400: "the body cannot be read as JSON",
    401: "a key is required",
    404: "there is no such generation, or no such part of it",
    409: "a moment too early: something of this very name is still under way",
    410: "the file was kept once and is gone",
    413: "the body is too large",
    415: "the file is of no type that is taken",
    422: "something in the request is wrong; `errors` names each place",
    503: "the queue is full, or no backend or database answers; see `Retry-After`",
}

_DATA: Final = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {"$ref": _REF.format(model="EventRead")},
}
_STREAM: Final[dict[str, Any]] = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "description": "one event of the stream",
            "properties": {"id": {"type": "string"}, "data": _DATA, "retry": {"type": "integer"}},
            "required": ["id", "data"],
        }
    }
}

CREATE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/GenerationCreate"}}},
    },
    "responses": {
        str(status): {
            "description": text,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/GenerationStarted"}}},
        }
        for status, text in ((202, "accepted, and still running"), (201, "ended while the answer was held"))
    }
    | {"200": {"description": "with `Accept: text/event-stream`: the event stream", "content": _STREAM}},
}

RETRY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": {"type": "object"}, "examples": {"seed": {"value": {"seed": -1}}}}},
    },
    "responses": CREATE["responses"],
}

TEMPLATE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TemplateWrite"}}},
    }
}

PROJECT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ProjectWrite"}}},
    }
}

EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "unnamed events, each with an `id` and a JSON object with a `type`",
        "content": _STREAM,
    },
    204: {"description": "the end was seen already; do not reconnect"},
}

PICTURE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "the picture",
        "content": {f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in ("jpeg", "png")},
    }
}

FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "the file", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "a part of the file"},
    304: {"description": "unchanged"},
    416: {"description": "the range lies outside the file"},
}


BATCH: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BatchCreate"}}},
    }
}

BATCH_RETRY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BatchRetry"}}},
    }
}

WEBHOOK: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/WebhookWrite"}}},
    }
}

WEBHOOK_CHANGE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/WebhookChange"}}},
    }
}

REDELIVERY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RedeliveryWrite"}}},
    }
}

BATCH_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "unnamed events, each with an `id` and a JSON object with a `type`",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "one event of the stream",
                    "properties": {
                        "id": {"type": "string"},
                        "data": {**_DATA, "contentSchema": {"$ref": _REF.format(model="BatchEventRead")}},
                        "retry": {"type": "integer"},
                    },
                    "required": ["id", "data"],
                }
            }
        },
    },
    204: {"description": "the end was seen already; do not reconnect"},
}

LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "one `BatchResult` a line",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}

ZIP: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "the archive",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def readable(router: APIRouter, path: str, **described: Any) -> Callable[[Route], Route]:
    """A route for GET, and for HEAD as every HTTP server has it. The document shows GET alone."""

    def register(route: Route) -> Route:
        router.head(path, include_in_schema=False)(route)
        return router.get(path, **described)(route)

    return register


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problem answers for these statuses, and for those that any route of the API may give."""
    schema = {"$ref": _REF.format(model="ProblemRead")}
    return {
        status: {
            "description": f"{HTTPStatus(status).phrase}: {_WHEN[status]}",
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in sorted({401, 503, *statuses})
    }


SHOWN: Final = (
    *(GenerationStarted, GenerationPage, EventRead, ProblemRead, BatchEventRead, BatchResult),
    ErrorEnvelope,
)
"""Answers that routes write by themselves."""

WRITTEN: Final = (
    *(GenerationCreate, TemplateWrite, ProjectWrite, ImageCreate, ImageEdit, BatchCreate, BatchRetry),
    *(WebhookWrite, WebhookChange, RedeliveryWrite, JobCreate, AssetFromHash),
)
"""Bodies that routes read by themselves."""


def document(app: FastAPI, templates: Mapping[str, Template], *, wants_key: bool) -> dict[str, Any]:
    """The OpenAPI document with the models that routes read or write by themselves, and what each template takes."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        models = [(model, "validation") for model in WRITTEN]
        shown = [(model, "serialization") for model in SHOWN]
        _, extra = models_json_schema([*models, *shown], ref_template=_REF)  # type: ignore[list-item]
        parts = schema.setdefault("components", {}).setdefault("schemas", {})
        parts.update(extra["$defs"])
        parts.update({f"parameters.{name}": each.json_schema() for name, each in templates.items()})
        body = schema["paths"]["/api/generate"]["post"]["requestBody"]["content"]["application/json"]
        body["examples"] = {
            name: {"summary": each.title, "value": {"template": name, **each.example()}}
            for name, each in templates.items()
        }
        if wants_key:
            _guard(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _guard(schema: dict[str, Any]) -> None:
    """Say how a key is sent: in either of two headers, and not where none is wanted."""
    schema["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    schema["security"] = [{name: []} for name in ("bearer", "key")]
    for path, operations in schema["paths"].items():
        if not path.startswith(("/api/", "/v1/")):
            for operation in operations.values():
                operation["security"] = []
