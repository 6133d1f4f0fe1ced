"""From what a caller asks for to what can be put on record: a graph, its parameters, its input files, a record.

Owns the choice of template, seed and model, and the check of the graph against what the servers have. Nothing here is
queued; a request that cannot be met is refused with every wrong place named.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from app import clock
from app.addresses import Allowed
from app.catalogue import Known
from app.comfyui import templates
from app.comfyui import workflow as workflows
from app.comfyui.checks import Finding
from app.comfyui.parameters import did_you_mean
from app.comfyui.problems import InvalidInputError
from app.comfyui.templates import Template
from app.comfyui.workflow import Workflow
from app.errors import InvalidRequest, NotPossible, Problem, pointer
from app.offers import Judgement
from app.records import Generation, WebhookTarget
from app.references import Bound, Sources, bind, template_slots, workflow_slots
from app.requests import DEFAULT_TEMPLATE, Prepared, Request
from app.webhook_urls import problem_of

MAX_SEED: Final = 2**53 - 1
"""Seeds we draw are exact in a browser, where numbers are doubles; ComfyUI takes up to 2**64 - 1."""

CONFIG_NAMES: Final = ("generationConfigName", "generation_config_name", "templateName", "template_name")
"""What older front ends call the template. A name nobody knows does not break their request."""

OLDER_NAMES: Final = frozenset(
    {
        *CONFIG_NAMES,
        *("styleName", "style_name", "shotSize", "shot_size", "entityIds", "entity_ids", "modelType", "model_type"),
    }
)
"""Fields of older front ends: parameters where a template has them, else kept in the metadata.

A request that has one of them is an older one: whatever else its template does not know goes there, too.
"""

MAX_KEPT_CHARS: Final = 2000
"""Of a reference that a template has no use for: a URL is kept with the metadata, a file's content is not."""

