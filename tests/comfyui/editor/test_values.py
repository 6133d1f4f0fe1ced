"""Values without names: which belongs to which input, and when nobody can say."""

from __future__ import annotations

from typing import Any

import pytest

from app.comfyui.definitions import Definitions
from app.comfyui.editor import EditorFileError, to_workflow
from tests.comfyui.editor.canvas import DEFINITIONS, canvas, control, inputs_of, node, photo, problems_of, saved, slot

MODES = ["fast", "fine"]


def own(**inputs: Any) -> Definitions:
    """The server's classes and one more, `Mine`, with these inputs; optional ones have a name that ends in `_`."""
    required = {name: spec for name, spec in inputs.items() if not name.endswith("_")}
    optional = {name: spec for name, spec in inputs.items() if name.endswith("_")}
    mine = {"input": {"required": required, "optional": optional}, "output": ["IMAGE"], "output_node": True}
    return Definitions({"Mine": mine})


def converted(definitions: Definitions, values: Any, *inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = to_workflow(canvas([node(1, "Mine", *inputs, values=values, **more)], []), definitions).graph["1"]["inputs"]
    assert isinstance(found, dict)
    return found


def refusal(definitions: Definitions, values: Any, *inputs: dict[str, Any]) -> str:
    with pytest.raises(EditorFileError) as raised:
        converted(definitions, values, *inputs)
    return raised.value.problems[0].message


def test_values_that_the_node_of_another_version_lacked_are_the_servers_defaults() -> None:
    definitions = own(a=["INT", {}], b=["FLOAT", {"default": 1.5}], c_=["STRING", {"default": "x"}])

    found = to_workflow(canvas([node(1, "Mine", values=[3])], []), definitions)

    assert found.graph["1"]["inputs"] == {"a": 3, "b": 1.5, "c_": "x"}
    assert found.notes == ("node '1' ('Mine') has no saved value for 'b': the default is sent",)


def test_values_that_the_servers_version_lacks_are_left_out_and_told() -> None:
    found = to_workflow(canvas([node(1, "Mine", values=[3, "fine", 7, 8])], []), own(a=["INT", {}], b=[MODES, {}]))

    assert found.graph["1"]["inputs"] == {"a": 3, "b": "fine"}
    assert "has 2 saved values more than the server's version of it takes" in found.notes[0]


def test_a_list_that_cannot_be_told_apart_is_refused_by_the_node_and_the_remedy() -> None:
    message = refusal(own(a=["INT", {}], b=[MODES, {}], c=["INT", {}]), [3, 4])

    assert message.startswith("node '1' ('Mine') was saved with another version of 'Mine': its 2 values do not fit")
    assert "save it again, or choose Workflow > Export (API)" in message


def test_a_list_of_another_order_follows_the_slots_that_the_file_lists() -> None:
    definitions = own(a=["INT", {}], b=["STRING", {}])

    assert converted(definitions, ["text", 5], control("b", "STRING"), control("a", "INT")) == {"a": 5, "b": "text"}


@pytest.mark.parametrize("word", ["fixed", "increment", "decrement", "randomize", "increment-wrap"])
@pytest.mark.parametrize("options", [{"control_after_generate": True}, {}])
def test_the_word_behind_a_seed_is_never_sent(word: str, options: dict[str, Any]) -> None:
    assert converted(own(seed=["INT", options], b=["STRING", {}]), [5, word, "text"]) == {"seed": 5, "b": "text"}


def test_a_word_that_is_a_choice_of_its_own_is_sent() -> None:
    definitions = own(seed=["INT", {}], b=[["fixed", "moving"], {}])

    assert converted(definitions, [5, "fixed"]) == {"seed": 5, "b": "fixed"}


def test_a_combo_with_a_word_has_a_filter_behind_it() -> None:
    definitions = own(b=[MODES, {"control_after_generate": True}], c=["INT", {}])

    assert converted(definitions, ["fine", "increment", "", 6]) == {"b": "fine", "c": 6}


def test_the_button_of_an_upload_stands_before_the_optional_inputs() -> None:
    definitions = own(image=[[], {"image_upload": True}], n_=["INT", {}])

    assert converted(definitions, ["ship.png", "image", 4]) == {"image": "ship.png", "n_": 4}
    assert converted(definitions, ["ship.png", 4]) == {"image": "ship.png", "n_": 4}


def test_an_input_that_only_takes_links_has_no_value_unless_the_file_says_so() -> None:
    definitions = own(a=["STRING", {"forceInput": True}], b=["INT", {}])

    assert converted(definitions, [4]) == {"b": 4}
    assert converted(definitions, ["text", 4], control("a", "STRING")) == {"a": "text", "b": 4}


def test_numbers_texts_and_switches_are_sent_as_they_are() -> None:
    definitions = own(a=["INT", {}], b=["FLOAT", {}], c=["STRING", {}], d=["BOOLEAN", {}])

    found = converted(definitions, [2**64 - 1, 7, "  two\nlines ", False])

    assert found == {"a": 2**64 - 1, "b": 7, "c": "  two\nlines ", "d": False}
    assert type(found["b"]) is int


def test_a_choice_that_the_server_does_not_offer_is_left_to_the_server() -> None:
    assert converted(own(a=[MODES, {}]), ["finest"]) == {"a": "finest"}


def test_a_dynamic_combo_brings_its_own_inputs_along() -> None:
    small = {"key": "small", "inputs": {"required": {"n": ["INT", {"default": 1}]}}}
    large = {"key": "large", "inputs": {"required": {"w": ["INT", {}], "h": ["INT", {}]}}}
    definitions = own(size=["COMFY_DYNAMICCOMBO_V3", {"options": [small, large]}], last=["STRING", {}])

    assert converted(definitions, ["small", 3, "x"]) == {"size": "small", "size.n": 3, "last": "x"}
    assert converted(definitions, ["large", 5, 6, "x"]) == {"size": "large", "size.w": 5, "size.h": 6, "last": "x"}
    assert converted(definitions, {"last": "x"}) == {"size": "small", "size.n": 1, "last": "x"}
    assert "another version" in refusal(definitions, ["huge", 5, "x"])


def test_values_of_growing_inputs_are_sent_where_the_file_names_them() -> None:
    definitions = own(texts=["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"t": ["STRING", {}]}}}}])
    listed = [control("texts.t0", "STRING"), control("texts.t1", "STRING")]

    assert converted(definitions, ["a", "b"], *listed) == {"texts.t0": "a", "texts.t1": "b"}


def test_a_growing_input_keeps_its_value_where_its_link_leads_nowhere() -> None:
    definitions = own(texts=["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"t": ["STRING", {}]}}}}])

    assert converted(definitions, ["a"], control("texts.t0", "STRING", 77)) == {"texts.t0": "a"}


@pytest.mark.parametrize("kind", ["WEBCAM", "LOAD_3D", "AUDIO_RECORD"])
def test_what_the_editor_records_at_the_run_is_refused(kind: str) -> None:
    message = refusal(own(image=[kind, {}]), [""])

    assert message.startswith("node '1' ('Mine') takes 'image' from the editor when it runs; choose Workflow > Export")


def test_a_required_input_without_any_value_is_refused() -> None:
    message = refusal(own(model=[[], {}]), [])

    assert "has no saved value for 'model', and the server names none" in message


def test_a_node_that_lists_its_own_choices_sends_the_one_chosen() -> None:
    file = canvas(
        [
            photo(1),
            node(2, "CustomCombo", gives=("STRING",), values=["b", 1, "a", "b", ""]),
            node(9, "SaveImage", slot("images", "IMAGE", 1), control("filename_prefix", "STRING", 2), values=["x"]),
        ],
        [[1, 1, 0, 9, 0, "IMAGE"], [2, 2, 0, 9, 1, "STRING"]],
    )

    assert inputs_of(file, "2") == {"choice": "b"}


def test_every_node_whose_values_cannot_be_read_is_named() -> None:
    odd = [node(each, "EmptyLatentImage", values=["wide", 1, 2]) for each in (5, 6)]
    file = canvas([photo(1), *odd, saved(1)], [[1, 1, 0, 9, 0, "IMAGE"]])

    assert set(problems_of(file)) == {"/nodes/1", "/nodes/2"}
    assert "EmptyLatentImage" in DEFINITIONS
