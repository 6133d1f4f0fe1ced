"""Templates: what they take, what they refuse, and what they make of it."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.comfyui.problems import MAX_PROBLEMS
from app.comfyui.templates import ParameterError, Rendered, load_builtin, render
from app.comfyui.workflow import parse, plan

DATA = Path(__file__).parent.parent / "data"
TXT2IMG = load_builtin()["txt2img"]
SEED = 1234


def problems_of(params: dict[str, Any], **how: Any) -> dict[str, str]:
    with pytest.raises(ParameterError) as raised:
        render(TXT2IMG, params, seed=SEED, **how)
    return {problem.pointer: problem.message for problem in raised.value.problems}


def inputs_of(params: dict[str, Any], **how: Any) -> dict[str, dict[str, Any]]:
    api = render(TXT2IMG, params, seed=SEED, **how).workflow.to_api()
    return {node_id: node["inputs"] for node_id, node in api.items()}


def test_the_parameters_are_those_of_the_http_contract() -> None:
    names = "prompt negativePrompt width height steps cfg seed sampler scheduler model batchSize"

    assert list(TXT2IMG.parameters) == names.split()
    assert [name for name, parameter in TXT2IMG.parameters.items() if parameter.required] == ["prompt"]


def test_every_given_value_arrives_at_its_input() -> None:
    params = {
        "prompt": "a lighthouse",
        "negative_prompt": "fog",
        "width": 640,
        "height": 384.0,
        "steps": 5,
        "cfg": 3,
        "seed": 2**64 - 1,
        "sampler": "ddim",
        "scheduler": "karras",
        "model": "mine.safetensors",
        "batch_size": 2,
    }

    rendered = render(TXT2IMG, params, seed=SEED)

    nodes = rendered.workflow.nodes
    assert (nodes["6"].inputs["text"], nodes["7"].inputs["text"]) == ("a lighthouse", "fog")
    assert dict(nodes["5"].inputs) == {"width": 640, "height": 384, "batch_size": 2}
    chosen = {name: nodes["3"].inputs[name] for name in ("steps", "cfg", "seed", "sampler_name", "scheduler")}
    assert chosen == {"steps": 5, "cfg": 3.0, "seed": 2**64 - 1, "sampler_name": "ddim", "scheduler": "karras"}
    assert nodes["4"].inputs["ckpt_name"] == "mine.safetensors"
    assert isinstance(rendered.params["height"], int)
    assert rendered.params["batchSize"] == plan(rendered.workflow).images == 2


def test_what_is_not_given_is_filled_in_and_reported() -> None:
    rendered = render(TXT2IMG, {"prompt": "x", "steps": None}, seed=SEED)

    expected = {"negativePrompt": "", "width": 512, "height": 512, "steps": 20, "cfg": 7.0, "sampler": "euler"}
    expected |= {"scheduler": "normal", "batchSize": 1, "seed": SEED, "prompt": "x"}
    assert rendered.params == expected | {"model": "v1-5-pruned-emaonly-fp16.safetensors"}


@pytest.mark.parametrize("seed", [{}, {"seed": -1}, {"seed": None}, {"seed": -1.0}])
def test_the_caller_of_render_chooses_the_seed_where_the_request_does_not(seed: dict[str, Any]) -> None:
    assert inputs_of({"prompt": "x"} | seed)["3"]["seed"] == SEED


@pytest.mark.parametrize(
    ("params", "at", "says"),
    [
        ({}, "/prompt", "is missing"),
        ({"prompt": None}, "/prompt", "is missing"),
        ({"prompt": 5}, "/prompt", "must be text, not 5"),
        ({"prompt": "x" * 20_001}, "/prompt", "shorten it to at most 20000"),
        ({"prompt": "\ud800"}, "/prompt", "surrogate"),
        ({"prompt": "\0"}, "/prompt", "NUL"),
        ({"steps": "20"}, "/steps", "not the text '20'; send it without quotes"),
        ({"steps": "many"}, "/steps", "not the text 'many'; write a number"),
        ({"steps": 20.5}, "/steps", "leave out the fraction"),
        ({"steps": True}, "/steps", "not true"),
        ({"steps": [20]}, "/steps", "not a list"),
        ({"steps": 0}, "/steps", "from 1 up to 150, not 0"),
        ({"steps": 151}, "/steps", "from 1 up to 150, not 151"),
        ({"steps": 10**5000}, "/steps", "out of every range"),
        ({"cfg": math.nan}, "/cfg", "not nan"),
        ({"cfg": -math.inf}, "/cfg", "not -inf"),
        ({"cfg": -0.1}, "/cfg", "from 0 up to 100"),
        ({"width": 513}, "/width", "multiple of 8, not 513; the nearest is 512"),
        ({"height": 4100}, "/height", "up to 4096"),
        ({"seed": -2}, "/seed", "not -2"),
        ({"seed": 2**64}, "/seed", "up to 18446744073709551615"),
        ({"seed": "-1"}, "/seed", "without quotes"),
        ({"batch_size": 0}, "/batch_size", "from 1 up to 64"),
        ({"promt": "x"}, "/promt", "did you mean 'prompt'?"),
        ({"negativ_prompt": "x"}, "/negativ_prompt", "did you mean 'negative_prompt'?"),
        ({"zzz": 1}, "/zzz", "it takes: prompt, negativePrompt"),
        ({"a/b~\ud800": 1}, "/a~1b~0?", "no parameter"),
        ({"negativePrompt": "a", "negative_prompt": "b"}, "/negative_prompt", "given twice, also as 'negativePrompt'"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_remedy(params: dict[str, Any], at: str, says: str) -> None:
    assert says in problems_of(params)[at]


def test_every_wrong_parameter_is_named_at_once_up_to_a_bound() -> None:
    assert set(problems_of({"steps": 0, "width": 1, "what": 2})) == {"/prompt", "/steps", "/width", "/what"}
    assert len(problems_of({f"unknown{index}": 1 for index in range(1000)})) == MAX_PROBLEMS


def test_a_model_that_is_not_given_is_one_the_backends_have() -> None:
    own = "v1-5-pruned-emaonly-fp16.safetensors"

    assert inputs_of({"prompt": "x"})["4"]["ckpt_name"] == own
    assert inputs_of({"prompt": "x"}, available={"model": []})["4"]["ckpt_name"] == own
    assert inputs_of({"prompt": "x"}, available={"model": ["a.ckpt", own]})["4"]["ckpt_name"] == own
    assert inputs_of({"prompt": "x"}, available={"model": ["a.ckpt", "b.ckpt"]})["4"]["ckpt_name"] == "a.ckpt"


def test_a_model_no_backend_has_is_refused_with_the_nearest_that_is_there() -> None:
    found = problems_of(
        {"prompt": "x", "model": "dreamshapper.safetensors"}, available={"model": ["dreamshaper.safetensors"]}
    )

    assert "did you mean 'dreamshaper.safetensors'?" in found["/model"]


def test_the_place_for_files_goes_where_the_template_saves_them() -> None:
    assert inputs_of({"prompt": "x"})["9"]["filename_prefix"] == "ComfyUI"
    assert inputs_of({"prompt": "x"}, output_prefix="relay/abc/image")["9"]["filename_prefix"] == "relay/abc/image"


def test_the_schema_is_valid_and_agrees_with_render() -> None:
    schema = TXT2IMG.json_schema({"sampler": ["euler", "ddim"]})

    Draft202012Validator.check_schema(schema)
    accepts = Draft202012Validator(schema)
    assert accepts.is_valid(TXT2IMG.example())
    assert render(TXT2IMG, TXT2IMG.example(), seed=SEED).params["prompt"] == TXT2IMG.example()["prompt"]
    assert accepts.is_valid({"prompt": "x", "seed": -1, "steps": 20.0})
    for wrong in ({}, {"prompt": "x", "steps": 0}, {"prompt": "x", "width": 9}, {"prompt": "x", "sampler": "other"}):
        assert not accepts.is_valid(wrong)
    assert not accepts.is_valid({"prompt": "x", "unknown": 1})
    assert schema["properties"]["negativePrompt"]["default"] == ""
    assert "default" not in schema["properties"]["model"]


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5) | st.lists(st.none())
)
values |= st.integers(-10, 10).map(lambda unit: unit * 64)
names = st.sampled_from([*TXT2IMG.parameters, "negative_prompt", "batch_size"]) | st.text(st.characters())


def outcome_of(params: dict[str, Any], seed: int) -> Rendered | ParameterError:
    try:
        return render(TXT2IMG, params, seed=seed)
    except ParameterError as refusal:
        return refusal


@given(params=st.dictionaries(names, values), has_prompt=st.booleans(), seed=st.integers(0, 2**64 - 1))
def test_any_parameters_are_rendered_or_refused_and_leave_the_template_as_it_was(
    params: dict[str, Any], has_prompt: bool, seed: int
) -> None:
    before = TXT2IMG.workflow.to_api()

    outcome = outcome_of(params | {"prompt": "x"} if has_prompt else params, seed)

    assert TXT2IMG.workflow.to_api() == before
    if isinstance(outcome, Rendered):
        assert Draft202012Validator(TXT2IMG.json_schema()).is_valid(outcome.params)
        assert set(outcome.params) == set(TXT2IMG.parameters)
        assert parse(outcome.workflow.to_api()) == outcome.workflow
    else:
        assert outcome.problems
        assert json.dumps([each.pointer + each.message for each in outcome.problems], ensure_ascii=False).encode()


@pytest.mark.parametrize("version", ["0.3.64", "0.8.0"])
def test_bounds_of_built_in_parameters_are_within_those_of_the_nodes_they_go_to(version: str) -> None:
    classes = json.loads(gzip.decompress((DATA / f"{version}.json.gz").read_bytes()))

    for name, parameter in TXT2IMG.parameters.items():
        for class_type, input_name in TXT2IMG.bound_classes(name):
            kind, rules = classes[class_type]["input"]["required"][input_name]
            if kind in ("INT", "FLOAT"):
                assert parameter.minimum is not None
                assert parameter.maximum is not None
                assert rules["min"] <= parameter.minimum <= parameter.maximum <= rules["max"]
