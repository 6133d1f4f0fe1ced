"""The file that the editor saves, turned into the graph that it would send.

Pure. Owns what is sent, what is left out and what is refused; never asks a server and never changes the file. Source:
ComfyUI_frontend 1.58, `graphToPrompt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from app.comfyui.definitions import Definitions
from app.comfyui.editor.files import BYPASSED, MUTED, EditorFile, EditorFileError, EditorGraph, read
from app.comfyui.editor.inputs import Inputs
from app.comfyui.editor.pruning import Candidate, prune
from app.comfyui.editor.roles import Role, role_of
from app.comfyui.editor.scopes import Placed, placed_nodes
from app.comfyui.editor.sources import Sources
from app.comfyui.editor.values import UnreadableValuesError
from app.comfyui.graph import Json, graph_problems
from app.comfyui.parameters import did_you_mean
from app.comfyui.problems import Problem, first_problems, pointer

_EXPORT: Final = "choose Workflow > Export (API) in ComfyUI and send that file"
_REFUSED: Final = {
    Role.GROUP: f"is a group node of the old kind; convert it to nodes or to a subgraph in the editor, or {_EXPORT}",
    Role.BROADCASTER: f"feeds other nodes without links, which only its own code in the editor can resolve; {_EXPORT}",
}
_MAX_NAMED: Final = 5
_MAX_NOTES: Final = 100
_SUBGRAPH_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Converted:
    """A graph in the API format, and in sentences what was left out of it or decided for it."""

    graph: dict[str, Json]
    notes: tuple[str, ...]


def to_workflow(raw: object, definitions: Definitions) -> Converted:
    """The graph that the editor would send for the file in `raw`, to a server with these node classes.

    Nodes that cannot run because something is muted are left out, as the server would leave them out. Raises
    EditorFileError with everything found wrong, each naming the node and the remedy. `raw` is not changed; values that
    are objects or lists are shared with it.
    """
    file = read(raw)
    placed = [each for each in placed_nodes(file) if each.node.mode not in {MUTED, BYPASSED}]
    _refuse(_invisible_links(file))
    _refuse(each.problem(_REFUSED[role]) for each in placed if (role := role_of(each.node.class_type)) in _REFUSED)
    running = [each for each in placed if role_of(each.node.class_type) is Role.RUNS]
    known = [each for each in running if each.node.class_type in definitions]
    notes = list(_strangers(running, definitions))
    nodes = _candidates(known, definitions)
    sources = Sources(file)
    _refuse(problem for node in nodes.values() for problem in node.feed(sources))
    notes += prune(nodes)
    _refuse(_nothing_to_run(nodes, definitions, notes))
    inputs = Inputs(definitions)
    graph = _graph(nodes, inputs)
    notes += inputs.notes
    _refuse(_where_it_came_from(graph_problems(graph), nodes))
    return Converted(graph, tuple(notes[:_MAX_NOTES]))


def _refuse(problems: Iterable[Problem]) -> None:
    if found := first_problems(problems):
        raise EditorFileError(found)


def _invisible_links(file: EditorFile) -> Iterator[Problem]:
    if file.has_invisible_links:
        text = f"nodes feed each other without links (Use Everywhere), which only the editor can resolve; {_EXPORT}"
        yield Problem(pointer("extra", "ue_links"), text)


def _strangers(running: list[Placed], definitions: Definitions) -> Iterator[str]:
    """Classes that no server has are refused, unless they take nothing and give nothing; then they are left out."""
    unknown = [each for each in running if each.node.class_type not in definitions]
    linked = {graph: _linked(graph) for graph in {id(each.scope.graph): each.scope.graph for each in unknown}.values()}
    missing: dict[str, list[Placed]] = {}
    for each in unknown:
        if each.node.node_id in linked[each.scope.graph]:
            missing.setdefault(each.node.class_type, []).append(each)
        else:
            yield f"{each} is left out: no backend has its class, and nothing is linked to it"
    _refuse(_missing(class_type, where, definitions) for class_type, where in missing.items())


def _linked(graph: EditorGraph) -> frozenset[str]:
    return frozenset(end for link in graph.links.values() for end in (link.origin, link.target))


def _missing(class_type: str, where: list[Placed], definitions: Definitions) -> Problem:
    others = f" ({len(where) - 1} more nodes have it)" if len(where) > 1 else ""
    if _SUBGRAPH_ID.fullmatch(class_type):
        text = f"stands for a subgraph that is not in the file; save it again with its subgraphs, or {_EXPORT}"
    else:
        hint = did_you_mean(class_type, definitions)
        text = f"has a class that no backend has{others};{hint} install its node pack on a backend, or replace it"
    return where[0].problem(text)


def _candidates(known: list[Placed], definitions: Definitions) -> dict[str, Candidate]:
    nodes: dict[str, Candidate] = {}
    for each in known:
        if each.api_id in nodes:
            _refuse([each.problem(f"has the same id as {nodes[each.api_id].placed}; give one of them another id")])
        nodes[each.api_id] = Candidate(each, definitions[each.node.class_type])
    return nodes


def _nothing_to_run(nodes: Mapping[str, Candidate], definitions: Definitions, notes: list[str]) -> Iterator[Problem]:
    if any(each.definition.class_type in definitions.output_classes for each in nodes.values()):
        return
    reasons = "; ".join(notes[:_MAX_NAMED])
    remedy = "unmute or connect what is needed" if notes else "add a node such as Save Image"
    yield Problem("", f"nothing in it can run and save or show a result; {remedy}{f' ({reasons})' if reasons else ''}")


def _graph(nodes: Mapping[str, Candidate], inputs: Inputs) -> dict[str, Json]:
    graph: dict[str, Json] = {}
    problems: list[Problem] = []
    for api_id, each in nodes.items():
        title = each.placed.node.title or each.definition.title
        node = {"class_type": each.definition.class_type, "_meta": {"title": title}}
        try:
            graph[api_id] = {"inputs": inputs.of(each), **node}
        except UnreadableValuesError as wrong:
            problems.append(each.placed.problem(str(wrong)))
    _refuse(problems)
    return graph


def _where_it_came_from(problems: Iterable[Problem], nodes: Mapping[str, Candidate]) -> Iterator[Problem]:
    """Findings in the graph, said of the file."""
    for problem in problems:
        first, slash, rest = problem.pointer.removeprefix("/").partition("/")
        placed = next((node.placed for api_id, node in nodes.items() if pointer(api_id) == f"/{first}"), None)
        if placed is None:
            yield Problem("", problem.message)
        else:
            yield placed.problem(f"{f'({slash}{rest}) ' if rest else ''}cannot be sent: {problem.message}")
