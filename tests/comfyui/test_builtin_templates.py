"""The templates that ship: they fit the node definitions of real servers, and their examples render."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from app.comfyui.definitions import Definitions
from app.comfyui.graph import as_link
from app.comfyui.parameters import MEDIA_KINDS, ParameterKind
from app.comfyui.templates import load_builtin, render
from app.comfyui.workflow import parse
from tests.comfyui.simulator.media import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.comfyui.definitions import InputDefinition
    from app.comfyui.workflow import Workflow

BUILTIN = load_builtin()
VERSIONS = ("0.3.64", "0.8.0")
SEED = 1234
MODEL_INPUTS = {"ckpt_name", "unet_name", "vae_name", "model_name", *(f"clip_name{n}" for n in ("", 1, 2, 3))}
CORE_TYPES: dict[str, type | tuple[type, ...]] = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}


@cache
def definitions(version: str) -> Definitions:
    packed = (Path(__file__).parent.parent / "data" / f"{version}.json.gz").read_bytes()
    return Definitions(json.loads(gzip.decompress(packed)))


def faults(workflow: Workflow, known: Definitions) -> Iterator[str]:
    """Everything a server with these definitions would refuse, but for model files and uploads it does not have."""
    for node_id, node in workflow.nodes.items():
        if node.class_type not in known:
            yield f"{node_id}: unknown class {node.class_type}"
            continue
        takes = known[node.class_type].inputs
        missing = [name for name, each in takes.items() if each.is_required and name not in node.inputs]
        yield from (f"{node_id}: {name} is missing" for name in missing)
        for name, value in node.inputs.items():
            if name not in takes:
                yield f"{node_id}: takes no {name}"
            elif (link := as_link(value)) is not None:
                given = known[workflow.nodes[link.node_id].class_type].output_kinds[link.slot]
                if takes[name].kind != given:
                    yield f"{node_id}: {name} takes {takes[name].kind}, not {given}"
            elif (fault := value_fault(takes[name], value)) is not None:
                yield f"{node_id}: {name} {fault}"


def value_fault(spec: InputDefinition, value: object) -> str | None:
    if spec.kind == "COMBO":
        is_known = value in (spec.choices or ()) or spec.name in MODEL_INPUTS or spec.uploads is not None
        return None if is_known else f"is none of the choices: {value}"
    if spec.kind not in CORE_TYPES:
        return f"needs a link, not {value}"
    if not isinstance(value, CORE_TYPES[spec.kind]) or isinstance(value, bool) is not (spec.kind == "BOOLEAN"):
        return f"is no {spec.kind}: {value}"
    if isinstance(value, int | float):
        low, high, step = spec.minimum, spec.maximum, spec.options.get("step")
        if (low is not None and value < low) or (high is not None and value > high):
            return f"is out of bounds: {value}"
        if spec.kind == "INT" and step and (value - (low or 0)) % step:
            return f"is no step of {step}: {value}"
    return None


def example(name: str, **changed: Any) -> Workflow:
    template = BUILTIN[name]
    return render(template, {**template.example(), **changed}, seed=SEED).workflow


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BUILTIN)
def test_a_template_fits_the_node_definitions_of_a_real_server(name: str, version: str) -> None:
    known = definitions(version)

    assert list(faults(BUILTIN[name].workflow, known)) == []
    assert list(faults(example(name), known)) == []
    assert any(node.class_type in known.output_classes for node in BUILTIN[name].workflow.nodes.values())


@pytest.mark.parametrize(
    ("node_id", "input_name", "value", "says"),
    [
        ("3", "steps", 0, "3: steps is out of bounds: 0"),
        ("3", "steps", "20", "3: steps is no INT: 20"),
        ("3", "cfg", True, "3: cfg is no FLOAT: True"),
        ("3", "sampler_name", "eulr", "3: sampler_name is none of the choices: eulr"),
        ("3", "model", ["4", 1], "3: model takes MODEL, not CLIP"),
        ("3", "model", "x", "3: model needs a link, not x"),
        ("3", "extra", 1, "3: takes no extra"),
        ("5", "width", 513, "5: width is no step of 8: 513"),
    ],
)
def test_the_check_of_templates_finds_what_a_server_refuses(
    node_id: str, input_name: str, value: object, says: str
) -> None:
    graph = example("txt2img").to_api()
    graph[node_id]["inputs"][input_name] = value

    found = list(faults(parse(graph), definitions("0.8.0")))

    assert found == [says]


def test_the_check_of_templates_finds_missing_inputs_and_unknown_classes() -> None:
    graph = example("txt2img").to_api()
    del graph["3"]["inputs"]["denoise"]
    graph["9"]["class_type"] = "SafeImage"

    found = list(faults(parse(graph), definitions("0.3.64")))

    assert found == ["3: denoise is missing", "9: unknown class SafeImage"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BUILTIN)
def test_a_parameter_takes_only_values_its_nodes_take(name: str, version: str) -> None:
    template = BUILTIN[name]

    for parameter_name, parameter in template.parameters.items():
        for class_type, input_name in template.bound_classes(parameter_name):
            spec = definitions(version)[class_type].inputs[input_name]
            assert (parameter.kind in MEDIA_KINDS) is (spec.uploads is not None)
            if spec.kind in ("INT", "FLOAT"):
                assert parameter.minimum is not None
                assert parameter.maximum is not None
                assert spec.minimum is not None
                assert spec.maximum is not None
                assert spec.minimum <= parameter.minimum <= parameter.maximum <= spec.maximum
            if parameter.multiple_of is not None:
                assert parameter.multiple_of % spec.options["step"] == 0


@pytest.mark.parametrize("name", BUILTIN)
def test_a_template_is_as_the_editor_would_export_it(name: str) -> None:
    api = BUILTIN[name].workflow.to_api()

    assert all(set(node) == {"inputs", "class_type", "_meta"} and node["_meta"]["title"] for node in api.values())


@pytest.mark.parametrize("name", BUILTIN)
def test_a_template_says_what_it_is_and_its_example_fits_its_schema(name: str) -> None:
    template = BUILTIN[name]
    schema = template.json_schema()

    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(template.example())
    assert template.title
    assert template.description.endswith(".")
    assert all(parameter.description.endswith(".") for parameter in template.parameters.values())
    assert template.output_prefix_bindings


@pytest.mark.parametrize("name", BUILTIN)
def test_only_what_nobody_can_guess_is_required(name: str) -> None:
    required = {each.name for each in BUILTIN[name].parameters.values() if each.required}

    assert required <= {"prompt", "image", "mask"}
    assert {each.name for each in BUILTIN[name].parameters.values() if each.kind is ParameterKind.IMAGE} <= required


def test_the_templates_and_their_other_names() -> None:
    pictures = ["flux-txt2img", "img2img", "inpaint", "sd3-txt2img", "sd3-txt2img-encoders", "txt2img", "upscale"]

    assert sorted(BUILTIN) == sorted([*pictures, "img2video", "txt2video"])
    assert [name for name, template in BUILTIN.items() if "comfyui/flux" in template.aliases] == ["flux-txt2img"]


def test_pictures_of_examples_are_pictures() -> None:
    media = [each for template in BUILTIN.values() for each in template.parameters.values() if each.kind in MEDIA_KINDS]

    for parameter in media:
        kind, _, content = str(parameter.examples[0]).partition(",")
        assert kind == "data:image/png;base64"
        assert opened(b64decode(content)).size == (64, 64)
