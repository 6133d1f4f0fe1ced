"""The order in which the nodes of one graph run.

Pure. Holds which nodes wait for which; picks as ComfyUI does: an output node that can run goes first, then what an
output node waits for, then whatever was found first. Cached nodes are no obstacle and do not run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def is_link(value: object) -> TypeGuard[list[Any]]:
    """Is this input value another node's output, `[node_id, slot]`?"""
    return (
        isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int | float)
    )


@dataclass(slots=True)
class Schedule:
    """Nodes still to run. `inputs_of` gives a node's inputs, `is_cached` and `is_output` are asked by node id."""

    inputs_of: Callable[[str], Mapping[str, Any]]
    is_cached: Callable[[str], bool]
    is_output: Callable[[str], bool]
    is_async: Callable[[str], bool]
    _waits_for: dict[str, int] = field(default_factory=dict)
    _holds_up: dict[str, dict[str, None]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._waits_for)

    def add(self, node_id: str) -> None:
        """A node that has to run, and with it everything it needs."""
        links: list[tuple[str, str]] = []
        found = [node_id]
        while found:
            node = found.pop()
            if node in self._waits_for:
                continue
            self._waits_for[node] = 0
            self._holds_up.setdefault(node, {})
            for value in self.inputs_of(node).values():
                if is_link(value) and not self.is_cached(value[0]):
                    found.append(value[0])
                    links.append((value[0], node))
        for source, target in links:
            self.hold_up(target, source)

    def hold_up(self, node_id: str, by: str) -> None:
        """`node_id` may run only when `by` is done."""
        if node_id not in self._holds_up.setdefault(by, {}):
            self._holds_up[by][node_id] = None
            self._waits_for[node_id] += 1

    def depends_on(self, node_id: str, sources: Iterable[str]) -> None:
        """Add what is missing of `sources` and let `node_id` wait for all of them."""
        for source in sources:
            if not self.is_cached(source):
                self.add(source)
                self.hold_up(node_id, source)

    def suspend(self, node_id: str) -> None:
        """Not ready, for a reason outside of the graph."""
        self._waits_for[node_id] += 1

    def resume(self, node_id: str) -> None:
        """The reason is gone."""
        self._waits_for[node_id] -= 1

    def done(self, node_id: str) -> None:
        """This node ran."""
        del self._waits_for[node_id]
        for held_up in self._holds_up.pop(node_id):
            self._waits_for[held_up] -= 1

    def pick(self) -> str | None:
        """The node to run now; None when all that is left waits."""
        ready = [node for node, waits in self._waits_for.items() if not waits]
        if len(ready) < 2:
            return ready[0] if ready else None
        return (
            next((node for node in ready if self.is_output(node)), None)
            or next((node for node in ready if self.is_async(node)), None)
            or next((node for node in ready if self._feeds_output(node)), None)
            or next((node for node in ready if any(self._feeds_output(next_) for next_ in self._holds_up[node])), None)
            or ready[0]
        )

    def _feeds_output(self, node: str) -> bool:
        return any(self.is_output(next_) for next_ in self._holds_up.get(node, ()))
