"""Files that cannot be run: each is refused by the node's name, with the remedy, and never by a crash."""

from __future__ import annotations

import itertools
import json
import random
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.comfyui.editor import EditorFileError, is_editor_file, to_workflow
from app.comfyui.graph import MAX_NODES
from app.comfyui.problems import MAX_PROBLEMS, Problem
from app.comfyui.workflow import parse
from tests.comfyui.editor.canvas import DATA, DEFINITIONS, OUTER, canvas, node, photo, problems_of, saved, slot

KEYS = [
    *("id", "type", "mode", "inputs", "outputs", "links", "link", "widget", "name", "nodes"),
    *("widgets_values", "properties", "proxyWidgets"),
]
TYPES = ["KSampler", "Reroute", "PrimitiveNode", "GetNode", "SetNode", "LoadImage", "SaveImage", OUTER, "Nobody"]
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-12, 12), st.floats(), st.text(max_size=4)),
    st.sampled_from([*KEYS, *TYPES, -10, -20, "-10", 10**40, "\0", "\ud800"]),
)
JUNK = st.recursive(
    SCALARS,
    lambda part: st.one_of(
        st.lists(part, max_size=6), st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), part, max_size=6)
    ),
    max_leaves=25,
)


def attempt(raw: object) -> None:
    """Either a graph that is sound, or a refusal that says something."""
    problems: tuple[Problem, ...] = ()
    try:
        parse(to_workflow(raw, DEFINITIONS).graph)
    except EditorFileError as refused:
        problems = refused.problems
    assert len(problems) <= MAX_PROBLEMS
    for problem in problems:
        problem.pointer.encode()
        assert problem.message


def test_a_class_that_no_backend_has_is_named_with_its_nearest_likeness() -> None:
    file = canvas(
        [
            node(3, "KSamplr", gives=("IMAGE",), title="Main"),
            node(4, "KSamplr", gives=("IMAGE",)),
            saved(1),
            saved(2, 8),
        ],
        [[1, 3, 0, 9, 0, "IMAGE"], [2, 4, 0, 8, 0, "IMAGE"]],
    )

    problems = problems_of(file)

    assert list(problems) == ["/nodes/0"]
    assert problems["/nodes/0"] == (
        "node '3' ('KSamplr', titled 'Main') has a class that no backend has (1 more nodes have it); "
        "did you mean 'KSampler'? install its node pack on a backend, or replace it"
    )


def test_an_unknown_node_that_nothing_is_linked_to_is_left_out_and_told() -> None:
    file = canvas([node(3, "SomePacksLabel"), photo(1), saved(1)], [[1, 1, 0, 9, 0, "IMAGE"]])

    converted = to_workflow(file, DEFINITIONS)

    assert set(converted.graph) == {"1", "9"}
    assert converted.notes == (
        "node '3' ('SomePacksLabel') is left out: no backend has its class, and nothing is linked to it",
    )


@pytest.mark.parametrize("name", ["workflow/My sampler", "workflow>My sampler"])
def test_a_group_node_of_the_old_kind_is_refused_by_name(name: str) -> None:
    message = problems_of(canvas([node(3, name), photo(1), saved(1)], [[1, 1, 0, 9, 0, "IMAGE"]]))["/nodes/0"]

    assert message.startswith(f"node '3' ('{name}') is a group node of the old kind; convert it")


@pytest.mark.parametrize("name", ["Anything Everywhere", "Anything Everywhere3", "Prompts Everywhere"])
def test_nodes_that_feed_others_without_links_are_refused_by_name(name: str) -> None:
    file = canvas([node(3, name, slot("anything", "*", 1)), photo(1), saved(1)], [[1, 1, 0, 9, 0, "IMAGE"]])

    assert "feeds other nodes without links" in problems_of(file)["/nodes/0"]
    file["nodes"][0]["mode"] = 2
    assert set(to_workflow(file, DEFINITIONS).graph) == {"1", "9"}


def test_links_that_another_pack_draws_are_refused() -> None:
    file = canvas([photo(1), saved(1)], [[1, 1, 0, 9, 0, "IMAGE"]], extra={"ue_links": [{"upstream": 1}]})

    assert "Use Everywhere" in problems_of(file)["/extra/ue_links"]


def test_what_is_no_editor_file_is_refused_as_such() -> None:
    others: tuple[object, ...] = (None, [], "nodes", {}, {"nodes": {}}, {"3": {"class_type": "KSampler", "inputs": {}}})
    for raw in others:
        assert not is_editor_file(raw)
        assert 'a saved editor file has a list "nodes"' in problems_of(raw)[""]


