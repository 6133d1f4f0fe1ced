"""The file that ComfyUI's editor saves, read into values that can be trusted to have their shape.

Pure. Owns both spellings of links, the two of stored values and the definitions of subgraphs; never decides what a node
means or whether it can run. Tolerant where the editor is: an odd link, slot or value counts as missing. Sources: files
saved by ComfyUI_frontend 1.0 to 1.58 and litegraph's `version` 0.4 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from app.comfyui.foreign import as_list, as_object
from app.comfyui.problems import InvalidInputError, Problem, first_problems, json_kind, pointer, shown

MUTED: Final = 2
BYPASSED: Final = 4
# What the editor calls the two ends of a subgraph, in files whose definition does not say.
_ENTRANCE: Final = "-10"
_EXIT: Final = "-20"
_LINK_KEYS: Final = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
# Python writes integers of up to 4,300 digits; ids have a dozen.
_LARGEST_ID: Final = 10**18
# Real nodes have some dozens.
_MAX_INPUTS: Final = 500


class EditorFileError(InvalidInputError):
    """The file cannot be turned into a graph that runs; pointers lead into the file as it was sent."""


@dataclass(frozen=True, slots=True)
class EditorInput:
    """An input slot. `link` is the id of the link that feeds it; `widget` names the control whose slot it is."""

    name: str
    kind: str
    link: str | None
    widget: str | None


@dataclass(frozen=True, slots=True, eq=False)
class EditorNode:
    """A node as it was saved. `values` are what its controls held: by name, or in the order of the controls.

    `place` is the JSON pointer of the node in the file.
    """

    node_id: str
    class_type: str
    title: str | None
    mode: int
    inputs: tuple[EditorInput, ...]
    output_kinds: tuple[str, ...]
    values: Mapping[str, Any] | tuple[Any, ...]
    properties: Mapping[str, Any]
    place: str

    @property
    def listed_widgets(self) -> tuple[str, ...]:
        """The controls that have a slot, in the order of the slots: all of them in newer files, some in older ones."""
        return tuple(each.widget for each in self.inputs if each.widget is not None)


@dataclass(frozen=True, slots=True)
class EditorLink:
    """A connection from output number `slot` of a node."""

    origin: str
    slot: int
    target: str
    target_slot: int


@dataclass(frozen=True, slots=True, eq=False)
class EditorGraph:
    """One canvas: the outer one or the inside of a subgraph. Nodes in the order of the file, links by id."""

    nodes: Mapping[str, EditorNode]
    links: Mapping[str, EditorLink]


@dataclass(frozen=True, slots=True, eq=False)
class Subgraph:
    """A canvas that nodes stand for. Links from `entrance` are fed from outside, by the inputs named here in order.

    `input_links` are the links of each input, as far as the file lists them. `outputs` are the ids of the links that
    feed the outputs, in order; None where nothing does.
    """

    name: str
    graph: EditorGraph
    entrance: str
    inputs: tuple[str, ...]
    input_links: tuple[tuple[str, ...], ...]
    outputs: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class EditorFile:
    """The whole file, subgraphs by id. Invisible links are those of Use Everywhere, which it saves beside the graph."""

    graph: EditorGraph
    subgraphs: Mapping[str, Subgraph]
    has_invisible_links: bool


def is_editor_file(raw: object) -> bool:
    """Whether this decoded JSON value is what the editor saves, rather than a graph in the API format."""
    return isinstance(raw, dict) and isinstance(raw.get("nodes"), list)


def read(raw: object) -> EditorFile:
    """The file in `raw`. Raises EditorFileError naming every node that cannot be read."""
    if not is_editor_file(raw) or not isinstance(raw, dict):
        raise EditorFileError((Problem("", f'a saved editor file has a list "nodes"; this is {json_kind(raw)}'),))
    definitions = dict(_definitions(raw))
    if problems := first_problems(_problems(raw, definitions)):
        raise EditorFileError(problems)
    extra = as_object(raw.get("extra"))
    return EditorFile(
        _graph(raw, ""),
        MappingProxyType({key: _subgraph(*found) for key, found in definitions.items()}),
        bool(as_list(extra.get("ue_links"))),
    )


def as_key(value: object) -> str | None:
    """An id as text; editors wrote whole numbers, floats and texts."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID:
        return str(value)
    return None


def _definitions(raw: dict[str, Any]) -> Iterator[tuple[str, tuple[dict[str, Any], str]]]:
    """Subgraphs by id with their places, those defined inside another one included."""
    waiting = [(raw, "")]
    while waiting:
        holder, at = waiting.pop()
        for index, each in enumerate(as_list(as_object(holder.get("definitions")).get("subgraphs"))):
            if isinstance(each, dict) and isinstance(each.get("id"), str):
                place = at + pointer("definitions", "subgraphs", index)
                waiting.append((each, place))
                yield each["id"], (each, place)


