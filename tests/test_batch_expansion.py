"""What a batch's body multiplies to, and where in it each field of an item was written."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.batch_expansion import Expanded, Plan, axes_of, expanded, misplaced


def items_of(
    items: list[dict[str, Any]] | None = None,
    base: dict[str, Any] | None = None,
    matrix: dict[str, list[Any]] | None = None,
    groups: list[dict[str, list[Any]]] | None = None,
    runs: int = 1,
) -> list[Expanded]:
    given_items = items or []
    count = None if items is None else len(items)
    one = (lambda number: given_items[number]) if items is not None else (lambda _: {})
    plan = Plan(base or {}, one, count, axes_of(matrix or {}, groups or []), runs)
    made = list(expanded(plan))
    assert len(made) == plan.total
    assert [item.index for item in made] == list(range(plan.total))
    return made


def test_a_matrix_gives_every_combination_with_the_last_list_turning_fastest() -> None:
    made = items_of(base={"prompt": "p"}, matrix={"seed": [1, 2, 3], "cfg": [4, 7]})

    assert [(item.body["seed"], item.body["cfg"]) for item in made] == list(itertools.product([1, 2, 3], [4, 7]))
    assert {item.body["prompt"] for item in made} == {"p"}


def test_the_lists_of_a_group_go_together() -> None:
    made = items_of(base={}, groups=[{"prompt": ["a", "b"], "seed": [1, 2]}], matrix={"cfg": [4, 7]})

    shown = [(item.body["cfg"], item.body["prompt"], item.body["seed"]) for item in made]
    assert shown == [(4, "a", 1), (4, "b", 2), (7, "a", 1), (7, "b", 2)]


def test_every_item_is_made_with_every_combination() -> None:
    made = items_of(items=[{"prompt": "a", "key": "x"}, {"prompt": "b"}], base={"steps": 4}, matrix={"cfg": [1, 2]})

    shown = [(item.body["prompt"], item.body["cfg"], item.body["steps"], item.key) for item in made]
    assert shown == [("a", 1, 4, "x#0"), ("a", 2, 4, "x#1"), ("b", 1, 4, None), ("b", 2, 4, None)]
    assert all("key" not in item.body for item in made)


def test_further_runs_count_a_given_seed_on_and_leave_a_drawn_one_to_chance() -> None:
    given_seed = items_of(base={"seed": 2**64 - 1}, runs=3)
    inside_params = items_of(base={"params": {"seed": 5}}, runs=2)
    drawn = items_of(base={"seed": -1}, runs=2)

    assert [item.body["seed"] for item in given_seed] == [2**64 - 1, 0, 1]
    assert [item.body["params"]["seed"] for item in inside_params] == [5, 6]
    assert [item.body["seed"] for item in drawn] == [-1, -1]


def test_an_item_goes_before_the_base_and_an_axis_before_the_base() -> None:
    (of_item,) = items_of(items=[{"steps": 9}], base={"steps": 4, "params": {"cfg": 1}})
    (of_axis,) = items_of(base={"params": {"cfg": 1, "steps": 2}}, matrix={"cfg": [7]})

    assert of_item.body == {"steps": 9, "params": {"cfg": 1}}
    assert of_axis.body == {"params": {"steps": 2}, "cfg": 7}


@pytest.mark.parametrize(
    ("place", "written"),
    [
        ("/steps", "/items/1/steps"),
        ("/cfg", "/matrix/cfg/0"),
        ("/prompt", "/zip/0/prompt/0"),
        ("/width", "/base/width"),
        ("/params/sampler", "/base/params/sampler"),
        ("/params/scheduler", "/items/1/params/scheduler"),
        ("/references/0/source", "/items/1/references/0/source"),
        ("/projectId", "/items/1/project_id"),
        ("/height", "/items/1/height"),
        ("", "/items/1"),
        ("/a~1b", "/items/1/a~1b"),
    ],
)
def test_a_place_in_an_item_is_told_where_it_was_written(place: str, written: str) -> None:
    item = {"steps": 1, "params": {"scheduler": "x"}, "references": ["y"], "project_id": 5, "a/b": 1}
    base = {"width": 5, "params": {"sampler": "z"}}
    made = items_of([{}, item], base, {"cfg": [1]}, [{"prompt": ["p"]}])

    assert made[1].at(place) == written


def test_without_items_what_nobody_wrote_is_told_of_the_base() -> None:
    (item,) = items_of(base={})

    assert item.at("/prompt") == "/base/prompt"


def test_what_an_item_has_itself_is_not_varied() -> None:
    (item,) = items_of([{"cfg": 3}], matrix={"cfg": [7]})

    assert [(each.pointer, each.message) for each in item.problems] == [
        ("/items/0/cfg", "is given twice, also as /matrix/cfg/0; send one of them")
    ]


def test_axes_that_make_no_sense_are_named() -> None:
    matrix: dict[str, list[Any]] = {"cfg": [], "seed": [1], "key": [1]}
    groups: list[dict[str, list[Any]]] = [{"seed": [1, 2], "steps": [1]}, {}]

    found = {problem.pointer: problem.message for problem in misplaced(matrix, groups)}

    assert found.keys() == {"/matrix/cfg", "/matrix/key", "/zip/0/seed", "/zip/0", "/zip/1"}
    assert "seed has 2, steps has 1" in found["/zip/0"]


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.integers()), max_size=4),
    st.dictionaries(st.sampled_from("def"), st.lists(st.integers(), min_size=1, max_size=3)),
    st.integers(1, 3),
)
def test_every_item_has_what_it_was_given_and_one_value_of_each_axis(
    items: list[dict[str, Any]], matrix: dict[str, list[Any]], runs: int
) -> None:
    made = items_of(items, {"a": "base"}, matrix, runs=runs)

    for item in made:
        source = items[item.index // (len(made) // len(items))]
        assert item.body.items() >= source.items()
        for name, values in matrix.items():
            assert item.body[name] in values
        assert item.body.keys() == {"a"} | source.keys() | matrix.keys()