def test_every_node_that_cannot_be_read_is_named() -> None:
    file = {"nodes": [7, {"type": "A"}, {"id": 1}, {"id": 2, "type": "A"}, {"id": "2", "type": "A"}]}

    problems = problems_of(file)

    assert [*problems] == ["/nodes/0", "/nodes/1", "/nodes/2", "/nodes/4"]
    assert problems["/nodes/4"] == "a second node has the id '2'; remove one of them in the editor"


def test_a_text_that_nobody_can_store_is_refused_where_it_stands() -> None:
    file = canvas([photo(1), saved(1)], [[1, 1, 0, 9, 0, "IMAGE"]])
    file["nodes"][1]["widgets_values"] = ["a\0b"]

    message = problems_of(file)["/nodes/1"]

    assert message.startswith("node '9' ('SaveImage') (/inputs/filename_prefix) cannot be sent: holds a NUL character")


@settings(deadline=None)
@given(JUNK)
def test_no_json_value_makes_it_crash(raw: object) -> None:
    attempt(raw)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({"id": st.integers(0, 6), "type": st.sampled_from(TYPES)}), max_size=6), st.data()
)
def test_no_odd_nodes_make_it_crash(nodes: list[dict[str, Any]], data: st.DataObject) -> None:
    ids = st.integers(-20, 9)
    links = st.lists(st.lists(ids, min_size=6, max_size=6), max_size=8)
    slots = st.lists(st.fixed_dictionaries({"name": st.sampled_from(KEYS), "link": ids, "widget": JUNK}), max_size=4)
    rest = st.fixed_dictionaries({"inputs": slots, "widgets_values": JUNK, "mode": st.integers(0, 4)})
    for each in nodes:
        each.update(data.draw(rest), properties={"proxyWidgets": data.draw(JUNK)})
    inner = {"id": OUTER, "nodes": nodes[:3], "links": data.draw(links), "inputs": data.draw(slots), "outputs": [{}]}

    attempt({"nodes": nodes, "links": data.draw(links), "definitions": {"subgraphs": [inner]}})


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted((DATA / "editor").glob("*.json"))), st.integers(0, 2**32))
def test_no_damage_to_a_real_file_makes_it_crash(path: Any, seed: int) -> None:
    chance = random.Random(seed)
    file = json.loads(path.read_text())["file"]

    for _ in range(3):
        damage(file, chance)

    attempt(file)


def damage(part: Any, chance: random.Random) -> None:
    """Replace, remove or repeat one value somewhere below."""
    while part:
        key = chance.choice(list(part) if isinstance(part, dict) else range(len(part)))
        if isinstance(part[key], dict | list) and part[key] and chance.random() < 0.85:
            part = part[key]
            continue
        part[key] = chance.choice([None, 0, -1, "", "x", [], {}, 2, 4, 1e999, part[chance.choice([key])], [part[key]]])
        return


@pytest.mark.parametrize("number", [10**40, -(10**40), 1e308, float("inf"), float("nan"), True])
def test_ids_that_nobody_could_have_given_are_refused(number: object) -> None:
    assert "is no id of a node" in problems_of({"nodes": [{"id": number, "type": "A"}]})["/nodes/0"]


SHAPES = {
    "chain": "ImageInvert",
    "fan": "ImageInvert",
    "bypassed": "ImageInvert",
    "reroutes": "Reroute",
    "odd": "Nobody",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_times_the_nodes_take_ten_times_the_work(shape: str) -> None:
    small, large = (work(row(shape, count)) for count in (500, 5000))

    assert large < 12 * small


def test_the_largest_file_is_converted() -> None:
    assert len(to_workflow(row("chain", MAX_NODES - 2), DEFINITIONS).graph) == MAX_NODES - 1


def row(shape: str, count: int) -> dict[str, Any]:
    """A picture, nodes one behind the other or all behind the picture, and a node that saves what the last gives."""
    mode = 4 if shape == "bypassed" else 0
    links = [[each, 0 if shape == "fan" else each - 1, 0, each, 0, "IMAGE"] for each in range(1, count + 1)]
    inverts = [
        node(each, SHAPES[shape], slot("image", "IMAGE", each), gives=("IMAGE",), mode=mode) for each in range(1, count)
    ]
    return canvas([photo(0), *inverts, saved(count, count)], links)


def work(file: object) -> int:
    """How many calls it takes; unlike time, the same on every machine."""
    calls = itertools.count()
    sys.setprofile(lambda *_: next(calls))
    try:
        attempt(file)
    finally:
        sys.setprofile(None)
    return next(calls)
