"""What a caller asks for, and what becomes of it before it is put on record: a graph, its parameters, a record.

Owns the choice of template, seed and model. Nothing here is stored or sent; a request that cannot be met is refused
with every wrong place named.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from app import clock
from app.backends import BackendPool
from app.comfyui import templates
from app.comfyui import workflow as workflows
from app.comfyui.problems import InvalidInputError
from app.comfyui.templates import Template
from app.comfyui.workflow import Workflow
from app.errors import InvalidRequest, Problem, pointer
from app.records import Generation

DEFAULT_TEMPLATE: Final = "txt2img"

MAX_SEED: Final = 2**53 - 1
"""Seeds we draw are exact in a browser, where numbers are doubles; ComfyUI takes up to 2**64 - 1."""

_SNAKE: Final = re.compile(r"_([a-z])")
_ASKED: Final = ("template", "params", "workflow", "project_id", "metadata", "priority", "force", "deadline_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller wants: a template with parameters, or a workflow of his own.

    `nested` are the pointers of those parameters that stood inside `params`, not beside it. `deadline_s` counts from
    the moment of acceptance. `idempotency_key` is the caller's name for this very request.
    """

    template: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    nested: frozenset[str] = frozenset()
    workflow: object = None
    project_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    force: bool = False
    deadline_s: float | None = None
    idempotency_key: str | None = None

    def at(self, place: str) -> str:
        """Where in the body the caller wrote what `place`, a pointer into the graph or the parameters, is about."""
        if self.workflow is not None:
            return f"/workflow{place}"
        return f"/params{place}" if place in self.nested else place

    def asked(self) -> dict[str, Any]:
        """Everything that decides what is made, for the database; `again` reads it."""
        return {name: getattr(self, name) for name in _ASKED}

    def fingerprint(self) -> str:
        """Equal for requests that ask for the same, whatever the order of their keys."""
        return hashlib.sha256(msgspec.json.encode(self.asked(), order="deterministic")).hexdigest()


def again(
    asked: Mapping[str, Any], made: Generation, overrides: Mapping[str, Any], idempotency_key: str | None = None
) -> Request:
    """The request stored as `asked`, with the parameters it was `made` with, seed included, some of them changed."""
    request = Request(**{name: asked[name] for name in _ASKED if name in asked}, idempotency_key=idempotency_key)
    if request.workflow is None:
        changed = {_SNAKE.sub(lambda found: found[1].upper(), name): value for name, value in overrides.items()}
        return replace(request, params={**made.params, **changed})
    if overrides:
        why = "a raw workflow has no parameters; post a changed workflow instead"
        raise InvalidRequest(*(Problem(pointer(name), why) for name in overrides))
    return request


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that can be met. `places` tells which part of the body each bound input of the graph came from."""

    record: Generation
    workflow: dict[str, Any]
    places: Mapping[tuple[str, str], str] | None = None


class Preparer:
    """Knows the templates, and from the backends what they have."""

    def __init__(self, builtin: Mapping[str, Template], pool: BackendPool) -> None:
        self._templates, self._pool = builtin, pool

    def prepare(self, request: Request) -> Prepared:
        """Everything decided, under ids of its own. Raises InvalidRequest."""
        generation_id = str(uuid.uuid4())
        try:
            if request.workflow is not None:
                graph = workflows.parse(request.workflow)
                return _prepared(request, generation_id, graph, dict(request.params))
            template = self._template(request.template or DEFAULT_TEMPLATE)
            rendered = templates.render(
                template,
                request.params,
                seed=secrets.randbelow(MAX_SEED),
                available=self._available(template),
                # A folder of its own: ComfyUI lists the folder for every file it saves there.
                output_prefix=f"relay/{generation_id[:8]}/image",
            )
        except InvalidInputError as error:
            problems = [Problem(request.at(each.pointer), each.message) for each in error.problems]
            raise InvalidRequest(*problems) from error
        places: dict[tuple[str, str], str] = {
            spot: request.at(f"/{name}") for name, each in template.parameters.items() for spot in each.bindings
        }
        return _prepared(request, generation_id, rendered.workflow, dict(rendered.params), template.name, places)

    def _template(self, name: str) -> Template:
        template = self._templates.get(name)
        if template is None:
            known = ", ".join(sorted(self._templates))
            raise InvalidRequest(Problem("/template", f"there is no template {name!r}; there are: {known}"))
        return template

    def _available(self, template: Template) -> dict[str, tuple[str, ...]]:
        """What the backends really offer for each parameter that has a list of choices there."""
        available: dict[str, tuple[str, ...]] = {}
        for name in template.parameters:
            for class_type, input_name in template.bound_classes(name):
                if choices := self._pool.choices(class_type, input_name):
                    available[name] = choices
        return available


def _prepared(
    request: Request,
    generation_id: str,
    graph: Workflow,
    params: dict[str, Any],
    template: str | None = None,
    places: Mapping[tuple[str, str], str] | None = None,
) -> Prepared:
    now, seed, prompt_text = clock.now(), params.get("seed"), params.get("prompt")
    record = Generation(
        id=generation_id,
        prompt_id=str(uuid.uuid4()),
        template=template,
        params=params,
        prompt_text=prompt_text if isinstance(prompt_text, str) else None,
        seed=seed if isinstance(seed, int) else None,
        priority=request.priority,
        force=request.force,
        project_id=request.project_id,
        metadata=dict(request.metadata),
        deadline_at=None if request.deadline_s is None else round(now + request.deadline_s, 6),
        idempotency_key=request.idempotency_key,
        fingerprint=request.fingerprint() if request.idempotency_key is not None else None,
        total_steps=workflows.plan(graph).total_steps,
        created_at=now,
    )
    return Prepared(record, _forced(graph.to_api(), request, generation_id), places)


def _forced(graph: dict[str, Any], request: Request, generation_id: str) -> dict[str, Any]:
    """With `force`, every source node gets an input no node reads: ComfyUI ignores it and its cache does not."""
    if request.force:
        for node in graph.values():
            if not any(isinstance(value, list) for value in node["inputs"].values()):
                node["inputs"]["relay_force"] = generation_id
    return graph
