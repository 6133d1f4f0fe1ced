"""Webhooks over HTTP: register receivers, look through what was delivered, have it delivered again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.api.bodies import options_body, written_body
from app.api.cursors import LATEST_S, MESSAGES, UUIDS, cursor_of, place_of
from app.api.dependencies import GenerationId, Services, ServicesDep
from app.api.openapi import REDELIVERY, WEBHOOK, WEBHOOK_CHANGE, errors, readable
from app.api.queries import KNOWN_ONLY
from app.api.schemas import UUID
from app.api.webhook_schemas import (
    MESSAGE_ID,
    DeliveryPage,
    DeliveryRead,
    RedeliveryRead,
    RedeliveryWrite,
    SecretRead,
    WebhookChange,
    WebhookMade,
    WebhookPage,
    WebhookRead,
    WebhookWrite,
)
from app.errors import InvalidRequest, Problem
from app.webhooks import Delivery, DeliveryStatus, Standing

router = APIRouter(prefix="/api", tags=["webhooks"])

NO_STORE: Final = {"Cache-Control": "no-store"}

WebhookId = Annotated[str, Path(pattern=UUID, description="a registered receiver's id")]
BatchId = Annotated[str, Path(pattern=UUID, description="a batch's id")]
DeliveryId = Annotated[str, Path(pattern=MESSAGE_ID, description="a delivery's id, which is its `webhook-id`")]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=200, description="`nextCursor` of the page before")]
Statuses = Annotated[list[DeliveryStatus] | None, Query(description="only these; may be repeated")]
Since = Annotated[datetime | None, Query(description="only those of events since then; default: all in the log")]


async def write_body(request: Request) -> WebhookWrite:
    """A receiver to register."""
    return written_body(await request.body(), WebhookWrite, "a url")


async def change_body(request: Request) -> WebhookChange:
    """What to change of a receiver."""
    return written_body(await request.body(), WebhookChange, "what is to change")


async def redelivery(request: Request, since: Since = None) -> datetime | None:
    """Since when failed deliveries are to be made again; in the query or in the body, as the caller likes."""
    body = options_body(await request.body(), RedeliveryWrite, "since")
    if body.since is not None and since is not None:
        raise InvalidRequest(Problem("/since", "is given twice, also as ?since; send one of them"))
    return body.since or since


@readable(router, "/webhooks", dependencies=[KNOWN_ONLY], responses={200: {"model": WebhookPage}, **errors(422)})
async def listing(services: ServicesDep, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Registered receivers, newest first, without their secrets."""
    found = await services.webhooks.list(limit + 1, place_of(cursor, UUIDS))
    page, more = found[:limit], len(found) > limit
    after = cursor_of(page[-1].created_at, page[-1].id) if more else None
    standings = await services.webhooks.standings([each.id for each in page])
    items = [WebhookRead.of(each, standings.get(each.id, Standing())) for each in page]
    return _json(WebhookPage(items=items, next_cursor=after))


@router.post(
    "/webhooks",
    status_code=201,
    responses={201: {"model": WebhookMade}, **errors(400, 409, 413, 422)},
    openapi_extra=WEBHOOK,
)
async def create(body: Annotated[WebhookWrite, Depends(write_body)], services: ServicesDep) -> Response:
    """Register a receiver of events of all generations and batches. Its secret is in this answer and nowhere else.

    Every event is a POST by the Standard Webhooks specification: `webhook-id`, `webhook-timestamp`,
    `webhook-signature`, and a thin JSON body of `type`, `timestamp` and `data`.
    """
    made = await services.webhooks.register(body.url, body.wanted, body.description, is_enabled=body.enabled)
    return _json(WebhookMade.of(made, Standing()), 201, {"Location": f"/api/webhooks/{made.id}"})


@readable(router, "/webhooks/secret", responses={200: {"model": SecretRead}, **errors()})
async def service_secret(services: ServicesDep) -> Response:
    """The secret that signs events for receivers that a request named (`webhook` of a generation or a batch)."""
    return _json(SecretRead.of(await services.webhooks.service_secrets.read()), headers=NO_STORE)


@router.post("/webhooks/secret", responses={200: {"model": SecretRead}, **errors(409)})
async def rotate_service_secret(services: ServicesDep) -> Response:
    """A new secret for receivers that a request named. For a day every event is signed with the one before, too.

    Where `COMFY_RELAY_WEBHOOK_SECRET` gives it, it is changed there.
    """
    return _json(SecretRead.of(await services.webhooks.service_secrets.rotate()), headers=NO_STORE)


@readable(router, "/webhooks/deliveries/{delivery_id}", responses={200: {"model": DeliveryRead}, **errors(404, 422)})
async def delivery(delivery_id: DeliveryId, services: ServicesDep) -> Response:
    """One delivery, with its newest attempts."""
    return _json(DeliveryRead.of(await services.webhooks.delivery(delivery_id)))


@router.post(
    "/webhooks/deliveries/{delivery_id}/redeliver",
    status_code=202,
    responses={202: {"model": DeliveryRead}, **errors(404, 409, 422)},
)
async def redeliver(delivery_id: DeliveryId, services: ServicesDep) -> Response:
    """Deliver it again under the same `webhook-id`, whatever came of it; one that waits is tried now."""
    return _json(DeliveryRead.of(await services.webhooks.redeliver(delivery_id)), 202)


