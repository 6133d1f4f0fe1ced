"""Whether foreign JSON is a graph in ComfyUI's API format, and if not, everything that is wrong with it.

Pure. Owns the rules a graph must keep before it may leave for a server (COMFYUI_PROTOCOL sections 2.1 and 10: ComfyUI
answers many of these mistakes with a bare 500 or a stack trace); never builds anything and never looks at what a node
class means. All traversals are iterative: foreign nesting must not reach Python's recursion limit.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from app.comfyui.problems import Problem, json_kind, pointer, shown, text_flaw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json: TypeAlias = Any

MAX_NODES: Final = 10_000
# Far above any real input; JSON writers recurse and give up somewhere near a thousand.
MAX_NESTING: Final = 100
_MAX_NAMED_IN_CYCLE: Final = 10
_NO_MISTAKE: Final = object()
_WRAPPERS: Final = ("prompt", "workflow", "output")
_EXPORT: Final = "in ComfyUI choose Workflow > Export (API) and send that file"
_EDITOR: Final = f"{_EXPORT}, or make a template of this one"


class Link(NamedTuple):
    """An input fed by another node's output number `slot`."""

    node_id: str
    slot: int


def as_link(value: object) -> Link | None:
    """The link this input value is, by shape alone; lists of any other shape are plain values."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    node_id, slot = value
    if not isinstance(node_id, str) or not isinstance(slot, int) or isinstance(slot, bool):
        return None
    return Link(node_id, slot)


def graph_problems(raw: object) -> Iterator[Problem]:
    """Everything wrong with `raw` as an API-format graph; found lazily, coarse faults first."""
    if not isinstance(raw, dict):
        yield Problem("", f"a workflow is an object of nodes, not {json_kind(raw)}; {_EXPORT}")
    elif (misshapen := _wrong_format(raw)) is not None:
        yield misshapen
    elif len(raw) > MAX_NODES:
        yield Problem("", f"has {len(raw)} nodes; split it into workflows of at most {MAX_NODES}")
    else:
        for node_id, node in raw.items():
            yield from _node_problems(node_id, node, raw)
        yield from _cycles(raw)


def _wrong_format(raw: dict[str, Json]) -> Problem | None:
    """The whole file is of another kind: one finding instead of one per node."""
    if not raw:
        return Problem("", f"the workflow has no nodes; {_EXPORT}")
    if isinstance(raw.get("nodes"), list):
        return Problem("", f"this is the format the ComfyUI editor saves, which cannot be run; {_EDITOR}")
    for key in _WRAPPERS:
        inner = raw.get(key)
        if not isinstance(inner, dict) or "class_type" in inner:
            continue
        if isinstance(inner.get("nodes"), list):
            return Problem(pointer(key), f"this is the format the ComfyUI editor saves, which cannot be run; {_EDITOR}")
        if any(isinstance(node, dict) and "class_type" in node for node in inner.values()):
            return Problem(pointer(key), f'the graph is wrapped in "{key}"; send the inner object by itself')
    return None


def _node_problems(node_id: object, node: object, nodes: Mapping[str, Json]) -> Iterator[Problem]:
    at = pointer(node_id)
    if not isinstance(node_id, str) or not node_id:
        yield Problem(at, f'a node id is a text such as "3", not {shown(node_id)}; rename the node')
    elif (flaw := text_flaw(node_id)) is not None:
        yield Problem(at, f"the node id {flaw}")
    elif not isinstance(node, dict):
        yield Problem(at, f"a node is an object with class_type and inputs, not {json_kind(node)}; {_EXPORT}")
    else:
        yield from _class_problems(at, node)
        yield from _input_problems(at, node, nodes)
        yield from _value_problems(at, {key: part for key, part in node.items() if key != "inputs"})


def _class_problems(at: str, node: dict[str, Json]) -> Iterator[Problem]:
    class_type = node.get("class_type")
    if "class_type" not in node:
        yield Problem(at, f'the node has no class_type; add it, such as "class_type": "KSampler", or {_EXPORT}')
    elif not isinstance(class_type, str) or not class_type:
        yield Problem(f"{at}/class_type", f"must be the name of a node class as text, not {shown(class_type)}")


def _input_problems(at: str, node: dict[str, Json], nodes: Mapping[str, Json]) -> Iterator[Problem]:
    inputs = node.get("inputs")
    if "inputs" not in node:
        yield Problem(at, 'the node has no inputs; add "inputs": {} if it takes none')
    elif not isinstance(inputs, dict):
        yield Problem(f"{at}/inputs", f"must be an object of input names and values, not {json_kind(inputs)}")
    else:
        for name, value in inputs.items():
            yield from _link_problems(f"{at}/inputs{pointer(name)}", value, nodes)
        yield from _value_problems(f"{at}/inputs", inputs)


def _link_problems(at: str, value: object, nodes: Mapping[str, Json]) -> Iterator[Problem]:
    link = as_link(value)
    if link is not None:
        if link.node_id not in nodes:
            yield Problem(
                f"{at}/0", f"links to node {shown(link.node_id)}, which is not in the workflow; add or relink it"
            )
        elif link.slot < 0:
            yield Problem(f"{at}/1", f"the output slot must be 0 or more, not {shown(link.slot)}")
    elif (slot := _mistaken_slot(value, nodes)) is not _NO_MISTAKE:
        yield Problem(f"{at}/1", f"the output slot must be a whole number such as 0, not {shown(slot)}")


def _mistaken_slot(value: object, nodes: Mapping[str, Json]) -> object:
    """What stands where the slot of a link belongs. A node's name beside text, a list or an object is a plain value."""
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str) or value[0] not in nodes:
        return _NO_MISTAKE
    return value[1] if isinstance(value[1], float | bool | None) else _NO_MISTAKE


