"""Input files of a generation: bound in order or by name, placed where the job runs, remembered for a retry."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from app.comfyui.simulator import Simulator
from tests import files
from tests.api.asking import places, post
from tests.service import Json, Service

IMG2IMG: dict[str, Any] = {"template": "img2img", "prompt": "in oil", "steps": 2, "seed": 1}


def png(color: tuple[int, int, int] = (200, 30, 30), size: int = 64) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), color).save(stream, "PNG")
    return stream.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def copying() -> Json:
    """A raw workflow that saves the picture it loads."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "placeholder.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "copy"}},
    }


def pixels(content: bytes) -> bytes:
    return Image.open(io.BytesIO(content)).convert("RGB").tobytes()


async def upload(api: Service, content: bytes) -> Json:
    answer = await api.http.post("/api/uploads", content=content, headers={"Content-Type": "image/png"})
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def test_an_upload_goes_in_and_its_pixels_come_out(api: Service) -> None:
    content = png((12, 34, 56))
    uploaded = await upload(api, content)

    answer = await api.generate(workflow=copying(), references=[uploaded["id"]])
    record = await api.finished(answer["id"])

    assert record["status"] == "succeeded", record["error"]
    assert pixels(await api.bytes_of(record["imageUrls"][0])) == pixels(content)


@pytest.mark.parametrize("form", ["reference", "named reference", "parameter", "in params"])
async def test_a_file_can_be_given_in_any_of_the_forms(api: Service, form: str) -> None:
    source = data_url(png())
    forms: dict[str, Json] = {
        "reference": {"references": [source]},
        "named reference": {"references": [{"source": source, "parameter": "image"}]},
        "parameter": {"image": source},
        "in params": {"params": {"image": source}},
    }

    record = await api.finished((await api.generate(**IMG2IMG, **forms[form]))["id"])

    assert record["status"] == "succeeded", record["error"]
    assert len(record["params"]["image"]) == len(record["id"])


async def test_two_files_are_bound_in_order_and_a_named_one_goes_where_it_belongs(api: Service) -> None:
    image, mask = (await upload(api, png()))["id"], (await upload(api, png((255, 255, 255))))["id"]
    body = {**IMG2IMG, "template": "inpaint"}

    in_order = await api.generate(**body, references=[image, mask])
    by_name = await api.generate(**body, references=[{"source": mask, "parameter": "mask"}, image])

    assert (in_order["params"]["image"], in_order["params"]["mask"]) == (image, mask)
    assert (by_name["params"]["image"], by_name["params"]["mask"]) == (image, mask)
    assert (await api.finished(by_name["id"]))["status"] == "succeeded"


async def test_the_result_of_one_generation_is_the_input_of_the_next(api: Service) -> None:
    first = await api.finished((await api.generate(prompt="a dune", steps=1, width=64, height=64))["id"])

    record = await api.finished((await api.generate(workflow=copying(), references=[first["imageUrls"][0]]))["id"])

    before, after = await api.bytes_of(first["imageUrls"][0]), await api.bytes_of(record["imageUrls"][0])
    assert pixels(after) == pixels(before)


async def test_a_retry_takes_the_same_files(api: Service) -> None:
    content = png((1, 2, 3))
    first = await api.finished((await api.generate(workflow=copying(), references=[data_url(content)]))["id"])

    again = await api.http.post(f"/api/generations/{first['id']}/retry")
    record = await api.finished(again.json()["id"])

    assert pixels(await api.bytes_of(record["imageUrls"][0])) == pixels(content)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"references": ["no such thing"]}, "/references/0"),
        ({"references": ["00000000-0000-4000-8000-000000000000"]}, "/references/0"),
        ({"references": ["data:image/png;base64,AAAA"]}, "/references/0"),
        ({"references": ["http://127.0.0.1/picture.png"]}, "/references/0"),
        ({"references": [{"source": "x", "parameter": "nose"}]}, "/references/0/parameter"),
        ({"image": 7}, "/image"),
        ({"params": {"image": "file:///etc/passwd"}}, "/params/image"),
        ({}, "/image"),
    ],
)
async def test_a_reference_that_cannot_be_used_is_named_and_nothing_is_queued(
    api: Service, comfy: Simulator, body: Json, place: str
) -> None:
    answer = await api.http.post("/api/generate", json=IMG2IMG | body)

    assert answer.status_code == 422, answer.text
    assert list(places(answer)) == [place]
    assert comfy.submits == 0


