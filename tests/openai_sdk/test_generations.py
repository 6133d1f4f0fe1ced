"""The official `openai` package, unmodified, against the running service: pictures from a text, and the models."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import ImagesResponse
from PIL import Image

from tests.conftest import Serve
from tests.files import png
from tests.openai_sdk.asking import KEY, SMALL, hole, opened, sizes, speaking_to
from tests.service import Service
from tests.waiting import WITHIN_S


async def test_one_picture_by_default(client: AsyncOpenAI, guarded: Service) -> None:
    made = await client.images.generate(prompt="a lighthouse", **SMALL)

    assert sizes(made) == [(64, 64)]
    assert (made.size, made.output_format) == ("64x64", "png")
    assert made.created > 1_700_000_000
    assert made.usage is not None
    assert made.usage.total_tokens == 0
    record = await guarded.record(made._request_id or "")
    assert (record["prompt"], record["template"], record["status"]) == ("a lighthouse", "txt2img", "succeeded")


async def test_the_plain_client_works_from_a_thread(guarded: Service) -> None:
    def ask() -> tuple[ImagesResponse, list[str], list[str]]:
        with OpenAI(base_url=f"{guarded.url}/v1", api_key=KEY, timeout=WITHIN_S, max_retries=0) as client:
            made = client.images.generate(prompt="a pier", **SMALL)
            stream = client.images.generate(prompt="a pier", stream=True, **SMALL)
            return made, [event.type for event in stream], [each.id for each in client.models.list()]

    made, events, models = await asyncio.to_thread(ask)

    assert sizes(made) == [(64, 64)]
    assert events == ["image_generation.completed"]
    assert "txt2img" in models


async def test_n_pictures_of_one_size_are_one_generation(client: AsyncOpenAI, guarded: Service) -> None:
    made = await client.images.generate(prompt="a quay", n=3, **SMALL)

    assert sizes(made) == [(64, 64)] * 3
    assert len({each.b64_json for each in made.data or []}) == 3
    assert (await guarded.record(made._request_id or ""))["params"]["batchSize"] == 3


async def test_n_pictures_of_a_template_that_draws_one_at_a_time_are_n_generations(
    client: AsyncOpenAI, guarded: Service
) -> None:
    made = await client.images.edit(model="upscale", image=png(16, 16), prompt="larger", n=2)

    assert len(made.data or []) == 2
    page = (await guarded.http.get("/api/generations")).json()["items"]
    assert [each["template"] for each in page] == ["upscale", "upscale"]
    assert {each["metadata"]["prompt"] for each in page} == {"larger"}


async def test_urls_are_whole_and_work_without_a_key(client: AsyncOpenAI) -> None:
    made = await client.images.generate(prompt="a reef", response_format="url", n=2, **SMALL)

    assert made.data is not None
    async with httpx.AsyncClient(trust_env=False) as anybody:
        for each in made.data:
            answer = await anybody.get(each.url or "")
            assert answer.headers["content-type"] == "image/png"
            assert Image.open(io.BytesIO(answer.content)).size == (64, 64)
            assert each.b64_json is None


@pytest.mark.parametrize(("form", "way"), [("jpeg", "b64_json"), ("webp", "b64_json"), ("png", "url"), ("webp", "url")])
async def test_pictures_come_in_the_format_asked_for(client: AsyncOpenAI, form: Any, way: Any) -> None:
    made = await client.images.generate(
        prompt="a reef", output_format=form, output_compression=40, response_format=way, **SMALL
    )

    assert made.data is not None
    assert made.output_format == form
    if way == "url":
        async with httpx.AsyncClient(trust_env=False) as anybody:
            content = (await anybody.get(made.data[0].url or "")).content
        assert Image.open(io.BytesIO(content)).format == form.upper()
    else:
        assert opened(made.data[0].b64_json).format == form.upper()


@pytest.mark.parametrize(("quality", "steps", "told"), [("low", 10, "low"), ("hd", 30, "high"), ("auto", 20, None)])
async def test_quality_is_steps(
    client: AsyncOpenAI, guarded: Service, quality: Any, steps: int, told: str | None
) -> None:
    made = await client.images.generate(model="txt2img", prompt="x", size="64x64", quality=quality)

    assert (await guarded.record(made._request_id or ""))["params"]["steps"] == steps
    assert made.quality == told


async def test_without_a_size_it_is_the_templates_own(client: AsyncOpenAI) -> None:
    made = await client.images.generate(prompt="x", size="auto", n=None, quality=None, extra_body={"steps": 1})

    assert made.size == "512x512"


async def test_other_parameters_and_names_that_are_taken(client: AsyncOpenAI, guarded: Service) -> None:
    models = (await guarded.http.get("/api/models")).json()["checkpoints"]
    extra = {"seed": 42, "negative_prompt": "fog", "steps": 2, "params": {"model": models[-1]}}

    made = await client.images.generate(
        model="txt2img", prompt="x", size="64x64", style="vivid", user="u-7", moderation="low", extra_body=extra
    )

    record = await guarded.record(made._request_id or "")
    shown = {name: record["params"][name] for name in ("seed", "negativePrompt", "steps", "model")}
    assert shown == {"seed": 42, "negativePrompt": "fog", "steps": 2, "model": models[-1]}
    assert record["metadata"] == {"style": "vivid", "user": "u-7", "moderation": "low"}


async def test_a_model_is_also_known_by_its_alias_and_by_a_name_of_ones_own(
    client: AsyncOpenAI, guarded: Service
) -> None:
    workflow = (await guarded.http.get("/api/templates/txt2img/workflow")).json()
    await guarded.http.post("/api/templates", json={"name": "gpt-image-2", "workflow": workflow})

    alias = await client.images.generate(model="comfyui/flux", prompt="x", size="64x64", extra_body={"steps": 1})
    own = await client.images.generate(model="gpt-image-2", prompt="x", size="64x64", extra_body={"steps": 1})

    assert (await guarded.record(alias._request_id or ""))["template"] == "flux-txt2img"
    assert (await guarded.record(own._request_id or ""))["template"] == "gpt-image-2"
    assert {each.id: each.owned_by async for each in client.models.list()}["gpt-image-2"] == "user"


async def test_models_are_the_templates(client: AsyncOpenAI) -> None:
    listed = await client.models.list()
    one = await client.models.retrieve("comfyui/flux")

    assert {"txt2img", "inpaint", "flux-txt2img"} <= {each.id for each in listed.data}
    assert (one.id, one.object, one.owned_by) == ("comfyui/flux", "model", "comfy-relay")
    with pytest.raises(openai.NotFoundError) as raised:
        await client.models.retrieve("gpt-image-9")
    assert raised.value.code == "model_not_found"


async def test_it_works_on_every_database_and_over_redis(serve: Serve, database_url: str, redis_url: str) -> None:
    api = await serve(database_url=database_url, redis_url=redis_url, api_keys=(KEY,))
    async with speaking_to(api) as client:
        made = await client.images.generate(prompt="x", n=2, **SMALL)
        stream = await client.images.edit(
            image=png(64, 64), mask=hole(), prompt="x", stream=True, partial_images=1, extra_body={"steps": 4}
        )
        types = [event.type async for event in stream]

    assert len(made.data or []) == 2
    assert types[-1] == "image_edit.completed"