@readable(router, "/webhooks/{webhook_id}", responses={200: {"model": WebhookRead}, **errors(404, 422)})
async def read(webhook_id: WebhookId, services: ServicesDep) -> Response:
    """One receiver: what it is told of, how much is still to be delivered, since when that fails."""
    endpoint = await services.webhooks.get(webhook_id)
    return _json(WebhookRead.of(endpoint, await services.webhooks.standing(webhook_id)))


@router.put(
    "/webhooks/{webhook_id}",
    responses={200: {"model": WebhookRead}, **errors(400, 404, 413, 422)},
    openapi_extra=WEBHOOK_CHANGE,
)
async def change(
    webhook_id: WebhookId, body: Annotated[WebhookChange, Depends(change_body)], services: ServicesDep
) -> Response:
    """Change it; what is not sent stays as it is. What waits goes to the new URL.

    Disabled, it is told nothing more, and what was still to be delivered has failed; enabled again, or
    with another URL, it starts anew.
    """
    endpoint = await services.webhooks.change(webhook_id, **body.changes)
    return _json(WebhookRead.of(endpoint, await services.webhooks.standing(webhook_id)))


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=errors(404, 422))
async def remove(webhook_id: WebhookId, services: ServicesDep) -> Response:
    """Remove it with its log; what was still to be delivered is not."""
    await services.webhooks.remove(webhook_id)
    return Response(status_code=204)


@router.post("/webhooks/{webhook_id}/secret", responses={200: {"model": SecretRead}, **errors(404, 422)})
async def rotate(webhook_id: WebhookId, services: ServicesDep) -> Response:
    """A new secret, shown this one time. For a day every event is signed with the one before, too."""
    made = await services.webhooks.rotate(webhook_id)
    return _json(SecretRead.of(made), headers=NO_STORE)


@router.post("/webhooks/{webhook_id}/test", responses={200: {"model": DeliveryRead}, **errors(404, 422)})
async def test(webhook_id: WebhookId, services: ServicesDep) -> Response:
    """Send it a `webhook.test` now and once, enabled or not; the answer says what came of it."""
    return _json(DeliveryRead.of(await services.webhooks.test(webhook_id)))


@readable(
    router,
    "/webhooks/{webhook_id}/deliveries",
    dependencies=[KNOWN_ONLY],
    responses={200: {"model": DeliveryPage}, **errors(404, 422)},
)
async def deliveries(
    webhook_id: WebhookId, services: ServicesDep, limit: Limit = 50, cursor: Cursor = None, status: Statuses = None
) -> Response:
    """What was and is to be delivered to it, newest first."""
    await services.webhooks.get(webhook_id)
    return await _page(services, "webhook_id", webhook_id, limit, cursor, status)


@router.post(
    "/webhooks/{webhook_id}/redeliver",
    status_code=202,
    dependencies=[KNOWN_ONLY],
    responses={202: {"model": RedeliveryRead}, **errors(400, 404, 409, 413, 422)},
    openapi_extra=REDELIVERY,
)
async def redeliver_failed(
    webhook_id: WebhookId, since: Annotated[datetime | None, Depends(redelivery)], services: ServicesDep
) -> Response:
    """Deliver everything again that failed, in the order it happened for each generation, under the same ids.

    `since` may stand in the query or in the body. Tests are not made again.
    """
    return _json(RedeliveryRead(count=await services.webhooks.redeliver_failed(webhook_id, _seconds(since))), 202)


@readable(
    router,
    "/generations/{generation_id}/deliveries",
    dependencies=[KNOWN_ONLY],
    responses={200: {"model": DeliveryPage}, **errors(404, 422)},
)
async def of_generation(
    generation_id: GenerationId,
    services: ServicesDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Statuses = None,
) -> Response:
    """Who was and is to be told of a generation, newest first; also of one that was removed."""
    return await _page(services, "generation_id", generation_id, limit, cursor, status)


@readable(
    router,
    "/batches/{batch_id}/deliveries",
    dependencies=[KNOWN_ONLY],
    responses={200: {"model": DeliveryPage}, **errors(404, 422)},
)
async def of_batch(
    batch_id: BatchId, services: ServicesDep, limit: Limit = 50, cursor: Cursor = None, status: Statuses = None
) -> Response:
    """Who was and is to be told of the end of a batch, newest first."""
    await services.batches.get(batch_id)
    return await _page(services, "batch_id", batch_id, limit, cursor, status)


async def _page(
    services: Services,
    owner: str,
    owner_id: str,
    limit: int,
    cursor: str | None,
    statuses: Sequence[DeliveryStatus] | None,
) -> Response:
    place = place_of(cursor, MESSAGES)
    found = await services.webhooks.deliveries(owner, owner_id, limit + 1, place, statuses or ())
    if not found and place is None and owner == "generation_id":
        await services.generations.get(owner_id)
    page: Sequence[Delivery] = found[:limit]
    after = cursor_of(page[-1].created_at, page[-1].id) if len(found) > limit else None
    return _json(DeliveryPage(items=[DeliveryRead.of(each) for each in page], next_cursor=after))


def _seconds(since: datetime | None) -> float:
    """Seconds since the epoch. A time without a zone is UTC; what no database can hold becomes the nearest it can."""
    if since is None:
        return 0.0
    aware = since if since.tzinfo is not None else since.replace(tzinfo=UTC)
    return min(max((aware - datetime.fromtimestamp(0, UTC)).total_seconds(), 0.0), LATEST_S)


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(by_alias=True), status, headers, media_type="application/json")
