"""The templates that ship, asked of the service as a caller asks: their own examples, and what is kept of them."""

from __future__ import annotations

from typing import Any

import pytest

from app.comfyui.templates import load_builtin
from tests.comfyui.simulator.media import opened
from tests.comfyui.simulator.playing import film
from tests.service import Service

BUILTIN = load_builtin()
SMALL: dict[str, Any] = {"width": 64, "height": 48, "steps": 3, "length": 9}


def an_example(name: str) -> dict[str, Any]:
    parameters = BUILTIN[name].parameters
    return BUILTIN[name].example() | {each: SMALL[each] for each in SMALL if each in parameters}


@pytest.mark.parametrize("name", BUILTIN)
async def test_the_example_of_a_template_gives_a_file_of_the_kind_it_promises(api: Service, name: str) -> None:
    accepted = await api.generate(template=name, params=an_example(name))

    record = await api.finished(accepted["id"])

    assert (record["status"], record["template"], record["error"]) == ("succeeded", name, None)
    (output,) = record["outputs"]
    content = await api.bytes_of(output["url"])
    if name.endswith("2video"):
        assert (output["kind"], output["mimeType"]) == ("video", "video/mp4")
        assert len(film(content).frames) == 9
    else:
        assert (output["kind"], len(record["imageUrls"])) == ("image", 1)
        assert opened(content).size == ((256, 256) if name == "upscale" else (64, 48))


@pytest.mark.parametrize("name", [name for name in BUILTIN if name != "upscale"])
async def test_the_steps_of_a_template_are_told_as_they_are_made(api: Service, name: str) -> None:
    accepted = await api.generate(template=name, params=an_example(name))

    events = await api.events(accepted["id"])

    assert accepted["totalSteps"] == 3
    assert {event["totalSteps"] for event in events if "totalSteps" in event} == {3}
    assert (events[-1]["type"], events[-1]["step"]) == ("complete", 3)
