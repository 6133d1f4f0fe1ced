"""What feeds an input: the end of the way through everything that exists in the editor only.

Pure. Owns following links through reroutes, named values, bypassed nodes and the walls of subgraphs; never builds a
graph and never refuses one. Source for the order in which a bypassed node's inputs are tried, and for what muted nodes
do to what they feed: ComfyUI_frontend 1.58, `ExecutableNodeDTO` and `graphToPrompt`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from app.comfyui.editor.files import BYPASSED, MUTED, EditorFile, EditorInput, EditorNode
from app.comfyui.editor.roles import Role, role_of
from app.comfyui.editor.scopes import Placed, Scope
from app.comfyui.problems import shown


@dataclass(frozen=True, slots=True)
class Output:
    """Output number `slot` of the node with this API id."""

    api_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value typed into a node that is not sent itself."""

    value: Any


@dataclass(frozen=True, slots=True)
class Control:
    """Whatever the control of this name holds on a node, sent or not: a subgraph's input shows it."""

    placed: Placed
    name: str


class Lack(enum.Enum):
    """Why nothing comes in."""

    UNFED = enum.auto()
    """Nothing is at the end of the way: a control keeps its own value."""
    MUTED = enum.auto()
    """What is at its end is muted: the editor sends no value at all."""
    BROKEN = enum.auto()
    """The way itself is wrong: the file cannot be run."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing comes in; `reason` completes «its input X ...»."""

    lack: Lack
    reason: str


class _Way(NamedTuple):
    """A link to follow backwards, for an input of this kind."""

    scope: Scope
    link: str
    kind: str


Source = Output | Literal | Control | Nothing
_Held = Literal | Control

_UNFED: Final = Nothing(Lack.UNFED, "is fed by nothing")
_CIRCLE: Final = Nothing(Lack.BROKEN, "is fed by links that lead in a circle; cut one of them in the editor")


class Sources:
    """Finds what feeds inputs. Every stretch of the way is followed once, however many inputs share it."""

    def __init__(self, file: EditorFile) -> None:
        self._subgraphs = file.subgraphs
        self._known: dict[_Way, Source] = {}
        self._setters: dict[Scope, Mapping[str, EditorNode]] = {}

    def of(self, scope: Scope, each: EditorInput) -> Source:
        """What feeds this input of a node in `scope`."""
        if each.link is None:
            return _UNFED
        path: dict[_Way, _Held | None] = {}
        step: _Way | Source = _Way(scope, each.link, each.kind)
        while isinstance(step, _Way):
            way = step
            if way in self._known:
                step = self._known[way]
            elif way in path:
                step = _CIRCLE
            else:
                step, path[way] = self._next(way)
        return self._remember(path, step)

    def _remember(self, path: dict[_Way, _Held | None], end: Source) -> Source:
        """A value that a subgraph's node holds for an input stands in where nothing comes from further out."""
        for way in reversed(path):
            own = path[way]
            if own is not None and isinstance(end, Nothing) and end.lack is Lack.UNFED:
                end = own
            self._known[way] = end
        return end

    def _next(self, way: _Way) -> tuple[_Way | Source, _Held | None]:
        scope, link_id, kind = way
        link = scope.graph.links.get(link_id)
        if link is None:
            return Nothing(Lack.UNFED, "has a link that is not in the file"), None
        if scope.subgraph is not None and link.origin == scope.subgraph.entrance:
            return _outward(scope, link.slot)
        node = scope.graph.nodes.get(link.origin)
        if node is None:
            return Nothing(Lack.UNFED, f"is linked to node {shown(link.origin)}, which is not in the file"), None
        if node.mode == BYPASSED:
            return _around(Placed(scope, node), link.slot, kind), None
        if node.class_type in self._subgraphs:
            return _inward(Placed(scope, node), link.slot, kind), None
        return self._through(Placed(scope, node), link.slot, kind), None

    def _through(self, placed: Placed, slot: int, kind: str) -> _Way | Source:
        scope, node = placed.scope, placed.node
        match role_of(node.class_type):
            case Role.RUNS if node.mode == MUTED:
                return _muted(placed)
            case Role.RUNS:
                return Output(placed.api_id, slot)
            case Role.REROUTE | Role.SETTER:
                return _into(scope, node, 0, kind)
            case Role.GETTER:
                return self._from_setter(placed, kind)
            case Role.PRIMITIVE:
                return _typed(placed)
            case _:
                return Nothing(Lack.UNFED, f"is linked to {placed}, which is not sent")

    def _from_setter(self, placed: Placed, kind: str) -> _Way | Source:
        name = _first_text(placed.node)
        scope: Scope | None = placed.scope
        while scope is not None:
            setter = self._setters_in(scope).get(name)
            if setter is not None:
                return _into(scope, setter, 0, kind)
            scope = scope.parent
        text = f"is fed by {placed}, but no Set node gives anything the name {shown(name)}; add one in the editor"
        return Nothing(Lack.BROKEN, text)

    def _setters_in(self, scope: Scope) -> Mapping[str, EditorNode]:
        if scope not in self._setters:
            nodes = reversed(tuple(scope.graph.nodes.values()))
            found = {_first_text(node): node for node in nodes if role_of(node.class_type) is Role.SETTER}
            self._setters[scope] = found
        return self._setters[scope]


