"""Results of nodes, kept from one prompt to the next.

Owns them; used by the worker thread alone. As ComfyUI does by default, only results that the current prompt could use
survive its start. The key is what a node computes (class, inputs, ancestors), not its id (COMFYUI_PROTOCOL section 4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from app.comfyui.simulator.schedule import is_link

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.nodes.base import Graph, Node


@dataclass(frozen=True, slots=True)
class Result:
    """What a node made: one list per output slot (a list node fills in several), and its ui values with their place."""

    values: list[list[Any]]
    ui: Mapping[str, list[Any]] | None = None
    meta: Mapping[str, str | None] | None = None


@dataclass(slots=True)
class Keys:
    """The cache keys of one graph, made on demand."""

    graph: Graph
    nodes: Mapping[str, Node]
    folders: Folders
    _known: dict[str, str] = field(default_factory=dict)

    def of(self, node_id: str) -> str:
        """The key of a node, equal for nodes that compute the same."""
        todo = [node_id]
        seen: set[str] = set()
        while todo and node_id not in self._known:
            node = todo[-1]
            missing = [] if node in seen else [source for source in self._sources(node) if source not in self._known]
            seen.add(node)
            todo.extend(missing)
            if not missing:
                self._known[node] = self._make(todo.pop())
        return self._known[node_id]

    def _sources(self, node_id: str) -> list[str]:
        """Nodes this one needs. Parts of a graph that will not run may have dead links and cycles."""
        inputs = self.graph[node_id].get("inputs", {})
        return [value[0] for value in inputs.values() if is_link(value) and value[0] in self.graph]

    def _make(self, node_id: str) -> str:
        class_type, inputs = self.graph[node_id]["class_type"], self.graph[node_id].get("inputs", {})
        fingerprint = self.nodes[class_type].fingerprint
        changed = fingerprint(self.folders, inputs) if fingerprint else None
        parts = [
            (name, (self._known.get(value[0]), value[1]) if is_link(value) else repr(value))
            for name, value in sorted(inputs.items())
        ]
        return blake2b(repr((class_type, changed, parts)).encode(), digest_size=16).hexdigest()


class Cache:
    """Results by key."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._results: dict[str, Result] = {}
        self._keys: Keys | None = None

    def begin(self, keys: Keys, node_ids: list[str]) -> None:
        """A prompt starts: drop what none of its nodes can use."""
        self._keys = keys
        usable = {keys.of(node_id) for node_id in node_ids} if self._enabled else set()
        self._results = {key: result for key, result in self._results.items() if key in usable}

    def get(self, node_id: str) -> Result | None:
        """The result a node of the current prompt would have."""
        return self._results.get(self._key(node_id))

    def put(self, node_id: str, result: Result) -> None:
        """Keep a node's result."""
        self._results[self._key(node_id)] = result

    def clear(self) -> None:
        """Forget everything (`POST /free`)."""
        self._results.clear()

    def _key(self, node_id: str) -> str:
        assert self._keys is not None, "begin() comes first"  # noqa: S101  # a caller's mistake, not an input's
        return self._keys.of(node_id)
