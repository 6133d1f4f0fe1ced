"""Links through everything that exists in the editor only."""

from __future__ import annotations

from typing import Any

import pytest

from app.comfyui.editor import to_workflow
from tests.comfyui.editor.canvas import (
    DEFINITIONS,
    OUTER,
    canvas,
    control,
    graph_of,
    inputs_of,
    node,
    one_subgraph,
    photo,
    problems_of,
    saved,
    slot,
    wire,
)


def test_a_bypassed_node_hands_on_the_input_of_the_same_number_first() -> None:
    blend = node(
        3, "ImageBlend", slot("image1", "IMAGE", 1), slot("image2", "IMAGE", 2), gives=("MASK", "IMAGE"), mode=4
    )
    file = canvas(
        [photo(1), photo(2), blend, saved(3)], [[1, 1, 0, 3, 0, "IMAGE"], [2, 2, 0, 3, 1, "IMAGE"], [3, 3, 1, 9, 0, ""]]
    )

    assert inputs_of(file, "9")["images"] == ["2", 0]


def test_a_bypassed_node_hands_on_the_first_input_of_the_same_kind_else() -> None:
    encode = node(3, "Odd", slot("vae", "VAE"), slot("pixels", "IMAGE", 1), gives=("IMAGE",), mode=4)
    file = canvas([photo(1), encode, saved(3)], [[1, 1, 0, 3, 1, "IMAGE"], [3, 3, 0, 9, 0, "IMAGE"]])

    assert inputs_of(file, "9")["images"] == ["1", 0]


def test_a_bypassed_node_prefers_exactly_this_kind_to_any_kind() -> None:
    inputs = (slot("any", "*", 1), slot("samples", "LATENT"), slot("pixels", "IMAGE", 2))
    odd = node(3, "Odd", *inputs, gives=("LATENT", "IMAGE"), mode=4)
    links = [[1, 1, 0, 3, 0, "*"], [2, 2, 0, 3, 2, "IMAGE"], [3, 3, 1, 9, 0, "IMAGE"]]

    assert inputs_of(canvas([photo(1), photo(2), odd, saved(3)], links), "9")["images"] == ["2", 0]


def test_what_needs_a_bypassed_node_that_has_no_such_input_is_refused_by_name() -> None:
    decode = node(3, "VAEDecode", slot("samples", "LATENT"), gives=("IMAGE",), mode=4, title="Decoder")
    file = canvas([decode, saved(3)], [[3, 3, 0, 9, 0, "IMAGE"]])

    message = problems_of(file)[""]

    assert "node '9' ('SaveImage') is left out" in message
    assert (
        "node '3' ('VAEDecode', titled 'Decoder'), which is bypassed and takes nothing of the kind 'IMAGE'" in message
    )


def test_a_control_fed_by_a_bypassed_primitive_keeps_its_own_value() -> None:
    file = canvas(
        [
            photo(1),
            node(2, "PrimitiveNode", gives=("STRING",), values=["other"], mode=4),
            node(9, "SaveImage", slot("images", "IMAGE", 1), control("filename_prefix", "STRING", 2), values=["own"]),
        ],
        [[1, 1, 0, 9, 0, "IMAGE"], [2, 2, 0, 9, 1, "STRING"]],
    )

    assert inputs_of(file, "9")["filename_prefix"] == "own"


def test_a_control_fed_by_a_muted_node_takes_its_node_with_it() -> None:
    prefix = control("filename_prefix", "STRING", 2)
    file = canvas(
        [
            photo(1),
            node(2, "PrimitiveString", gives=("STRING",), values=["other"], mode=2),
            node(8, "SaveImage", slot("images", "IMAGE", 1), prefix, values=["own"]),
            saved(1),
        ],
        [[1, 1, 0, 9, 0, "IMAGE"], [2, 2, 0, 8, 1, "STRING"]],
    )

    assert set(graph_of(file)) == {"1", "9"}


def test_an_optional_input_does_without_a_muted_node() -> None:
    clip = slot("clip_vision_output", "CLIP_VISION_OUTPUT", 2)
    file = canvas(
        [
            photo(1),
            node(2, "CLIPVisionEncode", gives=("CLIP_VISION_OUTPUT",), mode=2),
            node(3, "WanImageToVideo", slot("start_image", "IMAGE", 1), clip, gives=("CONDITIONING",)),
            saved(1),
        ],
        [[1, 1, 0, 9, 0, "IMAGE"], [2, 2, 0, 3, 1, ""]],
    )

    assert "clip_vision_output" not in inputs_of(file, "3")
    assert inputs_of(file, "3")["start_image"] == ["1", 0]


