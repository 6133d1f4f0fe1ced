"""The vendor's published contract of the Comfy API v2, and whether an answer keeps it."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator, FormatChecker

from tests.service import Json

CONTRACT: Final[Json] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "comfy-api-v2" / "openapi.yaml").read_text("utf-8")
)

BESIDE: Final = {405, 413, 503}
"""Statuses that plain HTTP has and the contract leaves out."""

FORMATS: Final = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("uri", raises=ValueError)
def _is_absolute(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and urlsplit(value).netloc)


def modern(schema: Any) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema: `nullable` is one more type."""
    match schema:
        case {"nullable": True, **rest}:
            return {"anyOf": [modern(rest), {"type": "null"}]}
        case dict():
            return {name: modern(part) for name, part in schema.items() if name not in {"example", "nullable"}}
        case list():
            return [modern(part) for part in schema]
        case _:
            return schema


COMPONENTS: Final = {"schemas": modern(CONTRACT["components"]["schemas"])}


def check(value: object, schema: Json) -> None:
    """Raises jsonschema's ValidationError where the value does not keep the schema."""
    Draft202012Validator({**modern(schema), "components": COMPONENTS}, format_checker=FORMATS).validate(value)


def check_event(name: str, data: object) -> None:
    """Whether the contract's stream has such an event."""
    described = CONTRACT["paths"]["/api/v2/jobs/{id}/events"]["get"]["x-sse-events"][name]
    check(data, {"$ref": described["schema"]})


async def check_answer(answer: httpx.Response) -> None:
    """Whether an answer under /api/v2 is one of those the contract has for the request. For httpx's event hooks."""
    path, method = answer.request.url.path, answer.request.method.lower()
    if not path.startswith("/api/v2"):
        return
    operation = _operation(path, method)
    described = (operation or {"responses": {}})["responses"].get(str(answer.status_code))
    if described is not None and "$ref" in described:
        described = CONTRACT["components"]["responses"][described["$ref"].rpartition("/")[2]]
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        assert described is not None
        assert answer.status_code == 200
        return
    await answer.aread()
    if answer.status_code >= 400 and method != "head":
        assert answer.headers["content-type"] == "application/json", answer.text
        check(answer.json(), {"$ref": "#/components/schemas/ErrorEnvelope"})
    if operation is not None:
        assert described is not None or answer.status_code in BESIDE, (method, path, answer.status_code, answer.text)
        content = (described or {}).get("content", {}).get("application/json")
        if content is not None and method != "head":
            check(answer.json(), content["schema"])


def _operation(path: str, method: str) -> Json | None:
    """None for what the contract does not have: the list of jobs, routes that are none, further methods."""
    for template, operations in CONTRACT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: Json | None = operations.get(method)
            return found
    return None
