"""The official `openai` package, unmodified: streams of partial images."""

from __future__ import annotations

import asyncio

import openai
import pytest
from openai import AsyncOpenAI

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator
from tests.conftest import Serve
from tests.files import png
from tests.openai_sdk.asking import SMALL, ended, opened
from tests.service import Service
from tests.waiting import until


@pytest.mark.parametrize("wanted", [0, 1, 2, 3])
async def test_a_stream_has_partial_images_and_then_the_picture(drawing: AsyncOpenAI, wanted: int) -> None:
    stream = await drawing.images.generate(
        model="txt2img", prompt="x", size="64x64", stream=True, partial_images=wanted, extra_body={"steps": 12}
    )

    events = [event async for event in stream]

    partial = [event for event in events if event.type == "image_generation.partial_image"]
    assert [event.type for event in events][-1] == "image_generation.completed"
    assert len(events) == len(partial) + 1
    assert [event.partial_image_index for event in partial] == list(range(len(partial)))
    assert min(wanted, 1) <= len(partial) <= wanted
    assert all(opened(event.b64_json).format == "PNG" for event in events)
    assert (events[-1].size, events[-1].output_format) == ("64x64", "png")


async def test_a_stream_of_several_pictures_has_an_end_for_each_in_the_format_asked_for(drawing: AsyncOpenAI) -> None:
    stream = await drawing.images.generate(
        prompt="x", n=2, stream=True, partial_images=1, output_format="webp", quality="low", **SMALL
    )

    events = [event async for event in stream]

    assert [event.type for event in events].count("image_generation.completed") == 2
    assert {opened(event.b64_json).format for event in events} == {"WEBP"}
    assert {event.quality for event in events} == {"low"}


async def test_an_edit_streams_under_its_own_names(drawing: AsyncOpenAI) -> None:
    stream = await drawing.images.edit(
        image=png(64, 64), prompt="x", stream=True, partial_images=1, extra_body={"steps": 12}
    )

    types = [event.type async for event in stream]

    assert types == ["image_edit.partial_image", "image_edit.completed"]


async def test_a_failure_in_the_middle_of_a_stream_is_raised(client: AsyncOpenAI, comfy: Simulator) -> None:
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY

    stream = await client.images.generate(prompt="x", stream=True, **SMALL)
    with pytest.raises(openai.APIError) as raised:
        _ = [event async for event in stream]

    assert "memory" in raised.value.message
    assert raised.value.code == "generation_failed"


async def test_who_leaves_a_stream_has_the_generation_canceled(
    client: AsyncOpenAI, guarded: Service, comfy: Simulator
) -> None:
    comfy.hold("progress", node="3")

    stream = await client.images.generate(prompt="x", stream=True, **SMALL)
    await comfy.held()
    await stream.close()
    await until(lambda: bool(comfy.requests["POST /interrupt"]))
    comfy.release()

    assert await ended(guarded) == ["canceled"]


async def test_a_stream_ends_with_an_error_when_the_service_stops_and_the_generation_goes_on(
    client: AsyncOpenAI, guarded: Service, comfy: Simulator
) -> None:
    comfy.hold("progress", node="3")
    stream = await client.images.generate(prompt="x", stream=True, **SMALL)
    await comfy.held()

    async def read() -> None:
        async for _ in stream:
            pass

    reading = asyncio.create_task(read())
    await guarded.stop()
    with pytest.raises(openai.APIError) as raised:
        await reading
    comfy.release()
    await guarded.start()

    assert raised.value.code == "unavailable"
    assert await ended(guarded) == ["succeeded"]


async def test_a_stream_with_nothing_to_tell_is_kept_open_with_comments(serve: Serve, comfy: Simulator) -> None:
    api = await serve(ping_interval_s=0.05)
    comfy.hold("progress", node="3")
    body = {"prompt": "x", "size": "64x64", "steps": 2, "stream": True}

    async with api.http.stream("POST", "/v1/images/generations", json=body) as response:
        chunks = response.aiter_text()
        first = await anext(chunks)
        comfy.release()
        rest = "".join([chunk async for chunk in chunks])

    assert first.startswith(": ping")
    assert "event: image_generation.completed\ndata: {" in rest
    assert response.headers["content-type"].startswith("text/event-stream")