async def test_one_file_too_many_is_told(api: Service) -> None:
    source = data_url(png())

    answer = await api.http.post("/api/generate", json=IMG2IMG | {"references": [source, source]})

    assert list(places(answer)) == ["/references/1"]


async def test_references_to_a_template_that_takes_none_do_not_break_an_older_front_ends_request(api: Service) -> None:
    body: Json = {
        "prompt": "a quay",
        "steps": 1,
        "width": 64,
        "height": 64,
        "generation_config_name": "txt2img",
        "style_name": "noir",
        "shot_size": "wide",
        "entity_ids": [1, 2],
        "model_type": "image",
        "references": ["https://example.com/a.png"],
    }

    answer = await api.generate(**body)

    assert answer["template"] == "txt2img"
    assert answer["metadata"].items() >= {"style_name": "noir", "shot_size": "wide", "entity_ids": [1, 2]}.items()
    assert answer["metadata"]["references"] == ["https://example.com/a.png"]
    assert (await api.finished(answer["id"]))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"prompt": "x", "references": [data_url(png())]}, "/references/0"),
        ({"prompt": "x", "styleName": "noir"}, "/styleName"),
        ({"workflow": copying(), "prompt": "found by this", "steps": 3}, "/steps"),
    ],
    ids=["a file", "an older name", "a parameter of a raw workflow"],
)
async def test_who_asks_for_strictness_is_told_of_what_goes_nowhere(api: Service, body: Json, place: str) -> None:
    answer = await post(api, body, headers={"Prefer": "wait=1, handling=strict"})

    assert answer.status_code == 422, answer.text
    assert list(places(answer)) == [place]


async def test_strictness_changes_nothing_for_what_has_its_place(api: Service) -> None:
    answer = await post(api, IMG2IMG | {"image": data_url(png())}, headers={"Prefer": "handling=strict"})

    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "handling=strict"


async def test_an_older_front_ends_name_of_the_template_counts(api: Service) -> None:
    body: Json = {"prompt": "a reef", "steps": 1, "width": 64, "height": 64, "generation_config_name": "comfyui/flux"}

    answer = await api.generate(**body)
    record = await api.finished(answer["id"])

    assert (record["template"], record["status"]) == ("flux-txt2img", "succeeded")


@pytest.mark.parametrize("form", ["upload", "data", "url"])
async def test_a_raw_workflow_may_name_the_source_of_a_file_where_its_name_would_stand(api: Service, form: str) -> None:
    sent = files.png(40, 30)
    upload = (await api.http.post("/api/uploads", files={"file": sent})).json()
    source = {
        "upload": upload["id"],
        "data": "data:image/png;base64," + base64.b64encode(sent).decode(),
        "url": f"{api.url}{upload['url']}",
    }[form]
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": source}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }

    record = await api.finished((await api.generate(workflow=graph))["id"])
    again = await api.http.post(f"/api/generations/{record['id']}/retry")

    assert files.pixels(await api.bytes_of(record["imageUrls"][0])) == files.pixels(sent)
    assert (await api.finished(again.json()["id"]))["status"] == "succeeded"


async def test_any_input_of_a_raw_workflow_may_be_named(api: Service) -> None:
    source = data_url(png())
    graph = copying() | {"9": {"class_type": "PreviewAny", "inputs": {"source": "x"}}}

    answer = await api.generate(
        workflow=graph, references=[{"source": source, "parameter": "9.source"}, {"source": source}]
    )
    record = await api.finished(answer["id"])
    ran = (await api.http.get(f"/api/generations/{answer['id']}/workflow")).json()

    assert record["status"] == "succeeded"
    assert ran["9"]["inputs"]["source"] == ran["1"]["inputs"]["image"]


@pytest.mark.parametrize("name", ["9.no", "8.source", "9", ["9.source"]])
async def test_an_input_that_is_not_there_cannot_be_named(api: Service, name: object) -> None:
    graph = copying() | {"9": {"class_type": "PreviewAny", "inputs": {"source": "x"}}}

    answer = await post(api, {"workflow": graph, "references": [{"source": "data:,", "parameter": name}]})

    assert list(places(answer)) == ["/references/0/parameter"]