def _problems(raw: dict[str, Any], definitions: Mapping[str, tuple[dict[str, Any], str]]) -> Iterator[Problem]:
    for canvas, at in [(raw, ""), *definitions.values()]:
        seen: set[str] = set()
        for index, node in enumerate(as_list(canvas.get("nodes"))):
            if (fault := _fault(node, seen)) is not None:
                yield Problem(at + pointer("nodes", index), fault)


def _fault(node: object, seen: set[str]) -> str | None:
    """Why this is no node; `seen` has the ids of those before it."""
    if not isinstance(node, dict):
        return f"a node is an object, not {json_kind(node)}; save the file again in the editor"
    node_id = as_key(node.get("id"))
    if node_id is None:
        return f"{shown(node.get('id'))} is no id of a node; save the file again in the editor"
    if not isinstance(node.get("type"), str):
        return f"node {shown(node_id)} does not say of which type it is; save the file again in the editor"
    if len(as_list(node.get("inputs"))) > _MAX_INPUTS:
        return f"node {shown(node_id)} has more than {_MAX_INPUTS} inputs; split it"
    if node_id in seen:
        return f"a second node has the id {shown(node_id)}; remove one of them in the editor"
    seen.add(node_id)
    return None


def _subgraph(raw: dict[str, Any], at: str) -> Subgraph:
    graph = _graph(raw, at)
    leaving = as_key(as_object(raw.get("outputNode")).get("id")) or _EXIT
    into = {link.target_slot: link_id for link_id, link in graph.links.items() if link.target == leaving}
    return Subgraph(
        _text(raw.get("name")) or "",
        graph,
        as_key(as_object(raw.get("inputNode")).get("id")) or _ENTRANCE,
        tuple(_text(as_object(each).get("name")) or "" for each in as_list(raw.get("inputs"))),
        tuple(tuple(_link_ids(each)) for each in as_list(raw.get("inputs"))),
        tuple(_feeding(each, into.get(slot), graph) for slot, each in enumerate(as_list(raw.get("outputs")))),
    )


def _feeding(output: object, found: str | None, graph: EditorGraph) -> str | None:
    """The first link the output itself names, as in the editor; else the one that ends there."""
    return next((link_id for link_id in _link_ids(output) if link_id in graph.links), found)


def _link_ids(slot: object) -> Iterator[str]:
    keys = map(as_key, as_list(as_object(slot).get("linkIds")))
    yield from (key for key in keys if key is not None)


def _graph(raw: dict[str, Any], at: str) -> EditorGraph:
    nodes = [_node(node, f"{at}/nodes/{index}") for index, node in enumerate(as_list(raw.get("nodes")))]
    listed = raw.get("links")
    links = listed.values() if isinstance(listed, dict) else as_list(listed)
    by_id = dict(filter(None, map(_link, links)))
    return EditorGraph(MappingProxyType({node.node_id: node for node in nodes}), MappingProxyType(by_id))


def _node(raw: dict[str, Any], place: str) -> EditorNode:
    mode = raw.get("mode")
    return EditorNode(
        as_key(raw.get("id")) or "",
        raw["type"],
        _text(raw.get("title")),
        mode if isinstance(mode, int) else 0,
        tuple(_input(each) for each in as_list(raw.get("inputs")) if isinstance(each, dict)),
        tuple(_kind(as_object(each).get("type")) for each in as_list(raw.get("outputs"))),
        _values(raw),
        as_object(raw.get("properties")),
        place,
    )


def _values(raw: dict[str, Any]) -> Mapping[str, Any] | tuple[Any, ...]:
    """By name where the file has the names: newer editors save both spellings, some node packs only that one."""
    for stored in (raw.get("widgets_values_named"), raw.get("widgets_values")):
        if isinstance(stored, dict) and stored:
            return stored
    return tuple(as_list(raw.get("widgets_values")))


def _input(raw: dict[str, Any]) -> EditorInput:
    widget = as_object(raw.get("widget"))
    name = _text(raw.get("name")) or ""
    return EditorInput(
        name,
        _kind(raw.get("type")),
        as_key(raw.get("link")),
        _text(widget.get("name")) or name if "widget" in raw and widget else None,
    )


def _kind(value: object) -> str:
    if isinstance(value, str):
        return value
    return "COMBO" if isinstance(value, list) else "*"


def _link(raw: object) -> tuple[str, EditorLink] | None:
    parts = [raw.get(key) for key in _LINK_KEYS] if isinstance(raw, dict) else as_list(raw)[:5]
    keys = [as_key(each) for each in parts]
    if len(keys) < 5 or None in keys:
        return None
    link_id, origin, slot, target, target_slot = (key or "" for key in keys)
    return (link_id, EditorLink(origin, _slot(slot), target, _slot(target_slot)))


def _slot(key: str) -> int:
    return int(key) if key.isascii() and key.removeprefix("-").isdigit() and len(key) < 10 else -1


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
