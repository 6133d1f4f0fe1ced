"""Generations over HTTP: start, try again, read, list, cancel, remove, and the graph that ran."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from app.api.caching import unless_known
from app.api.cursors import LATEST_S, UUIDS, cursor_of, place_of
from app.api.dependencies import CreateDep, GenerationId, OverridesDep, Services, ServicesDep
from app.api.events import stream
from app.api.headers import CancelAfter, IdempotencyKey, Prefer, deadline_s, is_strict, key, wait_s
from app.api.openapi import CREATE, RETRY, errors, readable
from app.api.queries import KNOWN_ONLY
from app.api.schemas import GenerationPage, GenerationRead, GenerationStarted
from app.bus import BusUnavailable
from app.generations import GenerationFilter, Position, Shown, Submitted
from app.records import Status

router = APIRouter(prefix="/api", tags=["generations"])

MAX_LIMIT: Final = 200

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@router.post("/generate", status_code=202, responses=errors(400, 409, 413, 422), openapi_extra=CREATE)
async def create(
    body: CreateDep,
    services: ServicesDep,
    request: Request,
    prefer: Prefer = "",
    idempotency_key: IdempotencyKey = None,
    cancel_after: CancelAfter = None,
) -> Response:
    """Start one generation.

    The answer always carries a non-null `comfyuiPromptId`, committed before ComfyUI heard of the prompt. With
    `Prefer: wait=N` it is held until the generation ends or N seconds passed; with `Accept: text/event-stream` it is
    the event stream. With an `Idempotency-Key` the same request can be sent again without running again.
    """
    asked = body.to_request(key(idempotency_key), deadline_s(cancel_after), request.headers.get("host"))
    asked = dataclasses.replace(asked, is_strict=is_strict(prefer))
    return await _answered(await services.generations.submit(asked), services, request, prefer)


@router.post(
    "/generations/{generation_id}/retry",
    status_code=202,
    responses=errors(400, 404, 409, 413, 422),
    openapi_extra=RETRY,
)
async def retry(
    generation_id: GenerationId,
    body: OverridesDep,
    services: ServicesDep,
    request: Request,
    prefer: Prefer = "",
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """A new generation from the same request, with the same seed. Parameters in the body override: `{"seed": -1}`."""
    submitted = await services.generations.retry(generation_id, body, key(idempotency_key))
    return await _answered(submitted, services, request, prefer)


@router.delete("/generations/{generation_id}", status_code=204, responses=errors(404, 409, 422))
async def delete(generation_id: GenerationId, services: ServicesDep) -> Response:
    """Remove the record and its files for good; one that has not ended is canceled first."""
    await services.generations.delete(generation_id)
    return Response(status_code=204)


@readable(router, "/generations/{generation_id}", responses={200: {"model": GenerationRead}, **errors(404, 422)})
async def read(
    generation_id: GenerationId,
    services: ServicesDep,
    wait: Annotated[float, Query(ge=0, description="seconds to wait for the end, at most `MAX_WAIT_S`")] = 0,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The authoritative record with live progress. Who only polls sees the same numbers as who streams."""
    if wait:
        shown = await services.generations.wait(generation_id, min(wait, services.settings.max_wait_s))
    else:
        shown = await services.generations.get(generation_id)
    answer = _record(shown, services, 200, {"Cache-Control": "no-cache"})
    answer.headers["ETag"] = f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:32]}"'
    return unless_known(answer, if_none_match)


@readable(router, "/generations", dependencies=[KNOWN_ONLY], responses={200: {"model": GenerationPage}, **errors(422)})
async def listing(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="`nextCursor` of the page before")] = None,
    status: Annotated[list[Status] | None, Query()] = None,
    project_id: Annotated[str | None, Query(alias="projectId", max_length=200)] = None,
    batch_id: Annotated[str | None, Query(alias="batchId", max_length=200)] = None,
    template: Annotated[str | None, Query(max_length=200)] = None,
    created_after: Annotated[datetime | None, Query(alias="createdAfter")] = None,
    created_before: Annotated[datetime | None, Query(alias="createdBefore")] = None,
    q: Annotated[str | None, Query(max_length=1000, description="part of the prompt text")] = None,
) -> Response:
    """Generations, newest first."""
    filters = GenerationFilter(
        status=tuple(status or ()),
        project_id=project_id,
        batch_id=batch_id,
        template=template,
        created_after=_seconds(created_after),
        created_before=_seconds(created_before),
        text=q,
    )
    place = place_of(cursor, UUIDS)
    shown = await services.generations.list(filters, limit + 1, None if place is None else Position(*place))
    page, more = shown[:limit], len(shown) > limit
    items = [GenerationRead.of(each, services.links) for each in page]
    last = page[-1].record if more else None
    body = GenerationPage(items=items, next_cursor=None if last is None else cursor_of(last.created_at, last.id))
    return Response(body.model_dump_json(by_alias=True), media_type="application/json")


@router.post("/generations/{generation_id}/cancel", responses={200: {"model": GenerationRead}, **errors(404, 422)})
async def cancel(generation_id: GenerationId, services: ServicesDep) -> Response:
    """Ask for its end: this one only, never a neighbour. Terminal ones answer unchanged."""
    return _record(await services.generations.cancel(generation_id), services, 200, {})


@readable(router, "/generations/{generation_id}/workflow", responses=errors(404, 422))
async def workflow(generation_id: GenerationId, services: ServicesDep) -> Response:
    """The graph that ran, in API format."""
    graph: dict[str, Any] = await services.generations.workflow(generation_id)
    return Response(msgspec.json.encode(graph), media_type="application/json")


async def _answered(submitted: Submitted, services: Services, request: Request, prefer: str) -> Response:
    shown = submitted.shown
    if "text/event-stream" in request.headers.get("accept", "").lower():
        # What was accepted is answered so: without a bus the caller gets the record, and can come back for events.
        with contextlib.suppress(BusUnavailable):
            return await stream(services, shown.record.id)
    headers = {"Location": f"/api/generations/{shown.record.id}"}
    applied = ["handling=strict"] if is_strict(prefer) else []
    if submitted.is_replay:
        headers["Idempotency-Replayed"] = "true"
    longest_s = wait_s(prefer)
    if longest_s is not None:
        longest_s = min(longest_s, services.settings.max_wait_s)
        shown = await services.generations.wait(shown.record.id, longest_s)
        applied.append(f"wait={longest_s:g}")
    if applied:
        headers["Preference-Applied"] = ", ".join(applied)
    is_created = longest_s is not None and shown.record.is_terminal
    body = GenerationStarted.of(shown, services.links).model_dump_json(by_alias=True)
    return Response(body, 201 if is_created else 202, headers, media_type="application/json")


def _record(shown: Shown, services: Services, status: int, headers: dict[str, str]) -> Response:
    body = GenerationRead.of(shown, services.links).model_dump_json(by_alias=True)
    return Response(body, status, headers, media_type="application/json")


def _seconds(asked: datetime | None) -> float | None:
    """Seconds since the epoch. A time without a zone is UTC; what no database can hold becomes the nearest it can."""
    if asked is None:
        return None
    aware = asked if asked.tzinfo is not None else asked.replace(tzinfo=UTC)
    return min(max((aware - _EPOCH).total_seconds(), 0.0), LATEST_S)
