"""Life, readiness and metrics. None of them needs a key, and none tells an address."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from app.api.dependencies import ServicesDep
from app.api.metrics import exposition
from app.api.openapi import readable
from app.api.schemas import ReadinessRead

router = APIRouter(tags=["health"])

READINESS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": ReadinessRead},
    503: {"model": ReadinessRead, "description": "a job could not be finished now; the body says why"},
}


@readable(router, "/healthz")
async def alive() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@readable(router, "/readyz", responses=READINESS)
async def ready(services: ServicesDep) -> Response:
    """Whether a job could be finished now: database, storage, and at least one backend whose socket is alive."""
    readiness = await services.health.ready()
    body = msgspec.json.encode({"ready": readiness.is_ready, **readiness.parts})
    return Response(body, 200 if readiness.is_ready else 503, media_type="application/json")


@readable(router, "/metrics", response_class=PlainTextResponse)
async def metrics(services: ServicesDep) -> Response:
    """Figures for Prometheus."""
    body, content_type = exposition(services.health, len(services.hub), await services.health.figures.gauges())
    return Response(body, headers={"Content-Type": content_type})
