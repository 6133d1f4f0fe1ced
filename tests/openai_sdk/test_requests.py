"""What a request of OpenAI's Images API asks of a template, without a service."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.dialects.openai_requests import EFFORTS, requests_of
from app.api.dialects.openai_schemas import ImageCreate
from app.comfyui.templates import load_builtin
from app.errors import InvalidRequest
from app.records import WebhookTarget
from app.requests import Request

BUILTIN = load_builtin()


def asked(template: str, *, key: str | None = None, **body: Any) -> tuple[Request, ...]:
    given = ImageCreate.model_validate({"prompt": "x", **body})
    references = [{"source": "a"}] if template in {"img2img", "upscale", "inpaint"} else []
    return requests_of(
        given, BUILTIN[template], name=template, references=references, deadline_s=9, idempotency_key=key
    )


@pytest.mark.parametrize("quality", [*EFFORTS, "auto", None])
@pytest.mark.parametrize("template", ["txt2img", "flux-txt2img"])
def test_a_quality_is_a_multiple_of_the_templates_own_steps(template: str, quality: str | None) -> None:
    own = BUILTIN[template].parameters["steps"].default
    assert isinstance(own, int)

    (request,) = asked(template, quality=quality)

    assert request.params.get("steps", own) == max(1, round(own * EFFORTS.get(quality or "", 1)))


def test_what_the_caller_says_himself_counts_more_than_what_follows() -> None:
    (request,) = asked("txt2img", quality="max", size="64x64", n=2, steps=3, width=128, batch_size=4)

    assert request.params == {"prompt": "x", "steps": 3, "width": 128, "height": 64, "batch_size": 4}


def test_a_size_is_width_and_height_and_auto_is_neither() -> None:
    (sized,), (auto,) = asked("txt2img", size="1536x1024"), asked("txt2img", size="auto")

    assert sized.params == {"prompt": "x", "width": 1536, "height": 1024}
    assert auto.params == {"prompt": "x"}


def test_several_of_a_template_that_draws_one_have_seeds_and_keys_of_their_own() -> None:
    requests = asked("upscale", n=3, key="mine")

    assert [each.idempotency_key for each in requests] == ["mine#0", "mine#1", "mine#2"]
    assert len(asked("txt2video", n=3, seed=7)) == 3
    assert [each.params["seed"] for each in asked("txt2video", n=3, seed=7)] == [7, 8, 9]
    assert [each.params["seed"] for each in asked("txt2video", n=2, seed=-1)] == [-1, -1]


def test_a_forms_numbers_are_numbers_where_the_template_wants_them() -> None:
    (request,) = asked("txt2img", steps="3", cfg="4.5", seed="7", sampler="euler", negative_prompt="12")

    typed: dict[str, object] = {"prompt": "x", "steps": 3, "cfg": 4.5, "seed": 7}
    assert request.params == typed | {"sampler": "euler", "negative_prompt": "12"}


@pytest.mark.parametrize("steps", ["many", "", "[" * 50_000, "9" * 5000, "1e999", "NaN", "0x10", "٣"])
def test_a_forms_text_that_is_no_number_stays_as_it_is_to_be_refused(steps: str) -> None:
    (request,) = asked("txt2img", steps=steps)

    assert request.params["steps"] == steps


def test_a_receiver_is_told_of_each_generation_of_the_request() -> None:
    told: dict[str, Any] = {"url": "https://example.com/x", "events": ["generation.failed"]}

    requests = asked("upscale", n=2, webhook=told)

    assert [each.webhook for each in requests] == [WebhookTarget(told["url"], ("generation.failed",))] * 2
    assert all("webhook" not in each.params for each in requests)


def test_a_prompt_that_a_template_has_no_place_for_is_kept() -> None:
    (request,) = asked("upscale", user="u-1")

    assert "prompt" not in request.params
    assert request.metadata == {"prompt": "x", "user": "u-1"}


@pytest.mark.parametrize(
    ("body", "place"), [({"size": "64x64"}, "/size"), ({"background": "transparent"}, "/background")]
)
def test_what_a_template_cannot_do_is_told(body: Any, place: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        asked("upscale", **body)

    assert [each.pointer for each in raised.value.problems] == [place]
