"""The Workflow: a graph in ComfyUI's API format, and what can be foretold of its run without asking a server.

Pure. Owns reading a foreign graph and the Plan made from it; never changes a caller's graph and never talks to anyone.
What is wrong with a graph is found in `graph`, the numbers in a Plan come from `estimates`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from app.comfyui.estimates import pictures_of, steps_of
from app.comfyui.graph import Json, as_link, graph_problems
from app.comfyui.problems import InvalidInputError, Problem, first_problems

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

__all__ = [
    "Plan",
    "PlannedNode",
    "Problem",
    "Workflow",
    "WorkflowError",
    "WorkflowNode",
    "expected_output_nodes",
    "may_make_pictures",
    "parse",
    "plan",
]

# Output nodes outside the Save.../Preview... family that are common enough to know by name.
_OTHER_OUTPUT_CLASSES: Final = frozenset({"VHS_VideoCombine"})

_OTHER_THAN_PICTURES: Final = frozenset(
    {
        *("SaveVideo", "SaveWEBM", "SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "PreviewAudio"),
        *("SaveGLB", "Preview3D", "Preview3DAnimation", "SaveLatent", "PreviewAny"),
        *("ModelSave", "CheckpointSave", "CLIPSave", "VAESave", "LoraSave", "SaveLoRA"),
    }
)
"""ComfyUI's own output nodes that certainly give something else."""


class WorkflowError(InvalidInputError):
    """The graph cannot be sent to ComfyUI; pointers are relative to the graph itself."""


@dataclass(frozen=True, slots=True)
class WorkflowNode:
    """One node. `inputs` hold plain values and links (`graph.as_link`); `title` is the name a person gave it."""

    node_id: str
    class_type: str
    inputs: Mapping[str, Any]
    title: str | None = None

    def upstream(self) -> tuple[str, ...]:
        """Ids of the nodes whose outputs this one takes, in the order of its inputs, with repetitions."""
        return tuple(link.node_id for link in map(as_link, self.inputs.values()) if link is not None)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A graph that passed `parse`: every link leads to a node, and no node waits for itself.

    Do not write into what hangs below `nodes`; `to_api` gives a copy of one's own.
    """

    nodes: Mapping[str, WorkflowNode]
    _api: Mapping[str, Json]

    def to_api(self) -> dict[str, Json]:
        """The graph exactly as it was parsed, `_meta` and unknown keys included."""
        return {node_id: _copied(node) for node_id, node in self._api.items()}

    def with_inputs(self, values: Mapping[tuple[str, str], str | float | bool]) -> Workflow:
        """A workflow of its own with these literal inputs, named by node id and input name, replaced or added."""
        api = self.to_api()
        for (node_id, input_name), value in values.items():
            api[node_id]["inputs"][input_name] = value
        return _built(api)


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """A node expected to run. `name` is what a person sees; `steps` are sampler steps, 0 where nothing is sampled."""

    name: str
    class_type: str
    steps: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What progress is measured against: the nodes that lead to an output, by id, and the pictures they should give.

    An estimate for display. ComfyUI announces neither; custom nodes may do more or less than their inputs suggest.
    """

    nodes: Mapping[str, PlannedNode]
    images: int

    @property
    def total_steps(self) -> int:
        """Sampler steps of the whole run."""
        return sum(node.steps for node in self.nodes.values())


def parse(raw: object) -> Workflow:
    """The graph in `raw`, a decoded JSON value. It is copied: later changes to `raw` do not reach the Workflow.

    Raises WorkflowError with everything found wrong, in a caller's words and with the remedy.
    """
    problems = first_problems(graph_problems(raw))
    if problems or not isinstance(raw, dict):
        raise WorkflowError(problems)
    return _built({node_id: _copied(node) for node_id, node in raw.items()})


def expected_output_nodes(workflow: Workflow, output_classes: Container[str] | None = None) -> tuple[str, ...]:
    """Ids of the nodes a run is for, in the order of the graph.

    `output_classes` are the classes with `output_node` in `/object_info`. Without them: the nodes nobody takes anything
    from, of those only the ones that by their class save or show something, if there are such.
    """
    if output_classes is not None:
        return tuple(node_id for node_id, node in workflow.nodes.items() if node.class_type in output_classes)
    used = {source for node in workflow.nodes.values() for source in node.upstream()}
    sinks = tuple(node_id for node_id in workflow.nodes if node_id not in used)
    known = tuple(node_id for node_id in sinks if _is_known_output(workflow.nodes[node_id].class_type))
    return known or sinks


def may_make_pictures(workflow: Workflow) -> bool:
    """False where every node that a run is for is known to give something else than pictures."""
    outputs = expected_output_nodes(workflow)
    return any(workflow.nodes[node_id].class_type not in _OTHER_THAN_PICTURES for node_id in outputs)


def plan(workflow: Workflow, output_classes: Container[str] | None = None) -> Plan:
    """What a run of `workflow` should consist of, the nodes in the order of the graph.

    Where none of `output_classes` occurs (a node pack this list does not know), the graph's shape decides instead.
    """
    outputs = expected_output_nodes(workflow, output_classes) or expected_output_nodes(workflow)
    reached = _reachable(workflow, outputs)
    nodes = {node_id: _planned(workflow, node) for node_id, node in workflow.nodes.items() if node_id in reached}
    images = sum(pictures_of(workflow.nodes, workflow.nodes[node_id]) for node_id in outputs)
    return Plan(MappingProxyType(nodes), max(1, images))


def _planned(workflow: Workflow, node: WorkflowNode) -> PlannedNode:
    return PlannedNode(node.title or node.class_type, node.class_type, steps_of(workflow.nodes, node))


def _reachable(workflow: Workflow, outputs: Iterable[str]) -> set[str]:
    reached: set[str] = set()
    waiting = list(outputs)
    while waiting:
        node_id = waiting.pop()
        if node_id not in reached:
            reached.add(node_id)
            waiting += workflow.nodes[node_id].upstream()
    return reached


def _is_known_output(class_type: str) -> bool:
    return "Save" in class_type or "Preview" in class_type or class_type in _OTHER_OUTPUT_CLASSES


def _built(api: dict[str, Json]) -> Workflow:
    """A Workflow around a graph that is known to be sound and belongs to nobody else."""
    nodes = {
        node_id: WorkflowNode(node_id, node["class_type"], MappingProxyType(node["inputs"]), _title(node))
        for node_id, node in api.items()
    }
    return Workflow(MappingProxyType(nodes), MappingProxyType(api))


def _title(node: dict[str, Json]) -> str | None:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title.strip() or None if isinstance(title, str) else None


def _copied(value: Json) -> Json:
    """A deep copy; the depth is bounded by `graph.MAX_NESTING`. Several times faster than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_copied(part) for part in value]
    return value
