"""Would this very server accept the graph? Asked of its node definitions, before anything is queued.

Pure. Owns which nodes count, and what links must be; values are judged in `check_values`. Never changes a graph.
As lenient as ComfyUI: inputs a class does not define, kinds nobody here understands and nodes no output needs are not
looked at, and a graph with one sound output passes, because ComfyUI runs that one and drops the others.

Not foreseen: what a class's own validation (VALIDATE_INPUTS) adds or waives, see `Code.is_certain`; inputs with a dot
in their name and what hangs on them; chains of many hundreds of nodes, which some servers refuse (recording 17).
Definitions age: a file may have come to the server since they were read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from app.comfyui.check_values import Fault, InputRule, fault_of, is_dynamic, rules_of
from app.comfyui.findings import Code, Finding, given_as, merged
from app.comfyui.graph import as_link
from app.comfyui.near_names import NearNames
from app.comfyui.problems import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.comfyui.definitions import Definitions
    from app.comfyui.graph import Link
    from app.comfyui.workflow import Workflow, WorkflowNode

__all__ = ["MAX_FINDINGS", "Code", "Finding", "check", "merged"]

MAX_FINDINGS: Final = 50
"""A person repairs a handful at a time; a graph of the wrong server has one per node."""

# One search through the files of the best-stocked server, or one each for fifty short lists.
_MOST_NAMES_COMPARED: Final = 10_000
_MISSING: Final = object()
_TYPES_OF_EVERYTHING: Final = "*"


def check(workflow: Workflow, definitions: Definitions) -> tuple[Finding, ...]:
    """Why a server with these definitions would refuse the graph; nothing if it would accept it.

    Unknown node classes come first, then faults in the order of the graph; at most `MAX_FINDINGS`. Takes time in
    proportion to the graph.
    """
    return _Check(workflow, definitions).findings()


@dataclass(slots=True)
class _Check:
    """One run. `feeds` has the nodes that take something from a node, of those that an output needs."""

    workflow: Workflow
    definitions: Definitions
    near: NearNames = field(default_factory=lambda: NearNames(_MOST_NAMES_COMPARED))
    feeds: dict[str, list[str]] = field(default_factory=dict)

    def findings(self) -> tuple[Finding, ...]:
        unknown = tuple(islice(self._unknown_nodes(), MAX_FINDINGS))
        outputs = self._outputs()
        if not outputs:
            return unknown or (_no_outputs(),)
        self._walk(outputs)
        faulty: set[str] = set()
        found: list[Finding] = []
        for node_id, node in self.workflow.nodes.items():
            if node_id in self.feeds:
                # Beyond the limit one finding tells that the node is faulty, and none is kept.
                room = MAX_FINDINGS - len(unknown) - len(found)
                of_node = list(islice(self._faults(node), max(room, 1)))
                if of_node:
                    faulty.add(node_id)
                    found += of_node[: max(room, 0)]
        if not faulty or self._spoiled(faulty).issuperset(outputs):
            return (*unknown, *found)
        return unknown

    def _unknown_nodes(self) -> Iterator[Finding]:
        names: list[str] = []
        for node in self.workflow.nodes.values():
            if node.class_type not in self.definitions:
                names = names or list(self.definitions)
                nearest = self.near.nearest(node.class_type, names, "")
                yield _unknown_node(node, nearest)

    def _outputs(self) -> list[str]:
        classes = self.definitions.output_classes
        return [node_id for node_id, node in self.workflow.nodes.items() if node.class_type in classes]

    def _walk(self, outputs: list[str]) -> None:
        """Fill `feeds` as ComfyUI goes from the outputs upstream: only over links of inputs that the class defines."""
        self.feeds = {node_id: [] for node_id in outputs}
        waiting = list(outputs)
        while waiting:
            node_id = waiting.pop()
            for link in self._links(self.workflow.nodes[node_id]):
                if link.node_id not in self.feeds:
                    self.feeds[link.node_id] = []
                    waiting.append(link.node_id)
                self.feeds[link.node_id].append(node_id)

    def _links(self, node: WorkflowNode) -> Iterator[Link]:
        for rule in self._rules(node.class_type):
            link = as_link(node.inputs.get(rule.spec.name)) if rule.is_followed else None
            if link is not None and link.node_id in self.workflow.nodes:
                yield link

    def _rules(self, class_type: str) -> tuple[InputRule, ...]:
        known = self.definitions.rules.get(class_type)
        if known is None:
            node = self.definitions.get(class_type)
            if node is None:
                return ()
            known = self.definitions.rules[class_type] = rules_of(node)
        return known

    def _spoiled(self, faulty: set[str]) -> set[str]:
        """The faulty nodes, and all that depend on them."""
        spoiled: set[str] = set()
        waiting = list(faulty)
        while waiting:
            node_id = waiting.pop()
            if node_id not in spoiled:
                spoiled.add(node_id)
                waiting += self.feeds[node_id]
        return spoiled

    def _faults(self, node: WorkflowNode) -> Iterator[Finding]:
        for rule in self._rules(node.class_type):
            if not rule.is_understood:
                continue
            name = rule.spec.name
            value = node.inputs.get(name, _MISSING)
            fault = self._fault(rule, value)
            if fault is not None:
                code, message, possible = fault
                yield Finding(node.node_id, node.class_type, name, code, message, given_as(value), possible)

    def _fault(self, rule: InputRule, value: object) -> Fault | None:
        if value is _MISSING:
            return _missing_input(rule) if rule.spec.is_required else None
        if isinstance(value, list):
            return self._link_fault(rule, value)
        return fault_of(rule, value, self.near)

    def _link_fault(self, rule: InputRule, value: list[Any]) -> Fault | None:
        link = as_link(value)
        source = self.workflow.nodes.get(link.node_id) if link is not None else None
        if link is None or source is None:
            return _not_a_link()
        node = self.definitions.get(source.class_type)
        # A class that gives nothing and saves nothing makes no sense: its outputs could not be read.
        if node is None or not (node.output_kinds or node.is_output):
            return None
        count = len(node.output_kinds)
        if not -count <= link.slot < count:
            return _no_such_output(source, link.slot, count)
        received = node.output_kinds[link.slot]
        return None if _fits(received, rule.spec.kind) else _wrong_type(rule, node.output_kinds, link.slot)


def _fits(received: str, wanted: str) -> bool:
    """Whether a link of one type may feed an input of another; both may name several types, of which one must agree."""
    if received == wanted or is_dynamic(received) or is_dynamic(wanted):
        return True
    offered, taken = _types(received), _types(wanted)
    return not offered.isdisjoint(taken) or _TYPES_OF_EVERYTHING in offered or _TYPES_OF_EVERYTHING in taken


def _types(kind: str) -> set[str]:
    return {each.strip() for each in kind.split(",")}


def _no_outputs() -> Finding:
    message = "no node saves or shows anything; add an output node such as SaveImage or PreviewImage"
    return Finding(None, "", None, Code.NO_OUTPUTS, message)


def _unknown_node(node: WorkflowNode, nearest: tuple[str, ...]) -> Finding:
    meant = f" did you mean {shown(nearest[0])}?" if nearest else ""
    remedy = "install the node pack it belongs to, or use another class"
    message = f"there is no node class {shown(node.class_type)};{meant} {remedy}"
    given = given_as(node.class_type)
    return Finding(node.node_id, str(given), None, Code.UNKNOWN_NODE, message, given, nearest)


def _missing_input(rule: InputRule) -> Fault:
    spec = rule.spec
    what = (
        f"a value of type {shown(spec.kind)}" if spec.is_widget else f"a link to an output of type {shown(spec.kind)}"
    )
    return Fault(Code.MISSING_INPUT, f"is required; give it {what}", rule.first)


def _not_a_link() -> Fault:
    return Fault(
        Code.NOT_A_LINK,
        'a list is taken for a link and must be [node id, output slot], such as ["4", 0]; '
        'a list that is meant as a value goes into {"__value__": [...]}',
    )


def _no_such_output(source: WorkflowNode, slot: int, count: int) -> Fault:
    where = f"node {shown(source.node_id)} ({shown(source.class_type)})"
    remedy = f"use a slot from 0 to {count - 1}" if count else "link another node"
    return Fault(Code.NO_SUCH_OUTPUT, f"{where} has no output {shown(slot)}; {remedy}", tuple(range(min(count, 8))))


def _wrong_type(rule: InputRule, kinds: tuple[str, ...], slot: int) -> Fault:
    wanted = rule.spec.kind
    fitting = tuple(other for other, kind in enumerate(kinds) if _fits(kind, wanted))
    remedy = f"slot {fitting[0]} of that node would do" if fitting else "link an output of the type it takes"
    message = f"takes {shown(wanted)}, but the link brings {shown(kinds[slot])}; {remedy}"
    return Fault(Code.WRONG_TYPE, message, fitting[:8])
