"""Everything a caller can be told went wrong. One class, one remedy.

    AppError                    carries HTTP status, code, detail; becomes application/problem+json
    ├── InvalidRequest     422  something in the body or query is wrong; each place is named
    ├── WorkflowRejected   422  ComfyUI refused the workflow; carries its node errors
    ├── NotPossible        422  no server could run the workflow; carries what is wrong, node by node
    ├── BodyTooLarge       413
    ├── UnsupportedMedia   415  the file is of no type that is taken in
    ├── UnusableFile       422  the file is of such a type, and broken or too large as a picture
    ├── BadSource          422  what a request names as input cannot be had, or is one of the three above
    ├── MalformedBody      400  not JSON at all
    ├── Unauthorized       401
    ├── NotFound           404
    ├── KeyMismatch        422  the idempotency key is on record for another request
    ├── KeyInUse           409  the first request of this idempotency key is still being processed
    ├── StillRunning       409  it cannot be removed before ComfyUI has let go of it
    ├── TemplateExists     409  another template has this name
    ├── ProjectExists      409  another project has this id
    ├── BuiltInTemplate    409  templates that ship with the service stay as they are
    ├── OutputGone         410  the record knows the file, the storage no longer has it
    ├── QueueFull          503  try again later
    ├── NoBackend          503  no ComfyUI answers, and the service is told not to accept work then
    └── Unavailable        503  the database or the storage does not answer

Errors carry data and compose their own text; none holds a path, an address or a traceback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong place in a request, and the remedy: a JSON pointer ("/steps"), "?limit", or the name of a header."""

    pointer: str
    message: str


def pointer(*steps: object) -> str:
    """The JSON pointer (RFC 6901) that takes these steps from the root."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


class AppError(Exception):
    """Something a caller is told. `detail` is one human sentence with the remedy."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers: dict[str, str] = {}
        self.extra: dict[str, Any] = {}


class InvalidRequest(AppError):
    """The request is understood but wrong; `problems` names each place."""

    status, code, title = 422, "invalid_request", "The request is not valid"

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(": ".join(filter(None, (each.pointer, each.message))) for each in problems[:3]))
        self.problems = problems
        self.extra = {"errors": [{"pointer": problem.pointer, "message": problem.message} for problem in problems]}


class WorkflowRejected(AppError):
    """ComfyUI refused the workflow. `node_errors` is its map from node id to what is wrong there.

    `places`: for a workflow made from a template, the pointer of each (node id, input) that came from a parameter.
    """

    status, code, title = 422, "rejected", "ComfyUI refused the workflow"

    def __init__(
        self,
        detail: str,
        node_errors: dict[str, Any],
        generation_id: str,
        places: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        super().__init__(detail)
        found = [(_place(fault, places), fault.text) for fault in _node_faults(node_errors)]
        found = found or [("/workflow" if places is None else "/template", detail)]
        self.extra = {
            "nodeErrors": node_errors,
            "errors": [{"pointer": place, "message": text} for place, text in found],
            "generationId": generation_id,
        }


class NotPossible(AppError):
    """No server could run the workflow. `node_errors` has it node by node, in the shape of ComfyUI's own."""

    status, code, title = 422, "not_possible", "No ComfyUI server could run this workflow"

    def __init__(self, problems: tuple[Problem, ...], node_errors: dict[str, Any]) -> None:
        super().__init__("; ".join(": ".join(filter(None, (each.pointer, each.message))) for each in problems[:3]))
        self.extra = {
            "nodeErrors": node_errors,
            "errors": [{"pointer": problem.pointer, "message": problem.message} for problem in problems],
        }


class MalformedBody(AppError):
    """The body cannot be read."""

    status, code, title = 400, "malformed_body", "The body cannot be read"


class BodyTooLarge(AppError):
    """The body is larger than the service takes."""

    status, code, title = 413, "body_too_large", "The body is too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body may hold at most {max_bytes} bytes.")


class UnsupportedMedia(AppError):
    """The file is no picture, video or sound of a type that is taken in. `accepted` names those that are."""

    status, code, title = 415, "unsupported_media_type", "The file is of no type that is taken"

    def __init__(self, accepted: str) -> None:
        super().__init__(f"The file's content is of no type that is taken, whatever its name says; send {accepted}.")


class UnusableFile(AppError):
    """The file says it is a picture, but it cannot be used as one."""

    status, code, title = 422, "unusable_file", "The file cannot be used"


class BadSource(AppError):
    """What was named as input - an id, a data URL, a URL - gives no file that can be used."""

    status, code, title = 422, "bad_source", "The input cannot be used"


