"""Checks under graphs and definitions of all kinds, and beside the simulator's own verdict."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import assume, given, settings, target
from hypothesis import strategies as st

from app.comfyui.checks import MAX_FINDINGS, check
from app.comfyui.definitions import Definitions
from app.comfyui.simulator.folders import Folders
from app.comfyui.simulator.nodes import standard_nodes
from app.comfyui.simulator.nodes.models import model_names
from app.comfyui.simulator.validation import validate
from app.comfyui.templates import load_builtin
from app.comfyui.workflow import Workflow, WorkflowError, parse
from tests.comfyui.definitions import recorded_classes

NODES = standard_nodes(model_names({}))
SIMULATED = Definitions({name: dict(node.definition) for name, node in NODES.items()})
NOWHERE = Folders(Path("never-opened"))
TXT2IMG = load_builtin()["txt2img"].workflow.to_api()
# What an upload makes valid cannot be known from definitions.
CLASSES = [name for name, node in SIMULATED.items() if not any(spec.uploads for spec in node.inputs.values())]

numbers = st.integers() | st.sampled_from([0, -1, 2**64, 10**400]) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.sampled_from(["euler", "Euler", "normal", "x", "", "12", " 7 ", "1.5", "1e3", "nan", "inf", "-1", "1_0"])
models = st.sampled_from([name for names in model_names({}).values() for name in names])
scalars = st.none() | st.booleans() | numbers | texts | models
links = st.tuples(st.sampled_from(sorted(TXT2IMG)), st.integers(0, 3)).map(list)
# "__value__" is left out: the simulator does not unwrap it.
values = scalars | links | st.lists(scalars, max_size=3) | st.dictionaries(st.sampled_from("ab"), scalars, max_size=2)
places = st.sampled_from([(node, name) for node in TXT2IMG for name in TXT2IMG[node]["inputs"]])


@st.composite
def mutations(draw: st.DrawFn) -> dict[str, Any]:
    """The built-in graph with a few things changed, most of them for the worse."""
    graph: dict[str, Any] = copy.deepcopy(TXT2IMG)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["value", "value", "value", "missing", "class", "node", "extra"]))
        node_id, name = draw(places)
        match kind:
            case "value":
                graph[node_id]["inputs"][name] = draw(values)
            case "missing":
                graph[node_id]["inputs"].pop(name, None)
            case "class":
                graph[node_id]["class_type"] = draw(st.sampled_from([*CLASSES, "Nowhere"]))
            case "extra":
                graph[node_id]["inputs"][draw(st.sampled_from(["lora_name", "other", "a.b"]))] = draw(values)
            case _:
                inputs = draw(st.dictionaries(st.sampled_from(["images", "samples", "source"]), values, max_size=2))
                new = {"class_type": draw(st.sampled_from(CLASSES)), "inputs": inputs | {"filename_prefix": "x"}}
                graph[draw(st.sampled_from(["20", "21"]))] = new
    return graph


def is_accepted_by_the_simulator(graph: dict[str, Any]) -> bool:
    try:
        return validate(copy.deepcopy(graph), NODES, NOWHERE, None).error is None
    except (TypeError, AttributeError, KeyError, OverflowError):
        return False


def parsed(graph: object) -> Workflow:
    try:
        return parse(graph)
    except WorkflowError:
        assume(False)
        raise


@settings(max_examples=600, deadline=None)
@given(mutations())
def test_a_graph_passes_if_and_only_if_the_simulator_would_queue_it(graph: dict[str, Any]) -> None:
    findings = check(parsed(graph), SIMULATED)

    target(float(len(findings)))
    assert (findings == ()) == is_accepted_by_the_simulator(graph), findings


def test_the_comparison_sees_both_verdicts() -> None:
    changed = copy.deepcopy(TXT2IMG)
    changed["3"]["inputs"]["steps"] = 0

    assert is_accepted_by_the_simulator(TXT2IMG)
    assert check(parse(TXT2IMG), SIMULATED) == ()
    assert not is_accepted_by_the_simulator(changed)
    assert check(parse(changed), SIMULATED) != ()


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([10**4000, float("inf"), 1.5]) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
words = st.sampled_from(["INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "*", "IMAGE", "COMFY_AUTOGROW_V3", "A,B", ""])
options = st.dictionaries(
    st.sampled_from(["min", "max", "options", "default", "image_upload", "multiselect", "remote"]), junk, max_size=4
)
specs = st.tuples(words | st.lists(junk, max_size=3), options).map(list) | st.tuples(words).map(list) | junk
names = st.sampled_from(["a", "b", "c_name", "d.e"])
sections = st.dictionaries(names, specs, min_size=2, max_size=4)
inputs = st.fixed_dictionaries({"required": sections}, optional={"optional": sections | junk})
nodes = st.fixed_dictionaries(
    {"output_node": st.just(True) | junk, "input": inputs | inputs | junk},
    optional={"input_order": junk, "output": st.lists(words | junk, max_size=3) | junk, "display_name": junk},
)
classes = st.fixed_dictionaries({"A": nodes, "B": nodes}, optional={"C": nodes | junk})


def a_graph_node(upstream: str) -> st.SearchStrategy[dict[str, Any]]:
    some_links = st.tuples(st.sampled_from(upstream), st.integers(0, 3)).map(list) if upstream else st.nothing()
    given_inputs = st.dictionaries(names, junk | some_links | st.just({"__value__": [1]}), min_size=1, max_size=4)
    return st.fixed_dictionaries({"class_type": st.sampled_from("AAABBBCD"), "inputs": given_inputs})


graphs = st.fixed_dictionaries({"1": a_graph_node(""), "2": a_graph_node("1"), "3": a_graph_node("12")})


@settings(max_examples=150, deadline=None)
@given(graphs, classes)
def test_any_graph_against_any_junk_gets_an_answer_that_can_be_sent(graph: Any, raw: dict[str, Any]) -> None:
    workflow = parsed(graph)

    findings = check(workflow, Definitions(raw))

    assert len(findings) <= MAX_FINDINGS
    for finding in findings:
        sent = json.dumps([finding.pointer, finding.code, finding.message, finding.given, finding.possible])
        assert len(sent) < 5000
    assert workflow.to_api() == graph


@settings(max_examples=200, deadline=None)
@given(mutations(), st.sampled_from(["0.3.64", "0.8.0"]))
def test_every_finding_points_into_the_graph(graph: dict[str, Any], version: str) -> None:
    workflow = parsed(graph)

    for finding in check(workflow, Definitions(recorded_classes(version))):
        if finding.node_id is not None:
            assert finding.class_type == workflow.nodes[finding.node_id].class_type
            assert finding.pointer.startswith(f"/{finding.node_id}/")
