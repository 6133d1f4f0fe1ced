"""OpenAI's list of models. A model is a template, and its id is the template's name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.api.dependencies import ServicesDep
from app.api.dialects.openai_described import failures
from app.api.dialects.openai_errors import UnknownModel
from app.api.dialects.openai_schemas import ModelPage, ModelRead
from app.api.openapi import readable
from app.catalogue import Known

router = APIRouter(prefix="/v1/models", tags=["openai"])

Name = Annotated[str, Path(max_length=200, description="a template's name or alias")]


@readable(router, "", responses={200: {"model": ModelPage}, **failures()})
async def models(services: ServicesDep) -> Response:
    """All templates that may make pictures, as the models of OpenAI's API."""
    known = [each for each in await services.authoring.catalogue.all() if each.template.may_make_pictures]
    return _json(ModelPage(data=[_read(each, each.template.name) for each in known]))


@readable(router, "/{model:path}", responses={200: {"model": ModelRead}, **failures(400, 404)})
async def model(model: Name, services: ServicesDep) -> Response:
    """One template, as a model of OpenAI's API."""
    catalogue = services.authoring.catalogue
    known = await catalogue.find(model)
    if known is None:
        raise UnknownModel(model, catalogue.names())
    return _json(_read(known, model))


def _read(known: Known, name: str) -> ModelRead:
    owner = "comfy-relay" if known.is_built_in else "user"
    return ModelRead(id=name, created=int(known.created_at or 0), owned_by=owner)


def _json(body: ModelPage | ModelRead) -> Response:
    return Response(body.model_dump_json(), media_type="application/json")