class Unauthorized(AppError):
    """No key, or one that is not ours; `wrong` says what was sent that opens nothing."""

    status, code, title = 401, "unauthorized", "An API key is required"

    def __init__(self, wrong: str = "") -> None:
        remedy = "Send 'Authorization: Bearer KEY' or 'X-API-Key: KEY', or use a URL from an answer."
        super().__init__(f"{wrong} {remedy}".strip())
        self.headers = {"WWW-Authenticate": "Bearer"}


class NotFound(AppError):
    """There is no such thing here."""

    status, code, title = 404, "not_found", "Not found"

    def __init__(self, what: str, key: str) -> None:
        super().__init__(f"There is no {what} {key!r}.")
        self.what, self.key = what, key


class KeyMismatch(AppError):
    """An idempotency key was used before, for something else."""

    status, code, title = 422, "idempotency_mismatch", "The idempotency key belongs to another request"

    def __init__(self, key: str) -> None:
        super().__init__(f"The key {key!r} was used for a different request; take a new key for a new request.")
        self.extra = {"errors": [{"pointer": "Idempotency-Key", "message": "used for a different request"}]}


class KeyInUse(AppError):
    """The first request of this key has not been answered yet."""

    status, code, title = 409, "idempotency_in_progress", "The first request is still being processed"

    def __init__(self, key: str) -> None:
        super().__init__(f"The request with the key {key!r} is still being processed; ask again in a moment.")
        self.headers = {"Retry-After": "1"}


class StillRunning(AppError):
    """A generation cannot be removed while ComfyUI works on it."""

    status, code, title = 409, "still_running", "The generation is still being canceled"

    def __init__(self, generation_id: str) -> None:
        super().__init__(f"ComfyUI has not let go of {generation_id!r} yet; ask again in a moment.")
        self.headers = {"Retry-After": "2"}


class TemplateExists(AppError):
    """The name is taken."""

    status, code, title = 409, "template_exists", "There is a template of this name"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a template {name!r} already; PUT /api/templates/{name} replaces it.")


class ProjectExists(AppError):
    """The id is taken."""

    status, code, title = 409, "project_exists", "There is a project of this id"

    def __init__(self, project_id: str) -> None:
        super().__init__(f"There is a project {project_id!r} already; use it, or take another id.")


class BuiltInTemplate(AppError):
    """It ships with the service."""

    status, code, title = 409, "built_in_template", "A built-in template cannot be changed"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} ships with the service and stays as it is; take another name for your own.")


class OutputGone(AppError):
    """The file was kept once and is no longer there."""

    status, code, title = 410, "output_gone", "The file is gone"


class QueueFull(AppError):
    """As many generations wait as the service holds."""

    status, code, title = 503, "queue_full", "The queue is full"

    def __init__(self, pending: int, retry_after_s: int) -> None:
        super().__init__(f"{pending} generations are waiting already; try again in {retry_after_s} s.")
        self.headers = {"Retry-After": str(retry_after_s)}


class NoBackend(AppError):
    """No ComfyUI answers right now, and the service is told not to wait for one."""

    status, code, title = 503, "no_backend", "No ComfyUI server answers"

    def __init__(self, retry_after_s: int = 5) -> None:
        super().__init__("No ComfyUI server answers right now; try again shortly.")
        self.headers = {"Retry-After": str(retry_after_s)}


class Unavailable(AppError):
    """Something of our own does not answer for a moment."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, what: str, retry_after_s: int = 2) -> None:
        super().__init__(f"The {what} does not answer right now; try again in {retry_after_s} s.")
        self.headers = {"Retry-After": str(retry_after_s)}


class _NodeFault(NamedTuple):
    node_id: str
    input_name: str | None
    text: str


def _node_faults(node_errors: dict[str, Any]) -> Iterator[_NodeFault]:
    """Each error of ComfyUI's `node_errors`, tolerant of foreign shapes."""
    for node_id, node in node_errors.items():
        errors = node.get("errors") if isinstance(node, dict) else None
        for error in errors if isinstance(errors, list) else []:
            if isinstance(error, dict):
                parts = [str(error[key]) for key in ("message", "details") if error.get(key)]
                yield _NodeFault(str(node_id), _input_name(error), ": ".join(parts) or "is not valid")


def _input_name(error: dict[str, Any]) -> str | None:
    more = error.get("extra_info")
    name = more.get("input_name") if isinstance(more, dict) else None
    return name if isinstance(name, str) else None


def _place(fault: _NodeFault, places: Mapping[tuple[str, str], str] | None) -> str:
    if places is not None:
        return places.get((fault.node_id, fault.input_name or ""), "/template")
    inputs = () if fault.input_name is None else ("inputs", fault.input_name)
    return pointer("workflow", fault.node_id, *inputs)
