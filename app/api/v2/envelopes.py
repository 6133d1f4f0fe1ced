"""What goes wrong, in the Comfy API v2's envelope: `{"error": {"code", "message", "details"}}`.

Owns the translation of problem documents, for everything under /api/v2, whoever refused it; never decides what is
refused. `details` has `errors`, each wrong place by its JSON pointer, and `node_errors`, those of a workflow by node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from app.api.dialects.translation import Told

ROOT: Final = "/api/v2"

INVALID_WORKFLOW: Final = "invalid_workflow"

_TOLD: Final[Mapping[str, tuple[int, str]]] = {
    "rejected": (422, INVALID_WORKFLOW),
    "not_possible": (422, INVALID_WORKFLOW),
    "malformed_body": (422, "invalid_request"),
    "unsupported_media_type": (422, "unsupported_media_type"),
    "output_gone": (404, "not_found"),
    "queue_full": (429, "queue_full"),
    "no_backend": (429, "deployment_not_ready"),
    "unavailable": (503, "upstream_error"),
    "internal_error": (500, "upstream_error"),
}
"""Status and code where they differ from this service's own."""

_WORKFLOW: Final = "/workflow"


def tell(document: dict[str, Any]) -> Told:
    """The envelope of a problem document."""
    places: Sequence[Mapping[str, str]] = document.get("errors") or ()
    status, code = _TOLD.get(document["code"], (document["status"], document["code"]))
    if code == "invalid_request" and any(_is_in_workflow(each["pointer"]) for each in places):
        code = INVALID_WORKFLOW
    node_errors = dict(_node_errors(document.get("nodeErrors") or {})) or _by_node(places)
    details = {name: part for name, part in (("errors", list(places)), ("node_errors", node_errors)) if part}
    error = {"code": code, "message": document["detail"], "details": details or None}
    return Told(status, {"error": error}, "application/json")


def _is_in_workflow(pointer: str) -> bool:
    return (pointer + "/").startswith(f"{_WORKFLOW}/")


def _node_errors(told: Mapping[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """ComfyUI's `node_errors`, tolerant of foreign shapes, as `field`, `reason` and `message`."""
    for node_id, node in told.items():
        errors = node.get("errors") if isinstance(node, dict) else None
        found = [_node_error(each) for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
        if found:
            yield node_id, found


def _node_error(told: Mapping[str, Any]) -> dict[str, Any]:
    more = told.get("extra_info")
    field = more.get("input_name") if isinstance(more, dict) else None
    message = ": ".join(str(told[name]) for name in ("message", "details") if told.get(name))
    return {"field": field, "reason": str(told.get("type") or "invalid"), "message": message}


def _by_node(places: Sequence[Mapping[str, str]]) -> dict[str, list[dict[str, Any]]]:
    """The same of a graph that is wrong by itself: /workflow/12/inputs/model is the field `model` of node 12."""
    found: dict[str, list[dict[str, Any]]] = {}
    for place in places:
        node_id, *steps = [_unescaped(step) for step in place["pointer"].split("/")[2:]] or [""]
        if _is_in_workflow(place["pointer"]) and node_id:
            field = steps[1] if len(steps) > 1 and steps[0] == "inputs" else None
            found.setdefault(node_id, []).append({"field": field, "reason": "invalid", "message": place["message"]})
    return found


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
