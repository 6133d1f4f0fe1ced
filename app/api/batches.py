"""Batches over HTTP: start many generations as one, follow and end them as one, and fetch what came of them."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from app.api.batch_archive import archive
from app.api.batch_bodies import batch_request, retry_request
from app.api.batch_schemas import BatchPage, BatchRead, BatchRetry
from app.api.batch_wire import BatchEncoder, PatientStream, result_lines
from app.api.cursors import UUIDS, cursor_of, place_of
from app.api.dependencies import Services, ServicesDep
from app.api.events import NO_CONTENT, LastEventId
from app.api.headers import IdempotencyKey, key
from app.api.openapi import BATCH, BATCH_EVENTS, BATCH_RETRY, LINES, ZIP, errors, readable
from app.api.queries import KNOWN_ONLY
from app.api.schemas import UUID, GenerationPage, GenerationRead
from app.api.streams import ProgressStream
from app.batch_requests import BatchRequest
from app.batches import Standing
from app.generations import GenerationFilter, Position
from app.records import Status
from app.watching import END

router = APIRouter(prefix="/api/batches", tags=["batches"])

BatchId = Annotated[str, Path(pattern=UUID, description="a batch's id")]
Statuses = Annotated[list[Status] | None, Query(description="only items of these statuses; may be repeated")]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=200, description="`nextCursor` of the page before")]

LINES_TYPE: Final = "application/x-ndjson"


async def create_body(request: Request, idempotency_key: IdempotencyKey = None) -> BatchRequest:
    """The body of a new batch."""
    services: Services = request.app.state.services
    host, raw = request.headers.get("host"), await request.body()
    return await batch_request(raw, key(idempotency_key), host, services.settings.max_batch_items)


async def retry_body(request: Request) -> BatchRetry:
    """The body of a retry, if there is one."""
    return retry_request(await request.body())


@router.post(
    "",
    status_code=202,
    responses={202: {"model": BatchRead}, **errors(400, 409, 413, 422)},
    openapi_extra=BATCH,
)
async def create(body: Annotated[BatchRequest, Depends(create_body)], services: ServicesDep) -> Response:
    """Start many generations as one: `items`, or a `base` and what varies.

    All of them are checked before any is on record; one bad item is a 422 that names every bad one. They give way to
    everything somebody waits for. The same batch posted again under its `Idempotency-Key`, or with the same items that
    each have a `key`, goes on where it stands; with keys on all items, new ones may be among them.
    """
    started = await services.batches.submit(body)
    headers = {"Location": f"/api/batches/{started.standing.batch.id}"}
    if started.is_replay:
        headers["Idempotency-Replayed"] = "true"
    return _json(started.standing, services, 202, headers)


@readable(router, "", dependencies=[KNOWN_ONLY], responses={200: {"model": BatchPage}, **errors(422)})
async def listing(services: ServicesDep, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Batches, newest first."""
    found = await services.batches.list(limit + 1, place_of(cursor, UUIDS))
    page, more = found[:limit], len(found) > limit
    last = page[-1].batch if more else None
    body = BatchPage(
        items=[BatchRead.of(each, services.links) for each in page],
        next_cursor=None if last is None else cursor_of(last.created_at, last.id),
    )
    return Response(body.model_dump_json(by_alias=True), media_type="application/json")


@readable(router, "/{batch_id}", responses={200: {"model": BatchRead}, **errors(404, 422)})
async def read(batch_id: BatchId, services: ServicesDep) -> Response:
    """How a batch stands: its items by status, the share done, the seconds it will still take."""
    return _json(await services.batches.get(batch_id), services)


