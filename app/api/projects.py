"""Projects over HTTP: optional names for generations that belong together."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from app.api.bodies import written_body
from app.api.cursors import NAMES, cursor_of, place_of
from app.api.dependencies import ServicesDep
from app.api.openapi import PROJECT, errors, readable
from app.api.project_schemas import ProjectPage, ProjectRead, ProjectWrite
from app.api.queries import KNOWN_ONLY

router = APIRouter(prefix="/api/projects", tags=["projects"])


async def write_body(request: Request) -> ProjectWrite:
    """A project to make; an empty body makes one of a name of ours."""
    raw = await request.body()
    return written_body(raw or b"{}", ProjectWrite, "an id, or nothing in it")


@readable(router, "", dependencies=[KNOWN_ONLY], responses={200: {"model": ProjectPage}, **errors(422)})
async def listing(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=1000, description="`nextCursor` of the page before")] = None,
) -> Response:
    """Projects, newest first."""
    found = await services.projects.list(limit + 1, place_of(cursor, NAMES))
    page, more = found[:limit], len(found) > limit
    items = [ProjectRead.of(each) for each in page]
    return _json(ProjectPage(items=items, next_cursor=cursor_of(page[-1].created_at, page[-1].id) if more else None))


@router.post(
    "", status_code=201, responses={201: {"model": ProjectRead}, **errors(400, 409, 413, 422)}, openapi_extra=PROJECT
)
async def create(body: Annotated[ProjectWrite, Depends(write_body)], services: ServicesDep) -> Response:
    """Make a project. A generation that names one nobody made makes it, too."""
    project = await services.projects.create(body.id, body.title, body.metadata or {})
    return _json(ProjectRead.of(project, {}), 201)


@readable(router, "/{project_id:path}", responses={200: {"model": ProjectRead}, **errors(404, 422)})
async def read(project_id: Annotated[str, Path(max_length=200)], services: ServicesDep) -> Response:
    """One project, with its generations counted by status; `GET /api/generations?projectId=` lists them."""
    project = await services.projects.get(project_id)
    return _json(ProjectRead.of(project, await services.projects.counts(project_id)))


def _json(body: ProjectRead | ProjectPage, status: int = 200) -> Response:
    return Response(body.model_dump_json(by_alias=True), status, media_type="application/json")
