"""Reading foreign graphs, and foretelling their runs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.comfyui.problems import MAX_PROBLEMS
from app.comfyui.workflow import Workflow, WorkflowError, parse, plan
from tests.comfyui import recordings
from tests.comfyui.graphs import a_node, recorded_graphs, txt2img

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def recorded_refusal(mark: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    lines = (line for line in recordings.lines("04_validation_errors") if line["dir"] == "http")
    bodies = (line["request"] for line in lines if line["path"] == "/prompt" and line["status"] != 200)
    graphs: Iterator[dict[str, Any]] = (body["prompt"] for body in bodies if isinstance(body.get("prompt"), dict))
    return next(graph for graph in graphs if mark(graph))


def problems_of(raw: object) -> dict[str, str]:
    with pytest.raises(WorkflowError) as raised:
        parse(raw)
    return {problem.pointer: problem.message for problem in raised.value.problems}


def test_a_parsed_workflow_gives_back_exactly_what_was_sent() -> None:
    raw = {"57:12": a_node("SaveImage", "Done", images=["1", 0], sizes=[512, 768], names=["a", "b"])}
    raw["57:12"]["is_changed"] = [1.5, None, {"deep": [True]}]
    raw["1"] = a_node("LoadImage", image="ä.png")

    workflow = parse(raw)

    assert workflow.to_api() == raw
    assert list(workflow.to_api()) == ["57:12", "1"]
    assert workflow.nodes["57:12"].title == "Done"
    assert workflow.nodes["1"].title is None


def test_neither_the_callers_graph_nor_a_handed_out_copy_leads_into_the_workflow() -> None:
    raw = txt2img()
    workflow = parse(raw)

    raw["3"]["inputs"]["steps"] = 1
    workflow.to_api()["3"]["inputs"]["model"][0] = "nowhere"

    assert workflow.to_api() == txt2img()
    assert workflow.nodes["3"].inputs["steps"] == 20


def test_replacing_inputs_makes_another_workflow() -> None:
    workflow = parse(txt2img())

    changed = workflow.with_inputs({("3", "steps"): 5})

    assert changed.nodes["3"].inputs["steps"] == changed.to_api()["3"]["inputs"]["steps"] == 5
    assert workflow == parse(txt2img())


@pytest.mark.parametrize("raw", [None, 5, "text", [], [{}], True, math.nan])
def test_what_is_no_object_is_refused_with_the_way_to_export_one(raw: object) -> None:
    assert "Export (API)" in problems_of(raw)[""]


def test_an_empty_workflow_is_refused() -> None:
    assert "no nodes" in problems_of({})[""]


@pytest.mark.parametrize(("raw", "at"), [({"nodes": [], "links": []}, ""), ({"workflow": {"nodes": []}}, "/workflow")])
def test_the_format_of_the_editor_is_recognised_and_the_export_named(raw: object, at: str) -> None:
    assert "Workflow > Export (API)" in problems_of(raw)[at]


def test_the_recorded_editor_file_that_makes_comfyui_answer_500_is_refused() -> None:
    raw = recorded_refusal(lambda graph: "nodes" in graph)

    assert list(problems_of(raw)) == [""]


@pytest.mark.parametrize("wrapper", ["prompt", "workflow", "output"])
def test_a_wrapped_graph_is_refused_asking_for_the_inner_object(wrapper: str) -> None:
    assert "send the inner object" in problems_of({wrapper: txt2img(), "client_id": "me"})[f"/{wrapper}"]


def test_a_node_that_happens_to_be_called_output_is_no_wrapper() -> None:
    workflow = parse({"output": a_node("SaveImage", images=["prompt", 0]), "prompt": a_node("EmptyImage")})

    assert set(workflow.nodes) == {"output", "prompt"}


@pytest.mark.parametrize(
    ("node", "at", "says"),
    [
        ("text", "/1", "not a string"),
        ({"inputs": {}}, "/1", "no class_type"),
        ({"class_type": 3, "inputs": {}}, "/1/class_type", "not 3"),
        ({"class_type": "", "inputs": {}}, "/1/class_type", "name of a node class"),
        ({"class_type": "A"}, "/1", 'add "inputs": {}'),
        ({"class_type": "A", "inputs": []}, "/1/inputs", "not a list"),
        (a_node("A", image=["77", 0]), "/1/inputs/image/0", "'77', which is not in the workflow"),
        (a_node("A", image=["2", -1]), "/1/inputs/image/1", "0 or more, not -1"),
        (a_node("A", image=["2", 0.5]), "/1/inputs/image/1", "not 0.5"),
        (a_node("A", image=["2", True]), "/1/inputs/image/1", "not true"),
        (a_node("A", image=["2", None]), "/1/inputs/image/1", "not null"),
        ({"class_type": "A", "inputs": {"a/b~c": math.nan}}, "/1/inputs/a~1b~0c", "nan is no JSON number"),
        (a_node("A", deep={"x": [1, -math.inf]}), "/1/inputs/deep/x/1", "finite"),
        (a_node("A", image=b"bytes"), "/1/inputs/image", "a bytes is no JSON value"),
        (a_node("A", image={1: 2}), "/1/inputs/image", "is no text"),
        (a_node("A", text="\ud800"), "/1/inputs/text", "surrogate"),
        (a_node("A", text="a\0b"), "/1/inputs/text", "NUL"),
        ({"class_type": "A", "inputs": {}, "_meta": {"title": math.inf}}, "/1/_meta/title", "no JSON number"),
    ],
)
def test_each_fault_of_a_node_is_named_where_it_is(node: object, at: str, says: str) -> None:
    raw = {"1": node, "2": a_node("EmptyImage")}

    assert says in problems_of(raw)[at]


@pytest.mark.parametrize("node_id", ["", 3, "a\ud800", "a\0"])
def test_a_node_id_that_is_no_plain_text_is_refused(node_id: object) -> None:
    found = problems_of({node_id: a_node("A")})

    assert "node id" in "".join(found.values())
    assert json.dumps(found, ensure_ascii=False).encode()


@pytest.mark.parametrize("value", [[], ["a"], ["a", "b"], ["2", "b"], [512, 768], ["2", 0, 0], ["2", [0]], {"2": 0}])
def test_lists_that_are_no_links_stay_plain_values(value: object) -> None:
    workflow = parse({"1": a_node("A", value=value), "2": a_node("B")})

    assert workflow.nodes["1"].inputs["value"] == value
    assert workflow.nodes["1"].upstream() == ()


def test_every_cycle_is_named_with_its_nodes() -> None:
    raw = {
        "1": a_node("A", image=["2", 0]),
        "2": a_node("A", image=["1", 0]),
        "7": a_node("A", image=["7", 1]),
        "9": a_node("SaveImage", images=["2", 0]),
    }

    assert problems_of(raw) == {
        "/1": "nodes '1' → '2' → '1' wait for each other in a circle; cut one of the links",
        "/7": "nodes '7' → '7' wait for each other in a circle; cut one of the links",
    }


def test_the_recorded_cycle_is_refused_with_the_nodes_comfyui_does_not_name() -> None:
    raw = recorded_refusal(lambda graph: graph.get("1", {}).get("inputs", {}).get("image") == ["2", 0])

    assert "'1' → '2' → '1'" in problems_of(raw)["/1"]


def test_all_problems_come_at_once_up_to_a_bound() -> None:
    few = {"1": a_node("A", image=["77", 0]), "2": {"inputs": {}}, "3": "x"}
    many = {str(index): "x" for index in range(100)}

    assert set(problems_of(few)) == {"/1/inputs/image/0", "/2", "/3"}
    assert len(problems_of(many)) == MAX_PROBLEMS


def test_a_chain_of_thousands_of_nodes_is_read_and_planned() -> None:
    raw = {"0": a_node("EmptyImage", batch_size=2)}
    raw |= {str(index): a_node("ImageInvert", image=[str(index - 1), 0]) for index in range(1, 5000)}
    raw["save"] = a_node("SaveImage", images=["4999", 0])

    assert len(plan(parse(raw)).nodes) == 5001


def test_a_circle_of_thousands_of_nodes_is_refused_in_a_short_message() -> None:
    raw = {str(index): a_node("A", image=[str((index + 1) % 5000), 0]) for index in range(5000)}

    assert len("".join(problems_of(raw).values())) < 200


def test_more_nodes_than_any_graph_has_are_refused() -> None:
    assert "10001 nodes" in problems_of({str(index): a_node("A") for index in range(10_001)})[""]


@pytest.mark.parametrize("depth", [101, 100_000])
def test_values_nested_beyond_reason_are_refused_and_do_not_exhaust_the_stack(depth: int) -> None:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]

    assert "levels deep" in "".join(problems_of({"1": a_node("A", value=value)}).values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("12ab") | st.text(max_size=3), inner),
    max_leaves=15,
)
almost_links = st.tuples(st.sampled_from("1234"), json_values).map(list)
almost_nodes = st.fixed_dictionaries(
    {},
    optional={"class_type": st.text() | json_values, "inputs": st.dictionaries(st.text(), almost_links | json_values)},
)
almost_graphs = st.dictionaries(st.sampled_from("1234") | st.text(), almost_nodes | json_values)


def outcome_of(raw: object) -> Workflow | WorkflowError:
    try:
        return parse(raw)
    except WorkflowError as refusal:
        return refusal


@settings(deadline=None)
@given(raw=json_values | almost_graphs)
def test_any_json_is_either_read_planned_and_given_back_or_refused_with_problems(raw: object) -> None:
    outcome = outcome_of(raw)

    if isinstance(outcome, Workflow):
        assert outcome.to_api() == raw
        assert json.dumps(raw, allow_nan=False, ensure_ascii=False).encode()
        assert plan(outcome).nodes
    else:
        assert outcome.problems
        assert json.dumps([each.pointer + each.message for each in outcome.problems], ensure_ascii=False).encode()


def test_every_graph_a_real_comfyui_accepted_is_read_and_planned() -> None:
    graphs = [graph for graph, _ in recorded_graphs()]

    plans = [plan(parse(graph)) for graph in graphs]

    assert len(plans) > 100
    assert all(made.nodes and made.images >= 1 for made in plans)
