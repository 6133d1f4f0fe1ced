"""The official `openai` package, unmodified: what it raises, and what becomes of what nobody waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator
from tests.api.asking import NOBODY, held_while_drawing
from tests.conftest import Serve
from tests.files import png
from tests.openai_sdk.asking import KEY, SMALL, ended, sizes, speaking_to
from tests.service import Json, Service
from tests.waiting import until

WRONG: dict[str, tuple[Json, str, str]] = {
    "an unknown parameter": ({"extra_body": {"stepz": 3}}, "stepz", "did you mean 'steps'"),
    "a size nobody draws": ({"size": "13x64"}, "size", "multiple of 8"),
    "a size that is none": ({"size": "large"}, "size", "WIDTHxHEIGHT"),
    "too many": ({"n": 11}, "n", "less than or equal to 10"),
    "none": ({"n": 0}, "n", "greater than or equal to 1"),
    "an empty prompt": ({"prompt": ""}, "prompt", "at least 1"),
    "a format it has not": ({"output_format": "gif"}, "output_format", "'png'"),
    "a quality it has not": ({"quality": "ultra"}, "quality", "'low'"),
    "a background it cannot": ({"background": "transparent"}, "background", "leave it out"),
    "too many partial images": ({"stream": True, "partial_images": 4}, "partial_images", "less than or equal to 3"),
    "a wrong seed": ({"extra_body": {"seed": "x"}}, "seed", "whole number"),
    "a wrong one inside params": ({"extra_body": {"params": {"cfg": -1}}}, "cfg", "from 0"),
}


async def test_a_wrong_request_is_a_bad_request_that_names_the_parameter(client: AsyncOpenAI, guarded: Service) -> None:
    for wrong, (change, param, told) in WRONG.items():
        with pytest.raises(openai.BadRequestError) as raised:
            await client.images.generate(**{"prompt": "x", "size": "64x64", **change})

        assert (raised.value.param, raised.value.type) == (param, "invalid_request_error"), wrong
        assert told in raised.value.message, wrong
    assert await ended(guarded) == []


async def test_an_unknown_model_is_not_found(client: AsyncOpenAI) -> None:
    for asking in (
        client.images.generate(model="gpt-image-9", prompt="x"),
        client.images.edit(model="gpt-image-9", prompt="x", image=png(64, 64)),
    ):
        with pytest.raises(openai.NotFoundError) as raised:
            await asking
        assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
        assert "txt2img" in raised.value.message


WRONG_EDITS: list[tuple[Json, str | None]] = [
    ({"image": b"no picture"}, "image"),
    ({"image": [png(64, 64), b"no picture"]}, "image"),
    ({"mask": b"no picture"}, "mask"),
    ({"model": "img2img", "mask": png(64, 64)}, "mask"),
    ({"model": "img2img", "image": [png(64, 64), png(64, 64, seed=1)]}, "image"),
    ({"model": "txt2img"}, "image"),
    ({"model": "upscale", "size": "64x64"}, "size"),
    ({"n": "two"}, "n"),
    ({"prompt": ""}, "prompt"),
]


async def test_a_wrong_edit_is_a_bad_request(client: AsyncOpenAI, guarded: Service) -> None:
    for change, param in WRONG_EDITS:
        with pytest.raises(openai.BadRequestError) as raised:
            await client.images.edit(**{"image": png(64, 64), "prompt": "x", **change})

        assert raised.value.param == param, change
    assert await ended(guarded) == []


async def test_a_wrong_file_of_an_edit_is_named_as_it_was_sent(guarded: Service) -> None:
    async def edit(**request: Any) -> list[str]:
        answer = await guarded.http.post("/v1/images/edits", **request)
        assert answer.status_code == 400, answer.text
        document = answer.json()
        assert all(each["pointer"] in document["detail"] for each in document["errors"])
        return [each["pointer"] for each in document["errors"]]

    fine, bad, prompt = png(64, 64), b"no picture", {"prompt": "x"}
    urls = [{"image_url": "data:image/png;base64,AAAA"}, {"file_id": NOBODY}]

    assert await edit(data=prompt, files=[("image[]", fine), ("image[]", bad)]) == ["/image/1"]
    assert await edit(data=prompt, files=[("image", fine), ("mask", bad)]) == ["/mask"]
    assert await edit(data=prompt, files=[("image", fine), ("image", fine)]) == ["/image/1"]
    assert await edit(data=prompt, files=[("mask", fine)]) == ["/image"]
    assert await edit(json={**prompt, "images": urls[:1]}) == ["/images/0"]
    assert await edit(json={**prompt, "images": urls[1:]}) == ["/images/0"]
    assert await edit(json={**prompt, "images": urls[:1], "mask": urls[1]}) == ["/mask"]
    assert await edit(json=prompt) == ["/images"]


async def test_a_wrong_receiver_is_named_in_json_and_in_a_form(client: AsyncOpenAI, guarded: Service) -> None:
    extra = {"webhook": {"url": "http://127.0.0.1:9/x"}}

    for asking in (
        client.images.generate(prompt="x", extra_body=extra),
        client.images.edit(prompt="x", image=png(64, 64), extra_body=extra),
    ):
        with pytest.raises(openai.BadRequestError, match="COMFY_RELAY_WEBHOOK_ALLOW") as raised:
            await asking
        assert raised.value.param == "webhook"
    assert await ended(guarded) == []


@pytest.mark.parametrize("path", ["/v1/images/generations", "/api/generate", "/api/batches", "/api/v2/jobs"])
async def test_a_form_where_json_is_wanted_is_told_so(guarded: Service, path: str) -> None:
    answer = await guarded.http.post(path, data={"prompt": "x"}, files={"image": png(64, 64)})

    assert answer.status_code in {400, 422}
    assert "The body is a form; send JSON" in answer.text


async def test_a_wrong_key_is_an_authentication_error(guarded: Service) -> None:
    async with speaking_to(guarded, "another") as stranger:
        for asking in (stranger.images.generate(prompt="x"), stranger.models.retrieve("txt2img")):
            with pytest.raises(openai.AuthenticationError) as raised:
                await asking
            assert raised.value.code == "invalid_api_key"


async def test_a_failed_generation_is_a_server_error_that_is_not_tried_again(
    guarded: Service, comfy: Simulator
) -> None:
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY

    async with speaking_to(guarded).with_options(max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            await client.images.generate(prompt="x", **SMALL)

    assert (raised.value.code, raised.value.type) == ("generation_failed", "server_error")
    assert "memory" in raised.value.message
    assert raised.value.request_id is not None
    assert await ended(guarded) == ["failed"]


async def test_a_canceled_generation_is_an_error(client: AsyncOpenAI, guarded: Service, comfy: Simulator) -> None:
    comfy.hold("progress", node="3")
    asking = asyncio.create_task(client.images.generate(prompt="x", **SMALL))
    await comfy.held()
    page = (await guarded.http.get("/api/generations")).json()["items"]

    await guarded.http.post(page[0]["urls"]["cancel"])
    comfy.release()

    with pytest.raises(openai.InternalServerError, match="canceled"):
        await asking


async def test_what_takes_too_long_is_ended_and_told(serve: Serve, comfy: Simulator) -> None:
    api = await serve(images_timeout_s=0.5, api_keys=(KEY,))
    comfy.hold("progress", node="3")

    async with speaking_to(api).with_options(max_retries=2) as client:
        asking = asyncio.create_task(client.images.generate(prompt="x", **SMALL))
        await comfy.held()
        with pytest.raises(openai.InternalServerError) as raised:
            await asking
        comfy.release()

    assert (raised.value.status_code, raised.value.code) == (504, "generation_timed_out")
    assert await ended(api) == ["failed"]


async def test_who_gives_up_waiting_has_the_generation_canceled(
    client: AsyncOpenAI, guarded: Service, comfy: Simulator
) -> None:
    comfy.hold("progress", node="3")

    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.5).images.generate(prompt="x", **SMALL)
    await until(lambda: bool(comfy.requests["POST /interrupt"]))
    comfy.release()

    assert await ended(guarded) == ["canceled"]


async def test_who_has_a_key_for_his_request_may_come_back_for_it(
    client: AsyncOpenAI, guarded: Service, comfy: Simulator
) -> None:
    asking: Json = {"prompt": "x", "extra_headers": {"Idempotency-Key": "mine"}, **SMALL}
    comfy.hold("progress", node="3")

    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.5).images.generate(**asking)
    comfy.release()
    made = await client.images.generate(**asking)

    assert sizes(made) == [(64, 64)]
    assert await ended(guarded) == ["succeeded"]


async def test_a_graph_that_comfyui_refuses_is_a_bad_request(client: AsyncOpenAI, comfy: Simulator) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.images.generate(prompt="x", extra_body={"params": {"model": "no-such.safetensors"}})

    assert raised.value.param == "model"


async def test_a_template_that_makes_no_picture_is_refused_before_it_runs_and_not_listed(
    client: AsyncOpenAI, guarded: Service
) -> None:
    with pytest.raises(openai.BadRequestError, match="POST /api/generate") as raised:
        await client.images.generate(model="txt2video", prompt="x", size="32x32", extra_body={"length": 1, "steps": 1})

    assert raised.value.param == "model"
    assert await ended(guarded) == []
    listed = {each.id async for each in client.models.list()}
    assert ("txt2img" in listed, listed & {"txt2video", "img2video"}) == (True, set())


async def test_refusals_are_problem_documents_as_well(guarded: Service) -> None:
    answers = {
        400: await guarded.http.post("/v1/images/generations", content=b"{"),
        404: await guarded.http.get("/v1/nowhere"),
        405: await guarded.http.get("/v1/images/edits"),
        413: await guarded.http.post("/v1/images/generations", content=b" " * (17 * 1024**2)),
    }

    for status, answer in answers.items():
        document = answer.json()
        assert (answer.status_code, document["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert document["error"]["message"] == document["detail"]
        assert document["error"].keys() == {"message", "type", "param", "code"}


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}


def part(name: str, content: bytes, filename: str = "") -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return b"--b\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


BROKEN: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"--b--\r\n", 400),
    (part("prompt", b"x") + part("image", png(64, 64), "a.png"), 400),
    (part("prompt", b"\xff") + part("image", png(64, 64), "a.png") + b"--b--\r\n", 400),
    (part("prompt", b"x") * 2 + b"--b--\r\n", 400),
    (part("prompt", b"x" * 300_000) + b"--b--\r\n", 413),
    (part("prompt", b"x") + b"--b--\r\n", 400),
    (part("images", b"x") + part("image", png(64, 64), "a.png") + b"--b--\r\n", 400),
    (part("params", b"x") + part("params[steps]", b"1") + b"--b--\r\n", 400),
    (part("mask", png(8, 8), "a.png") * 2 + b"--b--\r\n", 400),
    (part("prompt", b"x") + part("image", png(64, 64), "a.png") + part("steps", b"[" * 90_000) + b"--b--\r\n", 400),
    (part("prompt", b"x") + part("image", png(64, 64), "a.png") + part("cfg", b"1e999") + b"--b--\r\n", 400),
    (part("prompt", b"x") + part("image", png(64, 64), "a.png") + part("a/b", b"1") + b"--b--\r\n", 400),
]


async def test_a_broken_form_is_told_as_such(guarded: Service) -> None:
    for form, status in BROKEN:
        answer = await guarded.http.post("/v1/images/edits", content=form, headers=BOUNDARY)

        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["type"] == "invalid_request_error"
    assert await ended(guarded) == []


async def test_all_of_n_generations_or_none_are_accepted(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_pending=1, max_in_flight=1, api_keys=(KEY,))
    async with held_while_drawing(api, comfy), speaking_to(api) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            await client.images.edit(model="upscale", image=png(16, 16), prompt="x", n=4)
    page = (await api.http.get("/api/generations", params={"template": "upscale"})).json()["items"]

    assert raised.value.code == "queue_full"
    assert {each["status"] for each in page} <= {"canceled"}
