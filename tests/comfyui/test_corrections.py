"""What a person says about inferred parameters, however it is written, and what he is told of mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.comfyui.corrections import CorrectionError, corrected
from app.comfyui.parameters import Parameter, ParameterKind
from app.comfyui.workflow import parse
from tests.comfyui.inferring import DATA, GRAPHS, KNOWN, bindings, inferred

TXT2IMG = GRAPHS["sd15_txt2img"]
DYNAMIC = json.loads((DATA / "editor" / "dynamic_inputs.json").read_text("utf-8"))["expected"]
FORMS = '"6.text", ["6", "text"], a list of such pairs, an object with them as bindings, or null for none'


def after(corrections: dict[str, Any], graph: dict[str, Any] = TXT2IMG) -> dict[str, Parameter]:
    found = corrected(inferred(graph).definition, corrections, parse(graph), KNOWN)
    return {each.name: each for each in found.parameters}


def places(parameter: Parameter) -> list[str]:
    return [".".join(each) for each in parameter.bindings]


def wrong(corrections: dict[str, Any]) -> dict[str, str]:
    """The message for each pointer of corrections that make no sense."""
    with pytest.raises(CorrectionError) as caught:
        after(corrections)
    return {each.pointer: each.message for each in caught.value.problems}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("6.text", ["6.text"]),
        (["6", "text"], ["6.text"]),
        (["6.text"], ["6.text"]),
        (["6.text", "7.text"], ["6.text", "7.text"]),
        ([["6", "text"]], ["6.text"]),
        ([["6", "text"], ["7", "text"]], ["6.text", "7.text"]),
        ([["6", "text"], "7.text"], ["6.text", "7.text"]),
        ({"bindings": "6.text"}, ["6.text"]),
        ({"bindings": ["6", "text"]}, ["6.text"]),
        ({"bindings": [["7", "text"], ["6", "text"]]}, ["7.text", "6.text"]),
        (["6.text", "6.text"], ["6.text"]),
    ],
    ids=str,
)
def test_a_place_may_be_written_in_any_of_the_described_forms(written: object, expected: list[str]) -> None:
    assert places(after({"words": written})["words"]) == expected


@pytest.mark.parametrize("written", ["4.resize_type.longer_size", ["4", "resize_type.longer_size"]])
def test_the_name_of_an_input_may_hold_dots(written: object) -> None:
    found = after({"side": written}, DYNAMIC)["side"]

    assert places(found) == ["4.resize_type.longer_size"]
    assert found.kind is ParameterKind.INTEGER


def test_null_takes_a_parameter_away_and_leaves_the_others() -> None:
    found = after({"negativePrompt": None, "cfg": None})

    expected = {name: each for name, each in bindings(TXT2IMG).items() if name not in {"negativePrompt", "cfg"}}
    assert {name: places(each) for name, each in found.items()} == expected


def test_null_for_a_parameter_that_is_not_there_changes_nothing() -> None:
    assert {name: places(each) for name, each in after({"nothing": None}).items()} == bindings(TXT2IMG)


def test_a_claimed_place_is_taken_from_whoever_had_it() -> None:
    found = after({"side": ["5.width", "5.height"], "detail": "3.steps"})

    assert not {"width", "height", "steps"} & found.keys()
    assert (places(found["side"]), places(found["detail"])) == (["5.width", "5.height"], ["3.steps"])


def test_who_loses_one_of_several_places_keeps_the_rest() -> None:
    found = after({"second": "11.cfg"}, GRAPHS["hires_fix"])

    assert (places(found["cfg"]), places(found["second"])) == (["3.cfg"], ["11.cfg"])


def test_a_new_place_brings_its_own_kind_bounds_and_value() -> None:
    found = after({"prompt": "3.steps", "look": "3.sampler_name"})

    assert (found["prompt"].kind, found["prompt"].minimum, found["prompt"].examples) == (
        ParameterKind.INTEGER,
        1,
        (20,),
    )
    assert (found["look"].kind, places(found["look"])) == (ParameterKind.STRING, ["3.sampler_name"])


@pytest.mark.parametrize(
    ("field", "value", "attribute"),
    [
        ("kind", "number", "kind"),
        ("description", "How hard to try.", "description"),
        ("default", 12, "default"),
        ("minimum", 2, "minimum"),
        ("maximum", 40.5, "maximum"),
        ("multipleOf", 4, "multiple_of"),
        ("enum", [10, 20], "enum"),
        ("maxLength", 10, "max_length"),
        ("examples", [8], "examples"),
        ("required", True, "required"),
        ("isSeed", True, "is_seed"),
    ],
)
def test_any_field_may_be_said_otherwise_and_the_place_stays(field: str, value: Any, attribute: str) -> None:
    found = after({"steps": {field: value}})["steps"]

    kept = getattr(found, attribute)
    assert (list(kept) if isinstance(kept, tuple) else kept) == value
    assert places(found) == ["3.steps"]


def test_fields_and_places_may_be_said_together() -> None:
    found = after({"detail": {"bindings": "3.steps", "minimum": 4, "maximum": 8, "default": 6}})["detail"]

    assert (places(found), found.minimum, found.maximum, found.default) == (["3.steps"], 4, 8, 6)


@pytest.mark.parametrize(
    ("correction", "pointer", "says"),
    [
        ("99.steps", "", "the workflow has no node '99'; name one that is there"),
        ("3.speed", "", "node '3' has no input 'speed'; it has: seed, steps, cfg"),
        (["3", "speed"], "", "node '3' has no input 'speed'"),
        ([["6", "text"], ["99", "text"]], "", "the workflow has no node '99'"),
        ("steps", "", "the workflow has no node ''"),
        ("", "", "the workflow has no node ''"),
        (3, "", FORMS),
        (True, "", FORMS),
        ([], "", FORMS),
        ([["6"]], "", FORMS),
        ([["6", "text", "more"]], "", FORMS),
        ([[6, "text"]], "", FORMS),
        ({"bindings": {}}, "", FORMS),
        ({"bindings": None}, "", FORMS),
        ({}, "", "there is no such parameter yet; say where it goes"),
        ({"minimum": 3}, "", "there is no such parameter yet; say where it goes"),
        ("3.model", "", "what the workflow holds there is no text, number or truth value"),
        ({"colour": "red"}, "", "has no field 'colour'; leave it out, or use: bindings, kind, description"),
        ({"bindings": "3.steps", "name": "other"}, "", "has no field 'name'"),
        ({"bindings": "3.steps", "kind": "colour"}, "/kind", "must be one of integer, number, string"),
        ({"bindings": "3.steps", "minimum": "4"}, "/minimum", "must be a number or null, not '4'"),
        ({"bindings": "3.steps", "multipleOf": 1.5}, "/multipleOf", "must be a whole number or null, not 1.5"),
        ({"bindings": "3.steps", "enum": 4}, "/enum", "must be a list of texts, numbers or truth values, not 4"),
        ({"bindings": "3.steps", "required": "yes"}, "/required", "must be true or false, not 'yes'"),
        ({"bindings": "3.steps", "default": []}, "/default", "must be text, a number, true, false or null, not a list"),
    ],
    ids=str,
)
def test_a_correction_that_makes_no_sense_is_told_with_its_place_and_the_remedy(
    correction: object, pointer: str, says: str
) -> None:
    found = wrong({"detail": correction})

    assert found.keys() == {f"/detail{pointer}"}
    assert says in found[f"/detail{pointer}"]


def test_everything_wrong_is_told_at_once() -> None:
    found = wrong({"a/b": 3, "prompt": {"kind": 1, "isSeed": 1}, "cfg": "99.x", "seed": None})

    assert found.keys() == {"/a~1b", "/prompt/kind", "/prompt/isSeed", "/cfg"}


def test_a_correction_leaves_what_was_inferred_as_it_was() -> None:
    definition = inferred(TXT2IMG).definition
    before = definition.parameters

    corrected(definition, {"prompt": None, "side": "5.width"}, parse(TXT2IMG), KNOWN)

    assert definition.parameters == before
