"""Templates over HTTP: what there is, and a caller's own."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from app.api.bodies import written_body
from app.api.dependencies import Services, ServicesDep
from app.api.openapi import TEMPLATE, errors, readable
from app.api.queries import KNOWN_ONLY
from app.api.template_schemas import TemplatePage, TemplateRead, TemplateWrite
from app.authoring import Draft
from app.catalogue import Known
from app.errors import InvalidRequest, NotFound, Problem

router = APIRouter(prefix="/api/templates", tags=["templates"])

_DRAFT: Final[dict[str, Any]] = {"model": TemplateRead, "description": "with `dryRun`: what would be made, unsaved"}

DryRun = Annotated[bool, Query(alias="dryRun", description="only show what would be inferred")]
Name = Annotated[str, Path(max_length=200, description="a template's name or alias")]


async def write_body(request: Request) -> TemplateWrite:
    """A workflow to make a template of."""
    return written_body(await request.body(), TemplateWrite, "a name and a workflow")


BodyDep = Annotated[TemplateWrite, Depends(write_body)]


@readable(router, "", dependencies=[KNOWN_ONLY], responses={200: {"model": TemplatePage}, **errors()})
async def listing(services: ServicesDep) -> Response:
    """All templates: those that ship with the service, then callers' own."""
    items = [_read(known, services) for known in await services.authoring.catalogue.all()]
    return _json(TemplatePage(items=items))


@router.post(
    "",
    status_code=201,
    responses={200: _DRAFT, 201: {"model": TemplateRead}, **errors(400, 409, 413, 422)},
    openapi_extra=TEMPLATE,
)
async def create(
    body: BodyDep,
    services: ServicesDep,
    dry_run: DryRun = False,
) -> Response:
    """Make a template of a workflow: an API-format graph, or the file ComfyUI's editor saves.

    Parameters are inferred from the graph and shown with the reason for each; `bindings` corrects them. A node title
    such as `$strength` names a parameter in the workflow itself.
    """
    if dry_run:
        draft = await services.authoring.draft(body.to_source())
        return _json(_read(Known(draft.template), services, draft))
    if body.name is None:
        raise InvalidRequest(Problem("/name", "is missing; send a name for the template, such as portrait"))
    known, draft = await services.authoring.create(body.to_source())
    return _json(_read(known, services, draft), 201, {"Location": f"/api/templates/{known.template.name}"})


@readable(router, "/{name:path}/workflow", responses=errors(404, 422))
async def workflow(name: Name, services: ServicesDep) -> Response:
    """The graph of a template, in API format."""
    graph = (await _found(name, services)).template.workflow.to_api()
    return Response(msgspec.json.encode(graph), media_type="application/json")


@readable(router, "/{name:path}", responses={200: {"model": TemplateRead}, **errors(404, 422)})
async def read(name: Name, services: ServicesDep) -> Response:
    """One template: its parameters as JSON Schema, an example, and which node each parameter goes to."""
    return _json(_read(await _found(name, services), services))


@router.put(
    "/{name:path}", responses={200: {"model": TemplateRead}, **errors(400, 404, 409, 413, 422)}, openapi_extra=TEMPLATE
)
async def replace(name: Name, body: BodyDep, services: ServicesDep, dry_run: DryRun = False) -> Response:
    """A new version of a caller's own template. What ran before remembers the version it ran.

    Title and description stay where no others are sent.
    """
    if body.name not in (None, name):
        raise InvalidRequest(Problem("/name", f"is not {name!r}, the name in the URL; leave it out"))
    if dry_run:
        draft = await services.authoring.redraft(body.to_source(name))
        return _json(_read(Known(draft.template), services, draft))
    known, draft = await services.authoring.replace(body.to_source(name))
    return _json(_read(known, services, draft))


@router.delete("/{name:path}", status_code=204, responses=errors(404, 409, 422))
async def remove(name: Name, services: ServicesDep) -> Response:
    """Remove a caller's own template; generations it made stay as they are."""
    await services.authoring.catalogue.remove(name)
    return Response(status_code=204)


async def _found(name: str, services: Services) -> Known:
    known = await services.authoring.catalogue.find(name)
    if known is None:
        raise NotFound("template", name)
    return known


def _read(known: Known, services: Services, draft: Draft | None = None) -> TemplateRead:
    return TemplateRead.of(known, services.offers.available(known.template), draft)


def _json(body: TemplateRead | TemplatePage, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(by_alias=True), status, headers, media_type="application/json")
