"""A graph as inference reads it: which nodes take part in a run, and where the value of an input is really written.

Pure. Owns the following of links through primitive and text nodes; never knows what a value is good for. Every walk is
iterative and bounded: graphs come from strangers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.comfyui.graph import Link, as_link
from app.comfyui.parameters import Binding
from app.comfyui.workflow import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from app.comfyui.definitions import Definitions, InputDefinition, NodeDefinition
    from app.comfyui.workflow import Workflow, WorkflowNode

# A chain of primitives longer than this was not made by a person.
_MAX_HOPS: Final = 50
# Neither has a node that holds a value or joins texts more inputs than this.
_MAX_INPUTS: Final = 50
_MAX_NAMED: Final = 3
# Inputs by which primitive nodes of ComfyUI and of node packs hold or pass on their one value, the likeliest first.
_CARRIERS: Final = ("value", "text", "string", "prompt", "texts", "number", "int", "float", "any", "anything", "input")
# Text nodes that join several texts: string_a, text2, prompt_1 ...
_PART_OF_TEXT: Final = re.compile(r"(string|text|prompt|str)_?([a-z]|\d{1,2})", re.IGNORECASE)
_SAME_MEANING: Final = {"noise_seed": "seed", "seed": "noise_seed"}


class Place(NamedTuple):
    """Where a value is written (`at`), and the input it is meant for; the same unless a primitive node feeds that."""

    at: Binding
    target: Binding


class Use(NamedTuple):
    """Who takes an output: number `slot` of a node goes to this input."""

    node_id: str
    input_name: str
    slot: int


class Reading:
    """A Workflow beside the definitions of its classes, if they are known.

    `live` are the nodes that lead to an output, each after all it takes something from. `uses` are among those.
    """

    def __init__(self, workflow: Workflow, definitions: Definitions | None) -> None:
        self.nodes: Mapping[str, WorkflowNode] = workflow.nodes
        self._definitions = definitions
        live = plan(workflow, None if definitions is None else definitions.output_classes).nodes
        self.live: tuple[WorkflowNode, ...] = tuple(
            self.nodes[node_id] for node_id in _upstream_first(self.nodes, live)
        )
        self.uses: Mapping[str, list[Use]] = _uses(self.live)

    def definition(self, node: WorkflowNode) -> NodeDefinition | None:
        return None if self._definitions is None else self._definitions.get(node.class_type)

    def spec(self, place: Binding) -> InputDefinition | None:
        """What the server says of this input; None where it is not known."""
        definition = self.definition(self.nodes[place.node_id])
        return None if definition is None else definition.inputs.get(place.input_name)

    def value(self, place: Binding) -> Any:
        """What the graph holds there, links included; None for an input that is not there."""
        return self.nodes[place.node_id].inputs.get(place.input_name)

    def source(self, node: WorkflowNode, input_name: str) -> WorkflowNode | None:
        """The node that feeds this input."""
        link = as_link(node.inputs.get(input_name))
        return None if link is None else self.nodes[link.node_id]

    def origin(self, node: WorkflowNode, *names: str) -> Place | None:
        """Where the value of the first of these inputs that the node has is written; None if it is computed."""
        name = next((name for name in names if name in node.inputs), None)
        if name is None:
            return None
        target = at = Binding(node.node_id, name)
        for _ in range(_MAX_HOPS):
            link = as_link(self.value(at))
            if link is None:
                return Place(at, target)
            passed = _passed_on(self.nodes[link.node_id], name)
            if passed is None:
                break
            at = Binding(link.node_id, passed)
        return None

    def number(self, node: WorkflowNode, *names: str) -> Place | None:
        """As `origin`, for a number; what stands in the node itself counts, whatever it is."""
        return self._checked_origin(node, names, lambda value: isinstance(value, int | float))

    def word(self, node: WorkflowNode, *names: str) -> Place | None:
        """As `origin`, for a name picked from a list, such as a file or a sampler."""
        return self._checked_origin(node, names, lambda value: isinstance(value, str))

    def texts(self, node: WorkflowNode, name: str) -> tuple[Place, ...]:
        """Everything this text is put together from, in order; usually one place."""
        target = Binding(node.node_id, name)
        found: dict[Binding, None] = {}
        seen: set[Binding] = set()
        waiting = [target]
        while waiting and len(seen) < _MAX_HOPS:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            value = self.value(at)
            if (link := as_link(value)) is not None:
                names = self._text_inputs(self.nodes[link.node_id])
                waiting += [Binding(link.node_id, each) for each in reversed(names)]
            elif isinstance(value, str) or at == target:
                found[at] = None
        return tuple(Place(at, target) for at in found)

    def group(self, places: Iterable[Place]) -> list[tuple[Place, ...]]:
        """Places that hold the same value together, in the order of the first of each; none occurs twice."""
        groups: dict[tuple[bool, object], dict[Place, None]] = {}
        for place in places:
            value = self.value(place.at)
            key = value if isinstance(value, str | int | float) else repr(value)
            groups.setdefault((isinstance(value, bool), key), {})[place] = None
        return [tuple(group) for group in groups.values()]

    def why(self, *places: Place) -> str:
        """The inputs a parameter was found at, such as "steps of KSampler 3"."""
        first, *_ = places
        nodes = dict.fromkeys(label(self.nodes[place.target.node_id]) for place in places)
        return f"{first.target.input_name} of {', '.join(list(nodes)[:_MAX_NAMED])}"

    def with_input(self, *names: str) -> Iterator[WorkflowNode]:
        """The live nodes that have one of these inputs."""
        return (node for node in self.live if any(name in node.inputs for name in names))

    def own_title(self, node: WorkflowNode) -> str | None:
        """The title, if a person seems to have chosen it; not one that names parameters."""
        definition = self.definition(node)
        usual = {node.class_type, definition.title if definition is not None else node.class_type}
        return None if node.title is None or node.title in usual or "$" in node.title else node.title

    def _checked_origin(
        self, node: WorkflowNode, names: tuple[str, ...], fits: Callable[[object], bool]
    ) -> Place | None:
        place = self.origin(node, *names)
        if place is None or place.at == place.target:
            return place
        return place if fits(self.value(place.at)) and not isinstance(self.value(place.at), bool) else None

    def _text_inputs(self, node: WorkflowNode) -> list[str]:
        """The inputs of a text node that its text comes from."""
        if "Reroute" in node.class_type:
            return list(node.inputs)[:1]
        if len(node.inputs) > _MAX_INPUTS:
            return []
        parts = [name for name in node.inputs if _PART_OF_TEXT.fullmatch(name)]
        main = next((name for name in _CARRIERS if name in node.inputs), None)
        if parts or main:
            return parts if main is None else [main]
        written = [name for name, value in node.inputs.items() if isinstance(value, str)]
        is_chosen = len(written) == 1 and self._is_list(Binding(node.node_id, written[0]))
        return written if len(written) == 1 == len(node.inputs) and not is_chosen else []

    def _is_list(self, place: Binding) -> bool:
        """Whether the value is picked from a list, as files are."""
        spec = self.spec(place)
        if spec is not None:
            return spec.kind == "COMBO"
        return place.input_name in {"image", "file", "video", "audio"} or place.input_name.endswith("_name")


def _passed_on(node: WorkflowNode, wanted: str) -> str | None:
    """The input whose value a primitive node gives out unchanged. A node that takes anything else in computes."""
    if "Reroute" in node.class_type:
        return next(iter(node.inputs), None)
    if len(node.inputs) > _MAX_INPUTS:
        return None
    candidates = (wanted, _SAME_MEANING.get(wanted, wanted), *_CARRIERS)
    by_lower = {name.lower(): name for name in reversed(list(node.inputs))}
    name = next((by_lower[each] for each in candidates if each in by_lower), None)
    if name is None or any(as_link(value) is not None for key, value in node.inputs.items() if key != name):
        return None
    return name


def _uses(nodes: Iterable[WorkflowNode]) -> dict[str, list[Use]]:
    uses: dict[str, list[Use]] = {}
    for node in nodes:
        for name, value in node.inputs.items():
            if (link := as_link(value)) is not None:
                uses.setdefault(link.node_id, []).append(Use(node.node_id, name, link.slot))
    return uses


def _upstream_first(nodes: Mapping[str, WorkflowNode], live: Iterable[str]) -> Iterator[str]:
    """The live nodes, each after its sources. What a live node takes from is live as well."""
    feeds: dict[str, list[str]] = {node_id: [] for node_id in live}
    waits_for = dict.fromkeys(feeds, 0)
    for node_id in feeds:
        for source in nodes[node_id].upstream():
            feeds[source].append(node_id)
            waits_for[node_id] += 1
    ready = [node_id for node_id, count in waits_for.items() if count == 0]
    for node_id in ready:
        yield node_id
        for consumer in feeds[node_id]:
            waits_for[consumer] -= 1
            if waits_for[consumer] == 0:
                ready.append(consumer)


def label(node: WorkflowNode) -> str:
    """What a person finds the node by in the editor."""
    return f"{node.class_type} {node.node_id}"


def upstream(
    reading: Reading, start: Iterable[Link], follows: Callable[[WorkflowNode, str], bool]
) -> list[WorkflowNode]:
    """The nodes from these links upwards, nearest first, along the inputs that `follows` approves of."""
    found: dict[str, WorkflowNode] = {}
    waiting = [link.node_id for link in start]
    for node_id in waiting:
        if node_id in found:
            continue
        node = found[node_id] = reading.nodes[node_id]
        links = {name: as_link(value) for name, value in node.inputs.items()}
        waiting += [link.node_id for name, link in links.items() if link is not None and follows(node, name)]
    return list(found.values())
