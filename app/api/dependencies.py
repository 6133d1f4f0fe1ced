"""What routes need, by name: taken from the application's state, where `main` put it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Path, Request, params

from app.api.bodies import generation_body, overrides_body
from app.api.links import Links
from app.api.request_schemas import GenerationCreate
from app.api.schemas import UUID
from app.api.streams import StreamHub
from app.api.wire import EventEncoder
from app.assets import Assets
from app.authoring import Authoring
from app.batches import Batches
from app.conversions import Conversions
from app.errors import NotFound
from app.generations import Generations
from app.health import Health
from app.offers import Offers
from app.projects import Projects
from app.settings import Settings
from app.single_use import SingleUse
from app.uploads import Uploads
from app.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the API calls."""

    settings: Settings
    generations: Generations
    batches: Batches
    uploads: Uploads
    authoring: Authoring
    offers: Offers
    projects: Projects
    webhooks: Webhooks
    conversions: Conversions
    health: Health
    links: Links
    encoder: EventEncoder
    hub: StreamHub
    assets: Assets
    single_use: SingleUse


async def services(request: Request) -> Services:
    """The services of this application; they exist from the start of its lifespan.

    Asynchronous without need: FastAPI runs a plain function in a thread, for each request.
    """
    return cast("Services", request.app.state.services)


def calling_it(name: str) -> params.Depends:
    """For routes of a dialect that calls a generation something else: what is not found is told by that name."""

    async def called() -> AsyncGenerator[None, None]:
        try:
            yield
        except NotFound as error:
            raise NotFound(error.what.replace("generation", name), error.key) from error

    return cast("params.Depends", Depends(called))


async def create_body(request: Request) -> GenerationCreate:
    """The body of a new generation."""
    return generation_body(await request.body())


async def overrides(request: Request) -> dict[str, Any]:
    """The body of a retry: parameters to change, or nothing."""
    return overrides_body(await request.body())


ServicesDep = Annotated[Services, Depends(services)]
CreateDep = Annotated[GenerationCreate, Depends(create_body)]
OverridesDep = Annotated[dict[str, Any], Depends(overrides)]
GenerationId = Annotated[str, Path(pattern=UUID, description="a generation's id")]
