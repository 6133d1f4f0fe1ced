"""What POST /prompt checks before it queues a graph, with ComfyUI's error types (COMFYUI_PROTOCOL section 2.1).

Owns the verdict on a graph; changes it only as ComfyUI does, by converting values to the type of their input.
What a real server stumbles over raises TypeError, AttributeError or KeyError here too, and becomes its 500.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.comfyui.simulator.checks import InputChecks, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.nodes.base import Graph, Node

MAX_DEPTH = 900
"""ComfyUI walks the graph by recursion: a chain of 500 nodes passes, one of 1,000 is refused (recording 17)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` is None when at least one output may run: those in `outputs`. `node_errors` may be there all the same."""

    error: Problem | None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Visit:
    """A node on the way down from an output: the link it was reached by, and whether its inputs were walked."""

    node_id: str
    link: tuple[str, list[Any], list[Any]] | None
    depth: int
    is_open: bool = False


def validate(graph: Graph, nodes: Mapping[str, Node], folders: Folders, targets: list[str] | None) -> Verdict:
    """Judge a graph; `targets` is `partial_execution_targets`."""
    outputs: list[str] = []
    for node_id in graph:
        problem = _class_problem(graph, node_id, nodes)
        if problem is not None:
            return Verdict(problem)
        if nodes[graph[node_id]["class_type"]].is_output and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return Verdict(Problem("prompt_no_outputs", "Prompt has no outputs", ""))
    return _judge_outputs(_Walk(graph, nodes, folders), outputs)


def _class_problem(graph: Graph, node_id: str, nodes: Mapping[str, Node]) -> Problem | None:
    where = f"Node ID '#{node_id}'"
    if "class_type" not in graph[node_id]:
        return Problem("invalid_prompt", "Cannot execute because a node is missing the class_type property.", where)
    class_type = graph[node_id]["class_type"]
    if class_type not in nodes:
        return Problem("invalid_prompt", f"Cannot execute because node {class_type} does not exist.", where)
    return None


def _judge_outputs(walk: _Walk, outputs: list[str]) -> Verdict:
    good: list[str] = []
    details: list[str] = []
    node_errors: dict[str, Any] = {}
    for output in outputs:
        if walk.is_valid(output):
            good.append(output)
            continue
        details += [f"{problem.message}: {problem.details}" for problem in walk.problems[output]]
        for node_id, problems in walk.problems.items():
            if problems:
                entry = node_errors.setdefault(node_id, walk.entry(node_id))
                entry["dependent_outputs"].append(output)
    if good:
        return Verdict(None, good, node_errors)
    failed = Problem("prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(details))
    return Verdict(failed, [], node_errors)


@dataclass(slots=True)
class _Walk:
    """Checks nodes from an output down, each once. Checked ones are in `problems`, bad ones in `bad` too."""

    graph: Graph
    nodes: Mapping[str, Node]
    folders: Folders
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)

    def entry(self, node_id: str) -> dict[str, Any]:
        """A node's part of `node_errors`."""
        return {
            "errors": [problem.as_json() for problem in self.problems[node_id]],
            "dependent_outputs": [],
            "class_type": self.graph[node_id]["class_type"],
        }

    def is_valid(self, output: str) -> bool:
        """Check an output node and everything it needs, without recursion."""
        path = [_Visit(output, None, 0)]
        on_path = {output}
        while path:
            visit = path[-1]
            if visit.node_id in self.problems:
                on_path.discard(path.pop().node_id)
            elif visit.is_open:
                self._check(visit)
            else:
                visit.is_open = True
                links = self._links(visit)
                if any(node in on_path for node, _ in links):
                    return self._refuse_cycle(path)
                if visit.depth > MAX_DEPTH:
                    self._record_failure(visit, RecursionError("maximum recursion depth exceeded"))
                    continue
                path += [_Visit(node, link, visit.depth + 1) for node, link in reversed(links)]
                on_path = {step.node_id for step in path if step.is_open}
        return output not in self.bad

    def _refuse_cycle(self, path: list[_Visit]) -> bool:
        """A cycle is refused without a word about where it is."""
        for visit in path:
            self.problems.setdefault(visit.node_id, [])
            self.bad.add(visit.node_id)
        return False

    def _links(self, visit: _Visit) -> list[tuple[str, tuple[str, list[Any], list[Any]]]]:
        """The nodes behind this one's sound links, each with the link it was reached by."""
        try:
            return self._checks(visit.node_id).links()
        except (KeyError, IndexError) as failure:
            self._record_failure(visit, failure)
            return []

    def _check(self, visit: _Visit) -> None:
        checks = self._checks(visit.node_id)
        problems = checks.problems()
        linked = {node for node, _ in checks.links()}
        if problems or linked & self.bad:
            self.bad.add(visit.node_id)
        self.problems[visit.node_id] = problems

    def _checks(self, node_id: str) -> InputChecks:
        described = self.graph[node_id]
        return InputChecks(
            self.graph, self.nodes, self.folders, described["inputs"], self.nodes[described["class_type"]]
        )

    def _record_failure(self, visit: _Visit, failure: Exception) -> None:
        """Something raised while this node was checked: told at the node itself, with the link that led to it."""
        self.bad.add(visit.node_id)
        self.problems[visit.node_id] = [_exception_problem(visit, failure)]


def _exception_problem(visit: _Visit, failure: Exception) -> Problem:
    trace = ['  File "/comfyui/execution.py", line 1, in validate_inputs\n']
    kind = type(failure).__name__
    if visit.link is None:
        extra = {"exception_type": kind, "traceback": trace}
        return Problem("exception_during_validation", "Exception when validating node", str(failure), extra)
    name, config, link = visit.link
    extra = {
        "input_name": name,
        "input_config": config,
        "exception_message": str(failure),
        "exception_type": kind,
        "traceback": trace,
        "linked_node": link,
    }
    return Problem("exception_during_inner_validation", "Exception when validating inner node", str(failure), extra)
