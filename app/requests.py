"""What a caller asks for, and what it is made into before it is put on record. Values only; `preparing` decides."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from app.errors import InvalidRequest, Problem, pointer
from app.records import Generation, WebhookTarget

DEFAULT_TEMPLATE: Final = "txt2img"

_SNAKE: Final = re.compile(r"_([a-z])")
_ASKED: Final = (
    *("template", "template_version", "params", "references", "workflow"),
    *("project_id", "metadata", "priority", "force", "keep_temporary", "deadline_s"),
)


RESERVED: Final = frozenset(
    {
        *("template", "workflow", "params", "references", "projectId", "metadata", "priority", "force"),
        *("keepTemporary", "deadlineSeconds", "webhook"),
    }
)
"""Fields of a request beside which parameters stand: no parameter can be called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller wants: a template with parameters, or a workflow of his own.

    `nested` are the pointers of those parameters that stood inside `params`, not beside it. `deadline_s` counts from
    the moment of acceptance. `idempotency_key` is the caller's name for this very request. `references` are input
    files, each a source (see `Uploads.from_source`) or `{"source", "parameter"}`. `template_version` None: the one in
    force. `own_host` is the `host:port` the caller knows us by. `webhook`: who is told of it. `is_strict`: what there
    is no place for is refused, where otherwise it is kept beside the generation for the sake of older front ends.
    """

    template: str | None = None
    template_version: int | None = None
    references: tuple[Any, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    nested: frozenset[str] = frozenset()
    workflow: object = None
    project_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    force: bool = False
    keep_temporary: bool = False
    deadline_s: float | None = None
    idempotency_key: str | None = None
    own_host: str | None = None
    webhook: WebhookTarget | None = None
    is_strict: bool = False

    def at(self, place: str) -> str:
        """Where in the body the caller wrote what `place`, a pointer into the graph or the parameters, is about."""
        if self.workflow is not None:
            return f"/workflow{place}"
        return f"/params{place}" if place in self.nested else place

    def asked(self) -> dict[str, Any]:
        """Everything that decides what is made, for the database; `again` reads it."""
        asked = {name: getattr(self, name) for name in _ASKED}
        return asked if self.webhook is None else {**asked, "webhook": self.webhook}

    def fingerprint(self) -> str:
        """Equal for requests that ask for the same, whatever the order of their keys."""
        return hashlib.sha256(msgspec.json.encode(self.asked(), order="deterministic")).hexdigest()


def again(
    asked: Mapping[str, Any], made: Generation, overrides: Mapping[str, Any], idempotency_key: str | None = None
) -> Request:
    """The request stored as `asked`, with the parameters it was `made` with, seed included, some of them changed."""
    request = Request(**{name: asked[name] for name in _ASKED if name in asked}, idempotency_key=idempotency_key)
    request = replace(
        request,
        references=tuple(request.references),
        template_version=made.template_version,
        webhook=made.webhook,
    )
    if request.workflow is None:
        changed = {_SNAKE.sub(lambda found: found[1].upper(), name): value for name, value in overrides.items()}
        return replace(request, params={**made.params, **changed})
    if overrides:
        why = "a raw workflow has no parameters; post a changed workflow instead"
        raise InvalidRequest(*(Problem(pointer(name), why) for name in overrides))
    return request


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that can be met.

    `asked` is what `again` would need. `places` tells which part of the body each bound input of the graph came from.
    """

    record: Generation
    workflow: dict[str, Any]
    asked: dict[str, Any]
    places: Mapping[tuple[str, str], str] | None = None