def _value_problems(at: str, value: Json) -> Iterator[Problem]:
    """What JSON cannot express, or what nobody can store, anywhere below `value`."""
    waiting = [(at, value, 0)]
    while waiting:
        at, value, depth = waiting.pop()
        if isinstance(value, dict | list) and depth < MAX_NESTING:
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(at + pointer(key), part, depth + 1) for key, part in reversed(list(items))]
            names = value if isinstance(value, dict) else ()
            flaws = (_scalar_flaw(name) if isinstance(name, str) else "is no text" for name in names)
            yield from (Problem(at, f"a name in this object {flaw}") for flaw in flaws if flaw)
        elif flaw := _scalar_flaw(value):
            yield Problem(at, flaw)


def _scalar_flaw(value: object) -> str | None:
    match value:
        case None | bool() | int():
            return None
        case str():
            return text_flaw(value)
        case float():
            return None if math.isfinite(value) else f"{value} is no JSON number; send a finite one"
        case dict() | list():
            return f"is nested more than {MAX_NESTING} levels deep; flatten it"
        case _:
            return f"{json_kind(value)} is no JSON value; send text, a number, true, false, null, a list or an object"


def _cycles(raw: dict[str, Json]) -> Iterator[Problem]:
    upstream = {node_id: _upstream(node, raw) for node_id, node in raw.items()}
    knotted = _never_ready(upstream)
    seen: set[str] = set()
    for start in knotted:
        path: dict[str, None] = {}
        node_id = start
        while node_id not in seen:
            seen.add(node_id)
            path[node_id] = None
            # Every knotted node waits for another knotted one, so the walk always ends on a node seen before.
            node_id = next(source for source in upstream[node_id] if source in knotted)
        if node_id in path:
            circle = [*list(path)[list(path).index(node_id) :], node_id]
            yield Problem(
                pointer(node_id), f"nodes {_named(circle)} wait for each other in a circle; cut one of the links"
            )


def _upstream(node: Json, nodes: Mapping[str, Json]) -> list[str]:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    links = map(as_link, inputs.values()) if isinstance(inputs, dict) else ()
    return [link.node_id for link in links if link is not None and link.node_id in nodes]


def _never_ready(upstream: Mapping[str, list[str]]) -> dict[str, None]:
    """The nodes that could never run, in the order of the file: those on a cycle and those behind one."""
    waits_for = {node_id: len(sources) for node_id, sources in upstream.items()}
    feeds: dict[str, list[str]] = {node_id: [] for node_id in upstream}
    for node_id, sources in upstream.items():
        for source in sources:
            feeds[source].append(node_id)
    ready = [node_id for node_id, count in waits_for.items() if count == 0]
    while ready:
        for node_id in feeds[ready.pop()]:
            waits_for[node_id] -= 1
            if waits_for[node_id] == 0:
                ready.append(node_id)
    return {node_id: None for node_id, count in waits_for.items() if count}


def _named(circle: list[str]) -> str:
    """The circle in the order data flows; a long one is cut."""
    names = [shown(node_id) for node_id in reversed(circle)]
    cut = islice(names, _MAX_NAMED_IN_CYCLE)
    return " → ".join([*cut, "…"] if len(names) > _MAX_NAMED_IN_CYCLE else cut)
