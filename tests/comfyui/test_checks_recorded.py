"""Graphs that were sent to a real ComfyUI: what it refused is refused, what it accepted passes."""

from __future__ import annotations

from typing import Any

import pytest

from app.comfyui.checks import Code, check
from app.comfyui.definitions import Definitions
from app.comfyui.workflow import WorkflowError, parse
from tests.comfyui import recordings
from tests.comfyui.definitions import recorded_classes
from tests.comfyui.graphs import recorded_graphs
from tests.comfyui.simulator.probe_nodes import PROBE_NODES


def the_server() -> Definitions:
    """The one of the recordings: its own classes, and the probes it had been given."""
    return Definitions({name: dict(node.definition) for name, node in PROBE_NODES.items()} | recorded_classes("0.3.64"))


def recorded_requests() -> dict[str, dict[str, Any]]:
    """The bodies of recording 04 that hold a graph, by the note that stands before them."""
    bodies: dict[str, dict[str, Any]] = {}
    note = ""
    for line in recordings.lines("04_validation_errors"):
        note = line["text"] if line["dir"] == "note" else note
        is_submit = line["dir"] == "http" and line["path"] == "/prompt"
        if is_submit and isinstance(line["request"], dict) and isinstance(line["request"].get("prompt"), dict):
            bodies[note] = line["request"] | {"status": line["status"]}
    return bodies


REFUSED: dict[str, dict[str, Code] | None] = {
    "class_type missing": None,
    "inputs missing": None,
    "UI-format workflow instead of API format": None,
    "link to a node that is not there": None,
    "cycle": None,
    "unknown class": {"/1/class_type": Code.UNKNOWN_NODE},
    "unknown class in a node nothing depends on": {"/9/class_type": Code.UNKNOWN_NODE},
    "no output node": {"": Code.NO_OUTPUTS},
    "required input missing": {"/1/inputs/seed": Code.MISSING_INPUT},
    "value below min / above max, two nodes": {
        "/1/inputs/steps": Code.OUT_OF_RANGE,
        "/3/inputs/width": Code.OUT_OF_RANGE,
    },
    "value of a wrong type": {"/1/inputs/seed": Code.NOT_A_NUMBER},
    "choice not in a short list": {"/1/inputs/previews": Code.NOT_IN_LIST},
    "link of length 3": {"/2/inputs/images": Code.NOT_A_LINK},
    "link to an output slot that is not there": {"/2/inputs/images": Code.NO_SUCH_OUTPUT},
    "linked types do not match": {"/2/inputs/images": Code.WRONG_TYPE},
}
"""Requests of recording 04 that were refused for their graph; None where it is no workflow to begin with."""

NOT_THE_GRAPH = {
    "value not in the list",  # of uploads, which grows: never held against a graph
    "partial_execution_targets with no match",
    "number is no number",
    "extra_data is no object",
}


def test_every_refusal_in_the_recording_is_accounted_for() -> None:
    refused = {note for note, body in recorded_requests().items() if body["status"] != 200}

    assert refused == set(REFUSED) | NOT_THE_GRAPH


@pytest.mark.parametrize("note", REFUSED)
def test_what_a_real_server_refused_is_refused_with_the_place_and_the_reason(note: str) -> None:
    graph, expected = recorded_requests()[note]["prompt"], REFUSED[note]

    if expected is None:
        with pytest.raises(WorkflowError):
            parse(graph)
    else:
        assert {each.pointer: each.code for each in check(parse(graph), the_server())} == expected


def test_every_graph_a_real_server_accepted_passes() -> None:
    server = the_server()
    graphs = [graph for graph, _ in recorded_graphs()]

    complaints = [check(parse(graph), server) for graph in graphs]

    assert len(graphs) > 140
    assert [complaint for complaint in complaints if complaint] == []