@readable(
    router,
    "/{batch_id}/generations",
    dependencies=[KNOWN_ONLY],
    responses={200: {"model": GenerationPage}, **errors(404, 422)},
)
async def generations(
    batch_id: BatchId, services: ServicesDep, limit: Limit = 50, cursor: Cursor = None, status: Statuses = None
) -> Response:
    """Its generations, newest first."""
    await services.batches.get(batch_id)
    place = place_of(cursor, UUIDS)
    filters = GenerationFilter(batch_id=batch_id, status=tuple(status or ()))
    shown = await services.generations.list(filters, limit + 1, None if place is None else Position(*place))
    page, more = shown[:limit], len(shown) > limit
    last = page[-1].record if more else None
    body = GenerationPage(
        items=[GenerationRead.of(each, services.links) for each in page],
        next_cursor=None if last is None else cursor_of(last.created_at, last.id),
    )
    return Response(body.model_dump_json(by_alias=True), media_type="application/json")


@readable(router, "/{batch_id}/results", dependencies=[KNOWN_ONLY], responses={**LINES, **errors(404, 422)})
async def results(batch_id: BatchId, services: ServicesDep, status: Statuses = None) -> Response:
    """Every item and what came of it, in order: a JSON object a line. Items without an end are among them."""
    await services.batches.get(batch_id)
    lines = result_lines(services.batches, batch_id, status or [], services.links)
    return PatientStream(lines, media_type=LINES_TYPE, headers={"Cache-Control": "no-store"})


@readable(router, "/{batch_id}/archive", responses={**ZIP, **errors(404, 422)})
async def download(batch_id: BatchId, services: ServicesDep) -> Response:
    """All files of the items that have ended, as a zip with a `manifest.json`; made while it is sent."""
    standing = await services.batches.get(batch_id)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="batch-{batch_id[:8]}.zip"',
        "X-Content-Type-Options": "nosniff",
    }
    return PatientStream(archive(services.batches, standing), media_type="application/zip", headers=headers)


@readable(router, "/{batch_id}/events", responses={**BATCH_EVENTS, **errors(404, 422)})
async def events(batch_id: BatchId, services: ServicesDep, last_event_id: LastEventId = None) -> Response:
    """Follow a batch to its end.

    First `connected`; then `item` for each that ends and `progress`, at most twice a second; last `complete`, and the
    server closes. `Last-Event-ID` repeats no item and leaves none out; `0` is before the first. After the end
    reconnecting answers 204.
    """
    if last_event_id == END and (await services.batches.get(batch_id)).is_over:
        return Response(status_code=NO_CONTENT)
    watching = services.batches.watch(batch_id, last_event_id or None)
    watch = await watching.__aenter__()

    async def close() -> None:
        await watching.__aexit__(None, None, None)

    return ProgressStream(watch, close, services.hub, BatchEncoder(services.links).frame)


@router.post("/{batch_id}/cancel", responses={200: {"model": BatchRead}, **errors(404, 422)})
async def cancel(batch_id: BatchId, services: ServicesDep) -> Response:
    """Ask for the end of every item that has none yet; what has ended stays."""
    return _json(await services.batches.cancel(batch_id), services)


@router.post(
    "/{batch_id}/retry",
    status_code=202,
    dependencies=[KNOWN_ONLY],
    responses={202: {"model": BatchRead}, **errors(400, 404, 413, 422)},
    openapi_extra=BATCH_RETRY,
)
async def retry(
    batch_id: BatchId,
    body: Annotated[BatchRetry, Depends(retry_body)],
    services: ServicesDep,
    include_canceled: Annotated[
        bool, Query(alias="includeCanceled", description="canceled items, too, not only failed ones")
    ] = False,
) -> Response:
    """Try the failed items again, with the same seeds: new generations take their places in the batch.

    `includeCanceled` may stand in the query or in a body.
    """
    statuses = [Status.FAILED, *([Status.CANCELED] if include_canceled or body.include_canceled else [])]
    return _json(await services.batches.retry(batch_id, statuses), services, 202)


def _json(standing: Standing, services: Services, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = BatchRead.of(standing, services.links).model_dump_json(by_alias=True)
    return Response(body, status, headers, media_type="application/json")
