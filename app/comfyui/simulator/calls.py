"""Calls a node's function: once, or once per element of its list inputs, and puts the results together.

Owns the node's view of the server (`Run`). Looks at the interrupt flag before each call, as ComfyUI does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from app.comfyui.simulator import frames, pictures
from app.comfyui.simulator.failing import ENDINGS, SimulatedError
from app.comfyui.simulator.frames import Frame, ImageFormat, Said
from app.comfyui.simulator.nodes.base import Blocked, Interrupted, Outputs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from PIL.Image import Image

    from app.comfyui.simulator.execution import Execution
    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.nodes.base import Graph, Node
    from app.comfyui.simulator.options import SimulatorOptions
    from app.comfyui.simulator.progress import Place


@dataclass(frozen=True, slots=True)
class Made:
    """All a node made: a list of values per slot, merged ui values, and nodes to add before it is done."""

    values: list[list[Any]]
    ui: dict[str, list[Any]] = field(default_factory=dict)
    expands: Graph = field(default_factory=dict)


class RunningNode:
    """What the node sees (`nodes.base.Run`)."""

    def __init__(self, execution: Execution, place: Place) -> None:
        item = execution.item
        self.prompt_id, self.node_id, self.graph = item.prompt_id, place.node_id, item.graph
        self.extra_pnginfo: Mapping[str, Any] = item.extra_data.get("extra_pnginfo") or {}
        self._execution, self._place, self._bench = execution, place, execution.bench

    @property
    def folders(self) -> Folders:
        return self._bench.folders

    @property
    def options(self) -> SimulatorOptions:
        return self._bench.options

    def progress(
        self, value: int, maximum: int, picture: Callable[[], Image] | None = None, image_format: str = "JPEG"
    ) -> None:
        self.check_interrupted()
        encoded = None
        if picture is not None:
            encoded = (pictures.encode(picture(), image_format), ImageFormat[image_format])
        self._execution.progress.step(self._place, value, maximum, encoded)

    def text(self, text: str) -> None:
        self._bench.say(Frame(Said.TEXT, frames.node_text(self.node_id, text), None, self.node_id))

    def event(self, message_type: str, data: object) -> None:
        self._bench.say(Frame(message_type, data, None, self.node_id))

    def sleep(self, seconds: float) -> None:
        self._bench.sleep(seconds)

    def check_interrupted(self) -> None:
        if self._bench.interrupt.is_set():
            self._bench.interrupt.clear()
            raise Interrupted("interrupted")


class Calls:
    """The calls of one node."""

    def __init__(self, execution: Execution, place: Place, node: Node) -> None:
        self._execution, self._place, self._node = execution, place, node
        self._run = RunningNode(execution, place)

    def run(self, inputs: Mapping[str, list[Any]]) -> Made:
        """Call a plain node."""
        return self._joined([self._call(one) for one in _elements(inputs)])

    async def run_async(self, inputs: Mapping[str, list[Any]]) -> Made | BaseException:
        """Call a node whose function is a coroutine. What it raises is returned, for a task group would wrap it."""
        made = []
        try:
            for one in _elements(inputs):
                outputs = self._begin(one)
                made.append(outputs if isinstance(outputs, Outputs) else await outputs)
        except ENDINGS as ended:
            return ended
        return self._joined(made)

    def _call(self, inputs: Mapping[str, Any]) -> Outputs:
        return cast("Outputs", self._begin(inputs))

    def _begin(self, inputs: Mapping[str, Any]) -> Outputs | Awaitable[Outputs]:
        blocked = next((value for value in inputs.values() if isinstance(value, Blocked)), None)
        if blocked is not None:
            return self._blocked(blocked)
        self._run.check_interrupted()
        failure = self._execution.bench.faults.failure_of(self._place.node_id, str(self._node.definition["name"]))
        if failure is not None:
            raise SimulatedError(failure)
        return self._node.function(self._run, inputs)

    def _blocked(self, blocked: Blocked) -> Outputs:
        """A blocked node does not run; only the first one behind a message tells of it."""
        if blocked.message is not None:
            self._execution.tell_blocked(self._place.node_id, blocked.message)
        return Outputs(values=[Blocked() for _ in self._node.output_types])

    def _joined(self, made: Sequence[Outputs]) -> Made:
        values: list[list[Any]] = [[] for _ in self._node.output_types]
        ui: dict[str, list[Any]] = {}
        expands: Graph = {}
        for outputs in made:
            for slot, value in enumerate(outputs.values):
                is_several = self._node.output_is_list[slot] and isinstance(value, list)
                values[slot].extend(cast("list[Any]", value) if is_several else [value])
            for key, items in (outputs.ui or {}).items():
                ui.setdefault(key, []).extend(items)
            expands |= outputs.expand or {}
        return Made(values, ui, expands)


def _elements(inputs: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """One set of inputs per element of the longest list; shorter lists repeat their last element."""
    count = max((len(values) for values in inputs.values()), default=1)
    for index in range(count):
        yield {name: values[min(index, len(values) - 1)] for name, values in inputs.items() if values}