_TEMPLATE: Final = "/template"
_PUBLIC: Final = Allowed()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A graph made for a request. `known` is its template, None for a raw workflow; `places` as in `Prepared`."""

    request: Request
    generation_id: str
    graph: Workflow
    params: dict[str, Any]
    bound: Bound
    asked: dict[str, Any]
    known: Known | None = None
    places: Mapping[tuple[str, str], str] | None = None


class Lookup(Protocol):
    """Templates by name; see `Catalogue`."""

    async def find(self, name: str) -> Known | None: ...

    async def at(self, name: str, version: int) -> Known | None: ...

    def names(self) -> tuple[str, ...]: ...


class Offered(Protocol):
    """What the servers have; see `Offers`."""

    def available(self, template: Template) -> dict[str, tuple[str, ...]]: ...

    async def judged(self, graph: Workflow) -> Judgement: ...


class Preparer:
    """Knows the templates, and from the servers what they have. `receivers`: whom webhooks may go to besides the
    public.
    """

    def __init__(self, catalogue: Lookup, offers: Offered, uploads: Sources, receivers: Allowed = _PUBLIC) -> None:
        self._catalogue, self._offers, self._uploads = catalogue, offers, uploads
        self._receivers = receivers

    async def prepare(self, request: Request) -> Prepared:
        """Everything decided, under ids of its own. Raises InvalidRequest, NotPossible, Unavailable."""
        generation_id, fingerprint = str(uuid.uuid4()), request.fingerprint()
        check_webhook(request.webhook, self._receivers)
        try:
            if request.workflow is not None:
                _check_params(request)
                draft = await self._from_workflow(request, generation_id)
            else:
                known = await self._named(request)
                request = request if request.is_strict else _modern(request, known.template)
                draft = await self._from_template(request, known, generation_id)
        except InvalidInputError as error:
            problems = [Problem(request.at(each.pointer), each.message) for each in error.problems]
            raise InvalidRequest(*problems) from error
        judgement = await self._offers.judged(draft.graph)
        if judgement.findings:
            raise _not_possible(judgement.findings, draft)
        graph = _forced(draft.graph.to_api(), request, generation_id)
        record = _record(draft, judgement.able, None if request.idempotency_key is None else fingerprint)
        return Prepared(record, graph, draft.asked, draft.places)

    async def _from_workflow(self, request: Request, generation_id: str) -> _Draft:
        graph = workflows.parse(request.workflow)
        slots = workflow_slots(graph, request.references)
        bound = await bind(slots, request.references, self._uploads, request.own_host)
        asked: dict[str, Any] = {"references": bound.sources}
        values: dict[tuple[str, str], str | float | bool] = {
            slot.spot: bound.names[slot.name] for slot in slots if slot.name in bound.names
        }
        if values:
            graph = graph.with_inputs(values)
            asked["workflow"] = graph.to_api()  # Without what a source was written as: it can be a whole file.
        return _Draft(
            request=request,
            generation_id=generation_id,
            graph=graph,
            params=dict(request.params),
            bound=bound,
            asked=request.asked() | asked,
        )

    async def _from_template(self, request: Request, known: Known, generation_id: str) -> _Draft:
        template = known.template
        slots = template_slots(template, request.params, request.nested)
        bound = await bind(slots, request.references, self._uploads, request.own_host)
        rendered = templates.render(
            template,
            {name: value for name, value in request.params.items() if not _is_media(template, name)} | bound.names,
            seed=secrets.randbelow(MAX_SEED),
            available=self._offers.available(template),
            # A folder of its own: ComfyUI lists the folder for every file it saves there.
            output_prefix=f"relay/{generation_id[:8]}/image",
        )
        params: dict[str, Any] = dict(rendered.params) | bound.ids
        return _Draft(
            request=request,
            generation_id=generation_id,
            graph=rendered.workflow,
            params=params,
            bound=bound,
            asked=request.asked() | {"template": template.name, "params": params, "references": []},
            known=known,
            places={
                spot: request.at(f"/{name}") for name, each in template.parameters.items() for spot in each.bindings
            },
        )

    async def _named(self, request: Request) -> Known:
        if request.template is None:
            for name in CONFIG_NAMES:
                value = request.params.get(name)
                if isinstance(value, str) and (known := await self._catalogue.find(value)) is not None:
                    return known
        name = request.template or DEFAULT_TEMPLATE
        if request.template_version is not None:
            known = await self._catalogue.at(name, request.template_version)
        else:
            known = await self._catalogue.find(name)
        if known is None:
            names = self._catalogue.names()
            hint = did_you_mean(name, names)
            raise InvalidRequest(
                Problem("/template", f"there is no template {name!r};{hint} built-in ones are: {', '.join(names)}")
            )
        return known


def check_webhook(webhook: WebhookTarget | None, receivers: Allowed) -> None:
    """Raises InvalidRequest for a receiver that nothing would ever be sent to."""
    problem = None if webhook is None else problem_of(webhook.url, receivers)
    if problem is not None:
        raise InvalidRequest(Problem("/webhook/url", problem))


def _check_params(request: Request) -> None:
    """A raw workflow has no parameters; `prompt` is the text its generation is found by."""
    if request.is_strict and (names := request.params.keys() - {"prompt"}):
        why = "goes nowhere: a raw workflow has no parameters; change the graph, or make a template of it"
        raise InvalidRequest(*(Problem(pointer(name), why) for name in sorted(names)))


def planned_nodes(graph: Mapping[str, Any]) -> int:
    """How many nodes of a graph on record are expected to run; 0 for one that is none any more."""
    try:
        return len(workflows.plan(workflows.parse(graph)).nodes)
    except InvalidInputError:
        return 0


def _is_media(template: Template, spelling: str) -> bool:
    parameter = template.parameter(spelling)
    return parameter is not None and parameter.kind.is_media


def _modern(request: Request, template: Template) -> Request:
    """Without what older front ends send and this template has no place for: that goes to the metadata."""
    is_older = any(name in OLDER_NAMES for name in request.params)
    left = {
        name: value
        for name, value in request.params.items()
        if (name in OLDER_NAMES or is_older) and template.parameter(name) is None and f"/{name}" not in request.nested
    }
    references, room = request.references, len(template_slots(template, {}, frozenset()))
    if references and (room == 0 or (is_older and len(references) > room)):
        left["references"] = [_kept(each) for each in references[room:]]
        references = references[:room]
    params = {name: value for name, value in request.params.items() if name not in left}
    return replace(request, params=params, metadata={**left, **request.metadata}, references=references)


def _not_possible(findings: tuple[Finding, ...], draft: _Draft) -> NotPossible:
    problems, node_errors = [], dict[str, Any]()
    for finding in findings:
        place = _place(finding, draft)
        told = finding.message if place != _TEMPLATE else finding.sentence
        problems.append(Problem(place, told))
        if finding.node_id is not None:
            node = node_errors.setdefault(finding.node_id, {"class_type": finding.class_type, "errors": []})
            node["errors"].append(
                {
                    "type": finding.code.value,
                    "message": finding.message,
                    "extra_info": {
                        "input_name": finding.input_name,
                        "received_value": finding.given,
                        "possible": list(finding.possible),
                    },
                }
            )
    return NotPossible(tuple(problems), node_errors)


def _place(finding: Finding, draft: _Draft) -> str:
    """Where the caller wrote it: in his workflow, in a parameter, or nowhere, when the template itself is at fault."""
    if draft.places is None:
        return draft.request.at(finding.pointer)
    return draft.places.get((finding.node_id or "", finding.input_name or ""), _TEMPLATE)


def _kept(reference: Any) -> str:
    source = str(reference.get("source") if isinstance(reference, dict) else reference)
    return source if len(source) <= MAX_KEPT_CHARS else "(not kept)"


def _record(draft: _Draft, able: tuple[str, ...] | None, fingerprint: str | None) -> Generation:
    request, params = draft.request, draft.params
    now, seed, prompt_text = clock.now(), params.get("seed"), params.get("prompt")
    return Generation(
        id=draft.generation_id,
        prompt_id=str(uuid.uuid4()),
        template=draft.known.template.name if draft.known else None,
        template_version=draft.known.version if draft.known else None,
        params=params,
        prompt_text=prompt_text if isinstance(prompt_text, str) else None,
        seed=seed if isinstance(seed, int) else None,
        priority=request.priority,
        force=request.force,
        keep_temporary=request.keep_temporary,
        project_id=request.project_id,
        metadata=dict(request.metadata),
        inputs=draft.bound.files,
        able=None if able is None else f",{','.join(able)},",
        deadline_at=None if request.deadline_s is None else round(now + request.deadline_s, 6),
        idempotency_key=request.idempotency_key,
        fingerprint=fingerprint,
        total_steps=workflows.plan(draft.graph).total_steps,
        created_at=now,
        webhook=request.webhook,
    )


def _forced(graph: dict[str, Any], request: Request, generation_id: str) -> dict[str, Any]:
    """With `force`, every source node gets an input no node reads: ComfyUI ignores it and its cache does not."""
    if request.force:
        for node in graph.values():
            if not any(isinstance(value, list) for value in node["inputs"].values()):
                node["inputs"]["relay_force"] = generation_id
    return graph
