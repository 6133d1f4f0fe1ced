"""Inference from graphs and definitions that nobody foresaw: always a template, and soon."""

from __future__ import annotations

import time
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.comfyui.definitions import Definitions
from app.comfyui.inference import infer
from app.comfyui.templates import render
from app.comfyui.workflow import WorkflowError, parse
from tests.comfyui.graphs import a_node, recorded_graphs
from tests.comfyui.inferring import GRAPHS, KNOWN, template_of


@cache
def accepted_graphs() -> list[dict[str, Any]]:
    return [graph for graph, _ in recorded_graphs()]


@pytest.mark.parametrize("definitions", [KNOWN, None], ids=["known classes", "unknown classes"])
def test_every_graph_that_comfyui_accepted_makes_a_template(definitions: Definitions | None) -> None:
    graphs = accepted_graphs()

    templates = [template_of(graph, definitions) for graph in graphs]

    assert len(templates) > 50
    assert any(template.parameters for template in templates)


CLASSES: Final = sorted({node["class_type"] for graph in GRAPHS.values() for node in graph.values()})
INPUTS: Final = sorted({name for graph in GRAPHS.values() for node in graph.values() for name in node["inputs"]})
TITLES: Final = st.sampled_from(["", "$prompt", "$a $b.width", "$seed", "$x.text $x.seed", "$strength2:cfg", "Prompt"])
VALUES: Final[st.SearchStrategy[Any]] = st.one_of(
    st.sampled_from([0, 1, 1.0, -1, True, "", "5", "1e400", "a fox", None, [], {}, 2**64, 10**400, 1e308, ["a", "b"]]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)


@st.composite
def wild_graphs(draw: st.DrawFn) -> dict[str, Any]:
    """Nodes of known and unknown classes with any inputs, each linked to nodes before it."""
    graph: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 7))):
        links = st.tuples(st.sampled_from(sorted(graph) or ["0"]), st.integers(0, 3)).map(list)
        inputs = st.dictionaries(st.sampled_from(INPUTS) | st.text(max_size=3), (links | VALUES) if graph else VALUES)
        class_type = draw(st.sampled_from(CLASSES) | st.sampled_from(["Reroute", "Switch", "LoadImageX"]))
        graph[str(number)] = a_node(class_type, draw(TITLES), **draw(inputs))
    return graph


@given(wild_graphs(), st.booleans())
def test_any_graph_that_can_be_parsed_makes_a_template(graph: dict[str, Any], is_known: bool) -> None:
    try:
        parse(graph)
    except WorkflowError:
        return

    template = template_of(graph, KNOWN if is_known else None)

    if not any(parameter.required for parameter in template.parameters.values()):
        assert render(template, {}, seed=0).workflow.nodes.keys() == graph.keys()


@given(st.text(max_size=12), VALUES, st.text(max_size=8))
def test_odd_definitions_never_keep_a_graph_from_being_a_template(kind: str, value: Any, title: str) -> None:
    options = {"min": value, "max": value, "step": value, "default": value, "image_upload": True, "multiline": value}
    odd = {name: [kind or value, options] for name in ("seed", "text", "steps", "image", "width", "height", "positive")}
    classes = {"KSampler": {"input": {"required": odd}, "output": value}, "Odd": {"input": value, "output": ["X"]}}
    graph = {
        "1": a_node("Odd", title.replace("\0", ""), text="x", image="a.png"),
        "2": a_node(
            "KSampler", "$seed", seed=5, text=["1", 0], steps=7, image="b", width=8, height=8, positive=["1", 0]
        ),
    }

    assert "seed" in template_of(graph, Definitions(classes)).parameters


@pytest.mark.parametrize(
    ("class_type", "link_name", "values"),
    [
        ("KSampler", "latent_image", {"seed": 1, "steps": 20, "cfg": 7.0, "denoise": 0.5, "sampler_name": "euler"}),
        ("LoraLoader", "model", {"lora_name": "x", "strength_model": 1, "strength_clip": 0.5}),
        ("StringConcatenate", "string_a", {"string_b": "x", "delimiter": ""}),
        ("ConditioningCombine", "conditioning_1", {"text": "x", "guidance": 3}),
        ("Reroute", "", {}),
    ],
)
def test_a_graph_of_thousands_of_nodes_is_read_in_a_moment(
    class_type: str, link_name: str, values: dict[str, Any]
) -> None:
    graph = {"0": a_node(class_type, **values)}
    for number in range(1, 5_000):
        each = {name: f"{value}{number}" if isinstance(value, str) else value for name, value in values.items()}
        graph[str(number)] = a_node(class_type, "$a $b.c", **each, **{link_name: [str(number - 1), 0]})
    graph["end"] = a_node("SamplerX", seed=1, steps=1, positive=["4999", 0], model=["4999", 0])
    workflow = parse(graph)

    began = time.process_time()
    found = infer(workflow, KNOWN).parameters

    assert time.process_time() - began < 5
    assert 0 < len(found) <= 100
