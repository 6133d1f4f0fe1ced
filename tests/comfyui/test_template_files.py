"""Definitions of templates: which of them fit a graph, and what is said of those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from app.comfyui.templates import ParameterError, TemplateError, build_template, render

SEED = 1234
GRAPH = {
    "1": {"class_type": "Draw", "inputs": {"steps": 5, "text": "", "image": ["2", 0]}},
    "2": {"class_type": "A", "inputs": {}},
}


def a_parameter(**changes: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "steps", "kind": "integer", "bindings": [["1", "steps"]]} | changes]}


@pytest.mark.parametrize(
    ("definition", "at", "says"),
    [
        ([], "/definition", "Expected `object`"),
        ({"parameters": [{"kind": "integer"}]}, "/definition", "missing required field"),
        (a_parameter(surprise=1), "/definition", "surprise"),
        (a_parameter(kind="colour"), "/definition", "colour"),
        (a_parameter(name="my steps"), "/definition/parameters/0/name", "camelCase"),
        (a_parameter(bindings=[]), "/definition/parameters/0/bindings", "goes nowhere"),
        (a_parameter(bindings=[["7", "steps"]]), "/definition/parameters/0/bindings/0", "no node '7'"),
        (a_parameter(bindings=[["1", "stepz"]]), "/definition/parameters/0/bindings/0", "it has: steps, text, image"),
        (a_parameter(bindings=[["1", "image"]]), "/definition/parameters/0/bindings/0", "fed by another node"),
        (a_parameter(bindings=[["1", "text"]]), "/definition/parameters/0/bindings/0", "the value must be a whole"),
        (a_parameter(default=0, minimum=1), "/definition/parameters/0/default", "from 1, not 0"),
        (a_parameter(examples=["x"]), "/definition/parameters/0/examples/0", "the value must be"),
        (a_parameter(enum=[1, "x"]), "/definition/parameters/0/enum/1", "the value must be"),
        (a_parameter(minimum=2, maximum=1), "/definition/parameters/0/minimum", "above the maximum 1"),
        (a_parameter(kind="string", default="", minimum=1), "/definition/parameters/0", "bounds belong to numbers"),
        (a_parameter(kind="number", multipleOf=8), "/definition/parameters/0/multipleOf", "kind integer"),
        (a_parameter(multipleOf=0), "/definition/parameters/0/multipleOf", "at least 1"),
        (a_parameter(maxLength=5), "/definition/parameters/0/maxLength", "kind string"),
        (a_parameter(isSeed=True), "/definition/parameters/0/isSeed", "minimum of 0"),
        (a_parameter(description="\0"), "/definition/parameters/0/description", "NUL"),
        (a_parameter() | {"title": "\ud800"}, "/definition/title", "surrogate"),
        (a_parameter() | {"outputPrefix": [["1", "x"]]}, "/definition/outputPrefix/0", "no input 'x'"),
    ],
)
def test_a_definition_that_does_not_fit_its_graph_is_refused(definition: object, at: str, says: str) -> None:
    with pytest.raises(TemplateError) as raised:
        build_template("mine", GRAPH, definition)

    assert says in {problem.pointer: problem.message for problem in raised.value.problems}[at]


def test_two_parameters_whose_spellings_meet_are_refused() -> None:
    twins = [{"name": name, "kind": "integer", "bindings": [["1", "steps"]]} for name in ("steps", "steps")]

    with pytest.raises(TemplateError, match="there twice"):
        build_template("mine", GRAPH, {"parameters": twins})


def test_a_graph_that_is_none_makes_no_template() -> None:
    with pytest.raises(TemplateError) as raised:
        build_template("mine", {"1": {"inputs": {}}}, {"parameters": []})

    assert [problem.pointer for problem in raised.value.problems] == ["/workflow/1"]


def test_a_parameter_without_default_keeps_what_the_graph_holds_in_every_place_it_goes_to() -> None:
    graph = GRAPH | {"3": {"class_type": "Draw", "inputs": {"steps": 9, "fast": True}}}
    fast = {"name": "fast", "kind": "boolean", "bindings": [["3", "fast"]], "enum": [True, False]}
    steps = {"name": "steps", "kind": "integer", "bindings": [["1", "steps"], ["3", "steps"]], "enum": [5, 7]}
    template = build_template("mine", graph, {"parameters": [steps, fast]})

    kept, given_ = (render(template, params, seed=SEED) for params in ({}, {"steps": 7, "fast": False}))

    assert kept.params == {"steps": 5, "fast": True}
    assert given_.workflow.nodes["1"].inputs["steps"] == given_.workflow.nodes["3"].inputs["steps"] == 7
    for wrong in ({"steps": 6}, {"fast": "true"}, {"fast": 1}):
        with pytest.raises(ParameterError):
            render(template, wrong, seed=SEED)
