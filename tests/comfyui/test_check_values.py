"""Single values held against the definition of their input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.comfyui.checks import Code, check
from app.comfyui.definitions import Definitions
from app.comfyui.workflow import parse
from tests.comfyui.definitions import a_class
from tests.comfyui.graphs import a_node

if TYPE_CHECKING:
    from app.comfyui.checks import Finding


def one_input(value: object, spec: list[Any]) -> tuple[Finding, ...]:
    """What is found where an output node has this value in an input with this definition."""
    server = Definitions({"Probe": a_class(is_output=True, it=spec)})
    return check(parse({"1": a_node("Probe", it=value)}), server)


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        ("12", ["INT", {"min": 0}]),
        (" 1_000 ", ["INT"]),
        (3.9, ["INT", {"max": 3}]),
        (True, ["INT", {"min": 1}]),
        ({"__value__": "7"}, ["INT"]),
        ("1e3", ["FLOAT"]),
        ("nan", ["FLOAT", {"min": 0.0, "max": 1.0}]),
        (None, ["STRING"]),
        ({"a": 1}, ["STRING", {"min": 5}]),
        ({"__value__": ["a", "b"]}, ["STRING"]),
        (17, ["BOOLEAN", {"max": 1}]),
        ("no", ["BOOLEAN"]),
        (2**64 - 1, ["INT", {"min": 0, "max": 2**64 - 1}]),
        (5, ["MODEL"]),
        ("anything", ["A_KIND_OF_SOME_PACK", {"min": 3}]),
        ("b", [["a", "b"]]),
        (1.0, [[1, 2]]),
        ("b", ["COMBO", {"options": ["a", "b"]}]),
        ({"__value__": ["b", "a"]}, ["COMBO", {"options": ["a", "b"], "multiselect": True}]),
        ("b", ["COMBO"]),
        ("b", [[]]),
        ("b", [[{"content": "a"}]]),
        ("b", ["COMBO", {"options": ["a"], "remote": {"route": "/internal/files/output"}}]),
        ("new.png", [["old.png"], {"image_upload": True}]),
        ("x", ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a"}]}]),
        (["1", 2, 3], ["COMFY_AUTOGROW_V3", {}]),
        ("x", []),
    ],
)
def test_what_comfyui_takes_or_nobody_here_understands_passes(value: object, spec: list[Any]) -> None:
    assert one_input(value, spec) == ()


@pytest.mark.parametrize(
    ("value", "spec", "code"),
    [
        ("abc", ["INT"], Code.NOT_A_NUMBER),
        ("1.5", ["INT"], Code.NOT_A_NUMBER),
        ("", ["INT"], Code.NOT_A_NUMBER),
        ("9" * 5000, ["INT"], Code.NOT_A_NUMBER),
        (None, ["FLOAT"], Code.NOT_A_NUMBER),
        ({}, ["FLOAT"], Code.NOT_A_NUMBER),
        (10**400, ["FLOAT"], Code.NOT_A_NUMBER),
        ({"__value__": [1]}, ["INT"], Code.NOT_A_NUMBER),
        (0, ["INT", {"min": 1}], Code.OUT_OF_RANGE),
        ("-1", ["FLOAT", {"min": 0}], Code.OUT_OF_RANGE),
        (2**64, ["INT", {"max": 2**64 - 1}], Code.OUT_OF_RANGE),
        pytest.param(10**5000, ["INT", {"max": 5}], Code.OUT_OF_RANGE, id="thousands of digits"),
        ("c", [["a", "b"]], Code.NOT_IN_LIST),
        (1, [["1"]], Code.NOT_IN_LIST),
        (None, [["a"]], Code.NOT_IN_LIST),
        ({}, [["a"]], Code.NOT_IN_LIST),
        ({"__value__": ["a"]}, [["a"]], Code.NOT_IN_LIST),
        ("c", ["COMBO", {"options": ["a"]}], Code.NOT_IN_LIST),
        ("b.safetensors", [["a.safetensors"]], Code.UNKNOWN_MODEL),
        ([], ["INT"], Code.NOT_A_LINK),
        (["nobody", "here"], ["STRING"], Code.NOT_A_LINK),
        ([1, 0], ["IMAGE"], Code.NOT_A_LINK),
    ],
)
def test_what_comfyui_refuses_is_found_at_its_input(value: object, spec: list[Any], code: Code) -> None:
    (finding,) = one_input(value, spec)

    assert (finding.code, finding.pointer, finding.class_type) == (code, "/1/inputs/it", "Probe")
    json.dumps([finding.message, finding.given, finding.possible], allow_nan=False)
