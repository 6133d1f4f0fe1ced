"""Jobs of the Comfy API v2: submit, read, list, follow, cancel, and the graph that ran."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.api.bodies import written_body
from app.api.cursors import UUIDS, cursor_of, place_of
from app.api.dependencies import Services, ServicesDep, calling_it
from app.api.events import stream
from app.api.headers import IdempotencyKey, key
from app.api.openapi import readable
from app.api.schemas import UUID
from app.api.v2.described import EVENTS, body, failures
from app.api.v2.events import JobFrames
from app.api.v2.labels import asked_labels, given_labels, is_filter
from app.api.v2.schemas import JobCreate, JobPage, JobRead, JobStatus, JobWorkflow
from app.api.v2.shapes import STATUSES, Shapes, labels, progress
from app.api.v2.workflows import with_uploads
from app.errors import InvalidRequest, NotFound, Problem
from app.generations import GenerationFilter, Position, Shown
from app.preparing import planned_nodes
from app.requests import Request as Asked
from app.v2_errors import BadCursor, NotForwarded

router = APIRouter(prefix="/jobs", dependencies=[calling_it("job")])

MAX_LIMIT: Final = 200
FILTERS: Final = frozenset({"limit", "cursor", "status"})

MAX_SHOWN_CHARS: Final = 100
"""Of an id that is none."""

_ID: Final = re.compile(UUID)

# Told and not enforced: what is no id is not found, as the contract has it.
JobId = Annotated[str, Path(description="a job's id: it is the generation's", json_schema_extra={"pattern": UUID})]


@router.post(
    "",
    status_code=201,
    responses={201: {"model": JobRead}, **failures(413, 422, 429)},
    openapi_extra=body("JobCreate"),
)
async def create(services: ServicesDep, http: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Submit a workflow in API format. The answer is a job that is durably on record.

    A `core/ASSET` object in place of an input stands for an asset. An `Idempotency-Key` is good for one job within a
    day: a second request with it is `idempotency_key_reuse`, whatever it asks for.
    """
    asked = written_body(await http.body(), JobCreate, "a workflow")
    if asked.extra_data:
        raise NotForwarded
    request = Asked(
        workflow=await with_uploads(asked.workflow, services.assets),
        metadata=given_labels(asked.metadata),
        idempotency_key=key(idempotency_key),
        own_host=http.headers.get("host"),
    )
    shown = await services.single_use.submit(request)
    headers = {"Location": f"{http.url.path}/{shown.record.id}"}
    return _json(Shapes.of(services, http).job(shown), 201, headers)


@readable(router, "", responses={200: {"model": JobPage}, **failures(422)})
async def listing(
    services: ServicesDep,
    http: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")] = None,
    status: Annotated[list[JobStatus] | None, Query()] = None,
) -> Response:
    """Jobs, newest first: all generations, however they were started. `metadata[name]=value` filters by labels."""
    _refuse_unknown(http)
    wanted = asked_labels(http)
    filters = GenerationFilter(
        status=tuple(each for each, shown in STATUSES.items() if shown in (status or ())), labels=wanted
    )
    found = await services.generations.list(filters, limit + 1, _position(cursor))
    page, last = found[:limit], found[limit - 1].record if len(found) > limit else None
    shapes = Shapes.of(services, http)
    jobs = [shapes.item(each) for each in page if dict(wanted).items() <= labels(each.record).items()]
    next_cursor = None if last is None else cursor_of(last.created_at, last.id)
    return _json(JobPage.model_construct(jobs=jobs, next_cursor=next_cursor))


@readable(router, "/{job_id}", responses={200: {"model": JobRead}, **failures(404, 422)})
async def read(job_id: JobId, services: ServicesDep, http: Request) -> Response:
    """The job: its status, the latest progress, and every output so far."""
    shown = await services.generations.get(_known(job_id))
    return _json(Shapes.of(services, http).job(shown, await _nodes(services, shown)))


@readable(router, "/{job_id}/workflow", responses={200: {"model": JobWorkflow}, **failures(404, 422)})
async def workflow(job_id: JobId, services: ServicesDep) -> Response:
    """The graph that ran, or will, in API format."""
    graph: dict[str, Any] = await services.generations.workflow(_known(job_id))
    return Response(msgspec.json.encode({"workflow": graph, "format": "api"}), media_type="application/json")


@readable(router, "/{job_id}/events", responses={**EVENTS, **failures(404, 422)})
async def events(job_id: JobId, services: ServicesDep, http: Request) -> Response:
    """Follow a job to its end: its status, the latest progress and preview at once, then what is news.

    Events have names and no ids; each `progress` is complete. Every output is told before the end, which is a `status`.
    """
    preview = None
    with contextlib.suppress(NotFound):
        preview = await services.generations.preview(_known(job_id))
    nodes = await _nodes(services, await services.generations.get(_known(job_id)))
    frames = JobFrames(Shapes.of(services, http), preview, nodes)
    return await stream(services, _known(job_id), frame=frames)


@router.post("/{job_id}/cancel", responses={200: {"model": JobRead}, **failures(404, 422)})
async def cancel(job_id: JobId, services: ServicesDep, http: Request) -> Response:
    """Ask for its end: this one only, never a neighbour. A job that is over is answered unchanged."""
    shown = await services.generations.cancel(_known(job_id))
    return _json(Shapes.of(services, http).job(shown, await _nodes(services, shown)))


async def _nodes(services: Services, shown: Shown) -> int:
    """How many nodes its graph has that run, where its progress does not count them (any more)."""
    if shown.moment.aggregate_progress is not None or progress(shown.moment) is None:
        return 0
    return planned_nodes(await services.generations.workflow(shown.record.id))


def _known(job_id: str) -> str:
    """The id, if a job could have it. Raises NotFound."""
    if not _ID.fullmatch(job_id):
        raise NotFound("job", job_id[:MAX_SHOWN_CHARS])
    return job_id


def _position(cursor: str | None) -> Position | None:
    try:
        place = place_of(cursor, UUIDS)
    except InvalidRequest as error:
        raise BadCursor from error
    return None if place is None else Position(*place)


def _refuse_unknown(http: Request) -> None:
    """A misspelt filter would show jobs nobody asked for."""
    unknown = [name for name in http.query_params if name not in FILTERS and not is_filter(name)]
    if unknown:
        known = ", ".join(sorted({*FILTERS, "metadata[name]"}))
        raise InvalidRequest(*(Problem(f"?{name}", f"is no filter; there are: {known}") for name in unknown[:20]))


def _json(shape: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(shape.model_dump_json(by_alias=True), status, headers, media_type="application/json")
