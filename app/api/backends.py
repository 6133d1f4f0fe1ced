"""The ComfyUI servers over HTTP: how they are, and what they have. Never where they are."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from app.api.dependencies import ServicesDep
from app.api.openapi import errors, readable
from app.api.queries import KNOWN_ONLY
from app.api.schemas import Wire
from app.offers import Condition

router = APIRouter(prefix="/api", tags=["backends"])


class BackendRead(Wire):
    """One ComfyUI server."""

    name: str
    healthy: bool
    listening: bool = Field(description="its socket has proved itself alive")
    version: str | None
    device: str | None
    vram_total_bytes: int | None
    vram_free_bytes: int | None
    running: int | None = Field(description="prompts it runs, everybody's; null if it could not be asked")
    queued: int | None = Field(description="prompts in its queue, everybody's; null if it could not be asked")
    in_flight: int = Field(description="generations of ours it has in hand")
    last_error: str | None

    @classmethod
    def of(cls, condition: Condition) -> BackendRead:
        return cls.model_validate(condition, from_attributes=True)


class BackendPage(Wire):
    """All servers."""

    items: list[BackendRead]
    next_cursor: str | None = None


class ModelsRead(Wire):
    """What the servers really have, by category; a name may be missing at some of them."""

    checkpoints: list[str]
    diffusion_models: list[str]
    loras: list[str]
    vaes: list[str]
    text_encoders: list[str]
    clip_vision: list[str]
    control_nets: list[str]
    upscale_models: list[str]
    style_models: list[str]
    hypernetworks: list[str]
    audio_encoders: list[str]
    samplers: list[str]
    schedulers: list[str]


@readable(router, "/backends", dependencies=[KNOWN_ONLY], responses={200: {"model": BackendPage}, **errors()})
async def backends(services: ServicesDep) -> Response:
    """Every ComfyUI server: whether it works, what it is, and how much it has to do."""
    page = BackendPage(items=[BackendRead.of(each) for each in await services.offers.conditions()])
    return Response(page.model_dump_json(by_alias=True), media_type="application/json")


@readable(router, "/models", dependencies=[KNOWN_ONLY], responses={200: {"model": ModelsRead}, **errors()})
async def models(services: ServicesDep) -> Response:
    """Model files, samplers and schedulers, merged over all servers."""
    await services.offers.refresh(30.0)
    body = ModelsRead.model_validate({name: list(found) for name, found in services.offers.models().items()})
    return Response(body.model_dump_json(by_alias=True), media_type="application/json")
