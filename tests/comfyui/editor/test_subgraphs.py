"""Subgraphs: their ids, the values their nodes pass in, and how deep they may go."""

from __future__ import annotations

from typing import Any

import pytest

from app.comfyui.graph import MAX_NODES
from tests.comfyui.editor.canvas import (
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

SCALE = [control("upscale_method", "COMBO"), control("width", "INT", 2), control("height", "INT", 3)]
INPUTS = [
    {"name": "image", "type": "IMAGE", "linkIds": [1]},
    {"name": "width", "type": "INT", "linkIds": [2]},
    {"name": "height", "type": "INT", "linkIds": [3]},
]


def scaling(*inputs: dict[str, Any], **host: Any) -> dict[str, Any]:
    """A subgraph that scales to 100 × 200 unless its node says otherwise."""
    inner = node(
        4,
        "ImageScale",
        slot("image", "IMAGE", 1),
        *SCALE,
        control("crop", "COMBO"),
        gives=("IMAGE",),
        values=["area", 100, 200, "disabled"],
    )
    links = [wire(1, -10, 0, 4, 0), wire(2, -10, 1, 4, 2), wire(3, -10, 2, 4, 3), wire(4, 4, 0, -20, 0)]
    outputs = [{"name": "IMAGE", "type": "IMAGE", "linkIds": [4]}]
    return canvas(
        [photo(1), node(5, OUTER, slot("image", "IMAGE", 1), *inputs, gives=("IMAGE",), **host), saved(2)],
        [[1, 1, 0, 5, 0, "IMAGE"], [2, 5, 0, 9, 0, "IMAGE"]],
        definitions=one_subgraph(inner, links=links, inputs=INPUTS, outputs=outputs),
    )


def size(file: dict[str, Any]) -> tuple[Any, Any]:
    inputs = inputs_of(file, "5:4")
    return inputs["width"], inputs["height"]


def test_without_values_of_its_own_a_subgraph_has_those_inside() -> None:
    assert size(scaling(control("width", "INT"), control("height", "INT"))) == (100, 200)


def test_values_follow_the_inputs_that_the_file_lists() -> None:
    file = scaling(control("height", "INT"), control("width", "INT"), values=[7, 8])

    assert size(file) == (8, 7)


def test_values_follow_the_subgraphs_inputs_where_the_file_leaves_out_unlinked_ones() -> None:
    assert size(scaling(values=[7, 8])) == (7, 8)


def test_values_may_have_words_behind_them() -> None:
    assert size(scaling(values=[7, "randomize", 8, "fixed"])) == (7, 8)


def test_values_may_be_stored_by_the_names_of_the_inputs() -> None:
    assert size(scaling(values=[1], widgets_values_named={"width": 7, "height": 8})) == (7, 8)


def test_promoted_controls_are_named_by_node_and_control() -> None:
    promoted = {"proxyWidgets": [["4", "upscale_method"], ["-1", "height"], ["4", "crop"]]}

    file = scaling(properties=promoted, values=["lanczos", 8, None])

    assert inputs_of(file, "5:4")["upscale_method"] == "lanczos"
    assert inputs_of(file, "5:4")["crop"] == "disabled"
    assert size(file) == (100, 8)


def test_a_link_to_a_subgraph_comes_before_its_stored_value() -> None:
    file = scaling(control("width", "INT", 3), control("height", "INT"), values=[7, 8])
    file["nodes"].append(node(6, "PrimitiveInt", gives=("INT",), values=[512, "fixed"]))
    file["links"].append([3, 6, 0, 5, 1, "INT"])

    assert size(file) == (["6", 0], 8)


def test_a_stored_value_stands_in_for_a_link_that_leads_nowhere() -> None:
    file = scaling(control("width", "INT", 3), control("height", "INT"), values=[7, 8])
    file["nodes"].append(node(6, "Reroute", slot("", "*"), gives=("INT",)))
    file["links"].append([3, 6, 0, 5, 1, "INT"])

    assert size(file) == (7, 8)


def test_an_input_that_shows_a_control_feeds_plain_inputs_with_its_value() -> None:
    file = scaling()
    subgraph = file["definitions"]["subgraphs"][0]
    subgraph["nodes"].append(node(6, "PreviewAny", slot("source", "*", 5)))
    subgraph["links"].append(wire(5, -10, 1, 6, 0))

    assert inputs_of(file, "5:6") == {"source": 100}


def test_a_muted_subgraph_takes_what_needs_it_with_it() -> None:
    file = scaling(mode=2)
    file["nodes"].append(saved(1, 8))

    assert set(graph_of(file)) == {"1", "8"}


def test_a_bypassed_subgraph_hands_on_its_input() -> None:
    file = scaling(mode=4)

    assert set(graph_of(file)) == {"1", "9"}
    assert inputs_of(file, "9")["images"] == ["1", 0]


def test_two_of_a_subgraph_are_two_of_every_node_in_it() -> None:
    file = scaling(values=[7, 8])
    file["nodes"] += [node(6, OUTER, slot("image", "IMAGE", 1), gives=("IMAGE",), values=[9, 10]), saved(3, 10)]
    file["links"].append([3, 6, 0, 10, 0, "IMAGE"])

    graph = graph_of(file)

    assert graph["5:4"]["inputs"]["width"] == 7
    assert graph["6:4"]["inputs"]["width"] == 9
    assert graph["10"]["inputs"]["images"] == ["6:4", 0]


def test_a_subgraph_that_is_not_in_the_file_is_refused() -> None:
    file = scaling()
    del file["definitions"]

    assert "stands for a subgraph that is not in the file" in problems_of(file)["/nodes/1"]


def test_a_subgraph_inside_itself_is_refused() -> None:
    file = scaling()
    file["definitions"]["subgraphs"][0]["nodes"].append(node(8, OUTER))

    (message,) = problems_of(file).values()

    assert "node '5:8' (" in message
    assert "is a subgraph that contains itself; take it out" in message


@pytest.mark.parametrize("nodes_each", [2, 9])
def test_subgraphs_that_multiply_are_refused_before_they_are_laid_open(nodes_each: int) -> None:
    ids = [f"{level:08x}-0000-4000-8000-000000000000" for level in range(40)]
    subgraphs = [
        {"id": own, "name": own, "nodes": [node(each, inner) for each in range(nodes_each)], "links": []}
        for own, inner in zip(ids, [*ids[1:], "LoadImage"], strict=True)
    ]

    message = problems_of(canvas([node(1, ids[0])], [], definitions={"subgraphs": subgraphs}))[""]

    assert message == f"has more than {MAX_NODES} nodes once its subgraphs are laid open; split it"


def test_a_node_whose_id_looks_like_one_inside_a_subgraph_is_refused() -> None:
    file = scaling()
    file["nodes"].append(photo(0) | {"id": "5:4"})

    (message,) = problems_of(file).values()

    assert "has the same id as node '5:4'" in message
