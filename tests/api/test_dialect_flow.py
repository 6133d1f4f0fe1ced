"""The payload of older project front ends: what binds, what is only kept, and that nothing of it breaks a request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.asking import QUICK, places
from tests.api.browser import EventSource
from tests.files import png
from tests.intake import data_url
from tests.service import Json, Service

FLOW: Json = {
    **QUICK,
    "generation_config_name": "comfyui/flux",
    "template_name": "character_portrait",
    "style_name": "noir",
    "shot_size": "medium close-up",
    "entity_ids": ["e-1", "e-2"],
    "model_type": "flux",
    "batch_size": 2,
    "project_id": "film-7",
}


async def test_a_flow_runs_the_template_its_config_names(api: Service) -> None:
    answer = await api.generate(**FLOW)
    seen = await EventSource(api.http, f"/api/events/file.{answer['id']}").until("complete", "error")

    record = seen[-1]["generation"]
    assert (record["template"], record["status"]) == ("flux-txt2img", "succeeded")
    assert record["projectId"] == "film-7"
    assert len(record["imageUrls"]) == 2
    assert record["metadata"] == {
        name: FLOW[name]
        for name in ("generation_config_name", "template_name", "style_name", "shot_size", "entity_ids", "model_type")
    }


async def test_the_names_may_be_in_camel_case(api: Service) -> None:
    answer = await api.generate(**QUICK, generationConfigName="comfyui/flux", styleName="noir", batchSize=2)

    assert (answer["template"], answer["params"]["batchSize"]) == ("flux-txt2img", 2)
    assert answer["metadata"]["styleName"] == "noir"


@pytest.mark.parametrize("name", ["comfyui/other", "midjourney", ""])
async def test_a_config_nobody_knows_runs_the_default(api: Service, name: str) -> None:
    answer = await api.generate(**{**FLOW, "generation_config_name": name})

    assert answer["template"] == "txt2img"
    assert answer["metadata"]["generation_config_name"] == name


async def test_a_template_of_ones_own_takes_what_it_has_a_parameter_for(api: Service) -> None:
    workflow = (await api.http.get("/api/templates/txt2img/workflow")).json()
    workflow["6"]["_meta"] = {"title": "$style_name"}
    made = await api.http.post("/api/templates", json={"name": "styled", "workflow": workflow})
    assert made.status_code == 201, made.text
    own = {each["name"] for each in made.json()["parameters"]}
    body = {name: value for name, value in FLOW.items() if name not in {"prompt", "generation_config_name"}}

    answer = await api.generate(**{**body, "template_name": "styled"})

    assert "styleName" in own
    assert answer["params"]["styleName"] == "noir"
    assert "style_name" not in answer["metadata"]


@pytest.mark.parametrize(
    "references",
    [
        [{"entity_id": "e-1"}, {"type": "character", "name": "Ada"}],
        [7, None],
        ["https://example.com/a.png", {"url": "https://example.com/b.png", "weight": 0.5}],
        [],
        None,
    ],
)
async def test_references_of_any_shape_do_not_break_a_flow_that_takes_none(api: Service, references: Any) -> None:
    answer = await api.generate(**{**FLOW, "references": references})

    assert (await api.finished(answer["id"]))["status"] == "succeeded"


async def test_references_that_are_no_files_are_kept(api: Service) -> None:
    entity = {"entity_id": "e-1", "role": "hero"}

    answer = await api.generate(**{**FLOW, "references": [entity, "https://example.com/a.png"]})

    assert answer["metadata"]["otherReferences"] == [entity]
    assert answer["metadata"]["references"] == ["https://example.com/a.png"]


@pytest.mark.parametrize("name", ["source", "url", "image_url", "imageUrl"])
async def test_a_reference_binds_by_whatever_name_its_source_has(api: Service, name: str) -> None:
    reference = {name: data_url(png(64, 64)), "type": "style"}
    body = {**FLOW, "generation_config_name": "img2img", "references": [reference]}

    answer = await api.generate(**body)

    assert answer["params"]["image"]
    assert (await api.finished(answer["id"]))["status"] == "succeeded"


async def test_references_past_the_places_of_a_template_are_kept(api: Service) -> None:
    first, second = data_url(png(64, 64)), data_url(png(64, 64, seed=1))

    answer = await api.generate(**{**FLOW, "generation_config_name": "img2img", "references": [first, second]})

    assert answer["params"]["image"]
    assert len(answer["metadata"]["references"]) == 1


async def test_fields_nobody_knows_are_kept_beside_an_older_name(api: Service) -> None:
    extra: Json = {"flow_id": 12, "scene": {"number": 3}, "aspect_ratio": "16:9", "metadata": {"mine": True}}

    answer = await api.generate(**FLOW, **extra)

    assert answer["metadata"].items() >= {"flow_id": 12, "scene": {"number": 3}, "mine": True}.items()


async def test_a_batch_size_does_not_break_a_template_without_one(api: Service) -> None:
    body: Json = {
        "generation_config_name": "upscale",
        "batch_size": 4,
        "image": data_url(png(64, 64)),
        "style_name": "x",
    }

    answer = await api.generate(**body)

    assert (answer["template"], answer["metadata"]["batch_size"]) == ("upscale", 4)


async def test_a_wrong_value_of_a_known_field_is_still_told(api: Service) -> None:
    answer = await api.http.post("/api/generate", json={**FLOW, "batch_size": "many", "steps": 0})

    assert set(places(answer)) == {"/batch_size", "/steps"}


async def test_a_misspelt_name_is_still_refused_where_no_older_name_is(api: Service) -> None:
    answer = await api.http.post("/api/generate", json={**QUICK, "stepz": 3})

    assert set(places(answer)) == {"/stepz"}


async def test_a_flow_can_be_tried_again(api: Service) -> None:
    answer = await api.generate(**FLOW)

    again = await api.http.post(f"/api/generations/{answer['id']}/retry", json={"seed": 5})

    assert again.status_code == 202
    assert again.json()["metadata"] == answer["metadata"]