def test_a_file_in_which_everything_is_muted_is_refused_with_the_reason() -> None:
    file = canvas([photo(1, mode=2), saved(1)], [[1, 1, 0, 9, 0, "IMAGE"]])

    message = problems_of(file)[""]

    assert message.startswith("nothing in it can run and save or show a result; unmute or connect what is needed")
    assert "needs node '1' ('LoadImage'), which is muted" in message


def test_a_file_without_a_node_that_saves_or_shows_is_refused() -> None:
    assert "add a node such as Save Image" in problems_of(canvas([photo(1)], []))[""]


def test_a_value_typed_into_a_primitive_passes_reroutes() -> None:
    file = canvas(
        [
            photo(1),
            node(2, "PrimitiveNode", gives=("STRING",), values=["typed"]),
            node(3, "Reroute", slot("", "*", 2), gives=("*",)),
            node(9, "SaveImage", slot("images", "IMAGE", 1), control("filename_prefix", "STRING", 3), values=["own"]),
        ],
        [[1, 1, 0, 9, 0, "IMAGE"], [2, 2, 0, 3, 0, "*"], [3, 3, 0, 9, 1, "STRING"]],
    )

    assert inputs_of(file, "9")["filename_prefix"] == "typed"


@pytest.mark.parametrize("loop", [[[1, 2, 0, 3, 0, "*"], [2, 3, 0, 2, 0, "*"]], [[1, 2, 0, 2, 0, "*"]]])
def test_reroutes_that_lead_in_a_circle_are_refused(loop: list[list[Any]]) -> None:
    reroutes = [node(2, "Reroute", slot("", "*", loop[-1][0]), gives=("*",))]
    reroutes += [node(3, "Reroute", slot("", "*", 1), gives=("*",))]
    file = canvas([*reroutes, saved(3)], [*loop, [3, 2, 0, 9, 0, "IMAGE"]])

    message = problems_of(file)["/nodes/2"]

    assert "its input 'images' is fed by links that lead in a circle; cut one of them" in message


def test_nodes_that_wait_for_each_other_are_refused_where_they_stand() -> None:
    file = canvas(
        [
            node(2, "ImageInvert", slot("image", "IMAGE", 1), gives=("IMAGE",)),
            node(3, "ImageInvert", slot("image", "IMAGE", 2), gives=("IMAGE",)),
            saved(3),
        ],
        [[1, 3, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"], [3, 3, 0, 9, 0, "IMAGE"]],
    )

    (place, message), *_ = problems_of(file).items()

    assert place in {"/nodes/0", "/nodes/1"}
    assert "wait for each other in a circle" in message


def test_a_get_node_without_its_set_node_is_refused_by_the_name_it_asks_for() -> None:
    file = canvas([node(2, "GetNode", gives=("IMAGE",), values=["hero"]), saved(1)], [[1, 2, 0, 9, 0, "IMAGE"]])

    assert "no Set node gives anything the name 'hero'; add one" in problems_of(file)["/nodes/1"]


def test_a_get_node_inside_a_subgraph_finds_a_set_node_outside() -> None:
    file = canvas(
        [
            photo(1),
            node(2, "SetNode", slot("IMAGE", "IMAGE", 1), gives=("*",), values=["hero"]),
            node(5, OUTER, gives=("IMAGE",)),
            saved(2),
        ],
        [[1, 1, 0, 2, 0, "IMAGE"], [2, 5, 0, 9, 0, "IMAGE"]],
        definitions=one_subgraph(
            node(3, "GetNode", gives=("IMAGE",), values=["hero"]),
            node(4, "ImageInvert", slot("image", "IMAGE", 1), gives=("IMAGE",)),
            links=[wire(1, 3, 0, 4, 0), wire(2, 4, 0, -20, 0)],
            outputs=[{"name": "IMAGE", "type": "IMAGE"}],
        ),
    )

    assert graph_of(file)["5:4"]["inputs"] == {"image": ["1", 0]}
    assert graph_of(file)["9"]["inputs"]["images"] == ["5:4", 0]


def test_a_link_that_the_file_lost_counts_as_none() -> None:
    file = canvas([photo(1), saved(1, 8), saved(77)], [[1, 1, 0, 8, 0, "IMAGE"]])

    converted = to_workflow(file, DEFINITIONS)

    assert set(converted.graph) == {"1", "8"}
    assert "its input 'images' has a link that is not in the file" in converted.notes[0]


def test_a_value_that_is_a_list_is_wrapped_so_that_nobody_takes_it_for_a_link() -> None:
    file = canvas(
        [
            photo(1),
            node(9, "SaveImage", slot("images", "IMAGE", 1), widgets_values_named={"filename_prefix": ["1", 0]}),
        ],
        [[1, 1, 0, 9, 0, "IMAGE"]],
    )

    assert inputs_of(file, "9")["filename_prefix"] == {"__value__": ["1", 0]}
