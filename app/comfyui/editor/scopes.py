"""Subgraphs laid open: every node of the file in every place where it runs.

Pure. Owns instances, their ids and the values that a subgraph's node passes to the controls inside it; never follows a
link. Sources: ComfyUI_frontend 1.24 to 1.58, `ExecutableNodeDTO` (ids) and the three ways in which it saved the values
of promoted controls (`widgets_values` in the order of the inputs, `properties.proxyWidgets`, `widgets_values_named`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.comfyui.editor.files import (
    BYPASSED,
    MUTED,
    EditorFile,
    EditorFileError,
    EditorGraph,
    EditorInput,
    EditorNode,
    Subgraph,
    as_key,
)
from app.comfyui.foreign import as_list
from app.comfyui.graph import MAX_NODES
from app.comfyui.problems import Problem, shown

CONTROL_WORDS: Final = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
"""What the editor does with a number after each run; saved behind the number, and never sent."""

_MAX_DEPTH: Final = 50
_PREFIX: Final = re.compile(r"\s*[0-9]+\s*:\s*")
_BOUNDARY: Final = "-1"


@dataclass(eq=False, slots=True)
class Scope:
    """A canvas in one of the places where it runs; the outer canvas has no `host`.

    By the names of the subgraph's inputs: `feeds` are those of the host, `controls` the node and control in here whose
    value an input shows, `arriving` the values the host holds. `inside` are values for controls, by the node in here;
    then by the way from it to a node further in ("" for itself) and by control.
    """

    graph: EditorGraph
    prefix: str = ""
    host: EditorNode | None = None
    parent: Scope | None = None
    subgraph: Subgraph | None = None
    feeds: Mapping[str, EditorInput] = field(default_factory=dict)
    controls: Mapping[str, tuple[EditorNode, str]] = field(default_factory=dict)
    arriving: dict[str, Any] = field(default_factory=dict)
    inside: dict[str, dict[tuple[str, str], Any]] = field(default_factory=dict)
    children: dict[str, Scope] = field(default_factory=dict)

    def id_of(self, node: EditorNode) -> str:
        """The node's id in the API format: ids of the subgraph's nodes it is in, then its own."""
        return f"{self.prefix}{node.node_id}"

    def passed_to(self, node: EditorNode) -> dict[str, Any]:
        """Values that nodes further out hold for this node's controls, by control."""
        return {widget: value for (way, widget), value in self.inside.get(node.node_id, {}).items() if not way}

    def names(self, node: EditorNode) -> str:
        """What a person knows the node by, for messages."""
        title = f", titled {shown(node.title)}" if node.title and node.title != node.class_type else ""
        type_name = self.children[node.node_id].subgraph if node.node_id in self.children else None
        kind = f"subgraph {shown(type_name.name)}" if type_name else shown(node.class_type)
        return f"node {shown(self.id_of(node))} ({kind}{title})"


@dataclass(frozen=True, slots=True)
class Placed:
    """A node in one of the places where it runs."""

    scope: Scope
    node: EditorNode

    @property
    def api_id(self) -> str:
        return self.scope.id_of(self.node)

    def __str__(self) -> str:
        return self.scope.names(self.node)

    def problem(self, message: str) -> Problem:
        """A finding about this node."""
        return Problem(self.node.place, f"{self} {message}")


def placed_nodes(file: EditorFile) -> list[Placed]:
    """All nodes that stand for themselves, subgraphs replaced by what is in them unless they are muted or bypassed.

    Raises EditorFileError for a subgraph inside itself, and for more nodes than a graph may have.
    """
    found: list[Placed] = []
    seen = 0
    waiting = [(Scope(file.graph), iter(file.graph.nodes.values()))]
    while waiting:
        scope, nodes = waiting[-1]
        node = next(nodes, None)
        if node is None:
            waiting.pop()
        elif (inner := file.subgraphs.get(node.class_type)) is None:
            found.append(Placed(scope, node))
        elif node.mode not in {MUTED, BYPASSED}:
            child = _opened(Placed(scope, node), inner, len(waiting))
            waiting.append((child, iter(inner.graph.nodes.values())))
        # Whether sent or not: subgraphs within subgraphs can be many without holding a node that is.
        seen += node is not None
        if seen > MAX_NODES:
            text = f"has more than {MAX_NODES} nodes once its subgraphs are laid open; split it"
            raise EditorFileError((Problem("", text),))
    return found