def _outward(scope: Scope, slot: int) -> tuple[_Way | Source, _Held | None]:
    """Out of a subgraph, to what feeds the node that stands for it."""
    names = scope.subgraph.inputs if scope.subgraph is not None else ()
    if scope.host is None or scope.parent is None or not 0 <= slot < len(names):
        return Nothing(Lack.UNFED, "is linked to an input that its subgraph does not have"), None
    name = names[slot]
    own = _shown_by(scope, name)
    outer = scope.feeds.get(name)
    if outer is None or outer.link is None:
        return own or _UNFED, None
    return _Way(scope.parent, outer.link, outer.kind), own


def _shown_by(scope: Scope, name: str) -> _Held | None:
    """What a subgraph's input shows: the host's own value, else that of the first control the input leads to."""
    while name not in scope.arriving:
        if name not in scope.controls:
            return None
        node, widget = scope.controls[name]
        if node.node_id not in scope.children:
            return Control(Placed(scope, node), widget)
        scope, name = scope.children[node.node_id], widget
    return Literal(scope.arriving[name])


def _inward(host: Placed, slot: int, kind: str) -> _Way | Source:
    """Into a subgraph, to what feeds its output."""
    inner = host.scope.children.get(host.node.node_id)
    if inner is None or inner.subgraph is None:
        return _muted(host)
    outputs = inner.subgraph.outputs
    link = outputs[slot] if 0 <= slot < len(outputs) else None
    return _Way(inner, link, kind) if link is not None else Nothing(Lack.UNFED, f"is fed by nothing inside {host}")


def _around(placed: Placed, slot: int, kind: str) -> _Way | Source:
    """Past a bypassed node, by the input that could stand in for its output."""
    index = _stand_in(placed.node, slot, kind)
    if index is None:
        return Nothing(Lack.UNFED, f"needs {placed}, which is bypassed and takes nothing of the kind {shown(kind)}")
    each = placed.node.inputs[index]
    return _into(placed.scope, placed.node, index, each.kind)


def _into(scope: Scope, node: EditorNode, index: int, kind: str) -> _Way | Source:
    link = node.inputs[index].link if index < len(node.inputs) else None
    return _Way(scope, link, kind) if link is not None else _UNFED


def _stand_in(node: EditorNode, slot: int, kind: str) -> int | None:
    """The input of the same number if the kinds fit, else the first of exactly this kind, else the first that fits."""
    inputs = node.inputs
    if _is_any(kind):
        return (slot if 0 <= slot < len(inputs) else 0) if inputs else None
    given = node.output_kinds[slot] if 0 <= slot < len(node.output_kinds) else "*"
    fitting = [i for i, each in enumerate(inputs) if _fit(each.kind, given) and _fit(each.kind, kind)]
    if slot in fitting:
        return slot
    exact = next((i for i, each in enumerate(inputs) if each.kind == kind), None)
    return exact if exact is not None else next(iter(fitting), None)


def _fit(one: str, other: str) -> bool:
    if _is_any(one) or _is_any(other):
        return True
    return not set(one.lower().split(",")).isdisjoint(other.lower().split(","))


def _is_any(kind: str) -> bool:
    return kind in {"", "*"}


def _muted(placed: Placed) -> Nothing:
    return Nothing(Lack.MUTED, f"needs {placed}, which is muted")


def _typed(placed: Placed) -> Source:
    """The value of a primitive: the one its subgraph's node holds for it, else its own."""
    passed = placed.scope.passed_to(placed.node)
    if "value" in passed:
        return Literal(passed["value"])
    values = placed.node.values
    held = list(values.values()) if isinstance(values, Mapping) else values
    return Literal(held[0]) if held and held[0] is not None else _UNFED


def _first_text(node: EditorNode) -> str:
    values = list(node.values.values()) if isinstance(node.values, Mapping) else node.values
    return values[0] if values and isinstance(values[0], str) else ""