def _opened(host: Placed, inner: Subgraph, depth: int) -> Scope:
    outer: Scope | None = host.scope
    while outer is not None and outer.subgraph is not inner:
        outer = outer.parent
    if outer is not None or depth > _MAX_DEPTH:
        raise EditorFileError((host.problem("is a subgraph that contains itself; take it out in the editor"),))
    feeds = {each.name: each for each in reversed(host.node.inputs)}
    scope = Scope(inner.graph, f"{host.api_id}:", host.node, host.scope, inner, feeds, _controls(inner))
    _pass_values(scope, host)
    host.scope.children[host.node.node_id] = scope
    return scope


def _pass_values(scope: Scope, host: Placed) -> None:
    """What the host holds, and over it what its own host holds for it."""
    promoted = list(_promoted(host.node))
    inputs = frozenset(scope.subgraph.inputs if scope.subgraph is not None else ())
    inner: dict[str, str] = {widget: node_id for node_id, widget in reversed(promoted) if node_id != _BOUNDARY}
    further_out = ((way or _BOUNDARY, *held) for (way, *held) in _flat(host.scope.inside.get(host.node.node_id, {})))
    for path, widget, value in (*_held(scope, host.node, promoted), *further_out):
        if path == _BOUNDARY and widget in inputs:
            scope.arriving[widget] = value
        elif (path := inner.get(widget, "") if path == _BOUNDARY else path) != "":
            first, _, rest = path.partition(":")
            scope.inside.setdefault(first, {})[rest, widget] = value


def _flat(values: Mapping[tuple[str, str], Any]) -> Iterator[tuple[str, str, Any]]:
    yield from ((way, widget, value) for (way, widget), value in values.items())


def _held(scope: Scope, host: EditorNode, promoted: list[tuple[str, str]]) -> Iterator[tuple[str, str, Any]]:
    """(node id inside or -1, control, value) of every promoted control that has a value of its own."""
    if isinstance(host.values, Mapping):
        named = [(_BOUNDARY, name, value) for name, value in host.values.items()]
    elif promoted:
        named = [(*entry, value) for entry, value in zip(promoted, host.values, strict=False)]
    else:
        names = _controlled_inputs(scope, host)
        named = [(_BOUNDARY, name, value) for name, value in zip(names, _plain(host.values, names), strict=False)]
    # An empty place means: the value is the one inside.
    yield from (each for each in named if each[2] is not None)


def _promoted(host: EditorNode) -> Iterator[tuple[str, str]]:
    """`properties.proxyWidgets`: the id of a node inside, or -1 for an input of the subgraph, and a control's name."""
    for entry in as_list(host.properties.get("proxyWidgets")):
        node_id, widget, *_ = [*as_list(entry), None, None]
        key = as_key(node_id)
        if key is not None and isinstance(widget, str):
            yield key, _PREFIX.sub("", widget)


def _controlled_inputs(scope: Scope, host: EditorNode) -> list[str]:
    """The inputs that show a control, in the order of its values; the file may leave out those without a link."""
    listed = [each.name for each in host.inputs if each.widget is not None]
    in_order = [name for name in (scope.subgraph.inputs if scope.subgraph else ()) if name in scope.controls]
    return listed if scope.controls.keys() <= set(listed) else in_order


def _controls(subgraph: Subgraph) -> dict[str, tuple[EditorNode, str]]:
    """The first node and control inside that each input leads to."""
    links = subgraph.graph.links
    fed = {
        each.link: (node, each.widget)
        for node in subgraph.graph.nodes.values()
        for each in node.inputs
        if each.link in links and each.link is not None and each.widget is not None
    }
    by_slot: dict[int, tuple[EditorNode, str]] = {}
    for link_id, control in fed.items():
        if links[link_id].origin == subgraph.entrance:
            by_slot.setdefault(links[link_id].slot, control)
    for slot, link_ids in enumerate(subgraph.input_links):
        first = next((fed[link_id] for link_id in link_ids if link_id in fed), None)
        if first is not None:
            by_slot[slot] = first
    return {name: by_slot[slot] for slot, name in enumerate(subgraph.inputs) if slot in by_slot}


def _plain(values: Sequence[Any], names: list[str]) -> Sequence[Any]:
    """Without the words behind numbers, which some editors saved and some did not."""
    if len(values) <= len(names):
        return values
    return [
        value
        for index, value in enumerate(values)
        if not (index and isinstance(values[index - 1], int) and isinstance(value, str) and value in CONTROL_WORDS)
    ]
