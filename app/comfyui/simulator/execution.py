"""Runs one prompt: its nodes in order, with ComfyUI's messages in ComfyUI's order (COMFYUI_PROTOCOL section 4).

Owns the life of one prompt on the worker thread. Says everything through `Bench.say`; writes no history.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, Protocol

from app.comfyui.simulator import failing
from app.comfyui.simulator.caching import Cache, Keys, Result
from app.comfyui.simulator.calls import Calls, Made
from app.comfyui.simulator.failing import ENDINGS, Forgotten, Stopped
from app.comfyui.simulator.frames import Frame, Said
from app.comfyui.simulator.nodes.base import Interrupted, Link
from app.comfyui.simulator.progress import Place, Progress
from app.comfyui.simulator.prompts import Finished, Item
from app.comfyui.simulator.schedule import Schedule, is_link

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from app.comfyui.simulator.faults import Faults
    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.nodes.base import Graph, Node
    from app.comfyui.simulator.options import SimulatorOptions


class Bench(Protocol):
    """What an execution uses of the worker it runs on."""

    options: SimulatorOptions
    faults: Faults
    folders: Folders
    nodes: Mapping[str, Node]
    cache: Cache
    client_id: object
    last_node_id: str | None
    interrupt: threading.Event

    def say(self, frame: Frame) -> None: ...
    def sleep(self, seconds: float) -> None: ...
    def flags(self) -> object: ...


class Execution:
    """One prompt. `run` returns its history; a failure of a node is part of that, not an exception."""

    def __init__(self, bench: Bench, item: Item) -> None:
        self.bench = bench
        self.item = item
        self.graph: Graph = dict(item.graph)
        self.finished = Finished()
        self.progress = Progress(item.prompt_id, bench.client_id, bench.options.dialect, bench.say, bench.flags)
        self._places = {node_id: Place(node_id, node_id, None, node_id) for node_id in self.graph}
        self._executed: dict[str, None] = {}
        self._made: dict[str, Made] = {}
        self._tasks: dict[str, asyncio.Task[Made | BaseException]] = {}
        self._at: tuple[str, Mapping[str, list[Any]]] = ("", {})
        self._schedule = Schedule(self._inputs_of, self._is_cached, self._is_output, self._is_async)

    async def run(self) -> Finished:
        """Run it to its end, whichever that is."""
        bench = self.bench
        self._tell(Said.EXECUTION_START, {})
        bench.cache.begin(Keys(self.graph, bench.nodes, bench.folders), list(self.graph))
        self._tell(Said.EXECUTION_CACHED, {}, nodes=[node_id for node_id in self.graph if self._is_cached(node_id)])
        for node_id in self._outputs_in_order():
            self._schedule.add(node_id)
        async with asyncio.TaskGroup() as group:
            ended = await self._run_nodes(group)
        match ended:
            case None:
                self._tell(Said.EXECUTION_SUCCESS, {})
            case Interrupted():
                self._tell_interrupted()
            case Stopped() | Forgotten() | SystemExit():
                raise ended
            case failure:
                self._tell_failed(failure)
        bench.last_node_id = None
        return self.finished

    async def _run_nodes(self, group: asyncio.TaskGroup) -> BaseException | None:
        """Run all nodes; what ended it early is returned, because a task group would wrap what is raised."""
        try:
            while self._schedule:
                node_id = self._schedule.pick()
                if node_id is None:
                    await self._wait_for_async_nodes()
                else:
                    self._run_node(node_id, group)
        except ENDINGS as ended:
            for task in self._tasks.values():
                task.cancel()
            return ended
        return None

    async def _wait_for_async_nodes(self) -> None:
        waiting = {task: node_id for node_id, task in self._tasks.items() if node_id not in self._made}
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task, node_id in waiting.items():
            if task in done:
                self._take(node_id, task.result())

    def _take(self, node_id: str, made: Made | BaseException) -> None:
        if isinstance(made, BaseException):
            self._at = (node_id, self._resolved(node_id))
            raise made
        self._made[node_id] = made
        self._schedule.resume(node_id)

    def _run_node(self, node_id: str, group: asyncio.TaskGroup) -> None:
        cached = self.bench.cache.get(node_id)
        if cached is not None and node_id not in self._made:
            self._reuse(node_id, cached)
            return
        made = self._made.get(node_id)
        if made is None:
            made = self._start(node_id, group)
            if made is None:
                return
        if made.expands:
            self._expand(node_id, made)
        else:
            self._finish(node_id, made)

    def _start(self, node_id: str, group: asyncio.TaskGroup) -> Made | None:
        """Call the node; None if it is asynchronous and now under way."""
        place, class_type = self._places[node_id], self.graph[node_id]["class_type"]
        self.progress.start(place)
        if self.bench.client_id is not None:
            self.bench.last_node_id = place.display_id
        self._send(Said.EXECUTING, {"node": node_id, "display_node": place.display_id}, node_id)
        inputs = self._resolved(node_id)
        self._at = (node_id, inputs)
        calls = Calls(self, place, self.bench.nodes[class_type])
        if not self._is_async(node_id):
            return calls.run(inputs)
        self._schedule.suspend(node_id)
        self._tasks[node_id] = group.create_task(calls.run_async(inputs), name=f"node {node_id}")
        return None

    def _expand(self, node_id: str, made: Made) -> None:
        """Add the nodes this one stands for and let it wait for them."""
        parent = self._places[node_id]
        for inner_id, described in made.expands.items():
            self.graph[inner_id] = described
            self._places[inner_id] = Place(inner_id, parent.display_id, parent.node_id, parent.real_id)
        outputs = [inner_id for inner_id in made.expands if self._is_output(inner_id)]
        links = [value.node_id for slot in made.values for value in slot if isinstance(value, Link)]
        self._made[node_id] = Made(made.values, made.ui)
        self._schedule.depends_on(node_id, [*links, *outputs])

    def _finish(self, node_id: str, made: Made) -> None:
        place = self._places[node_id]
        values = [[self._followed(value) for value in slot] for slot in made.values]
        if made.ui:
            self._send(Said.EXECUTED, {"node": node_id, "display_node": place.display_id, "output": made.ui}, node_id)
            self._record(node_id, made.ui, place.as_meta())
        self.progress.finish(place)
        self.bench.cache.put(node_id, Result(values, made.ui or None, place.as_meta() if made.ui else None))
        self._executed[node_id] = None
        self._schedule.done(node_id)

    def _reuse(self, node_id: str, result: Result) -> None:
        """A cached output is announced again, under its old file names, without `executing`."""
        place = self._places[node_id]
        told = {"node": node_id, "display_node": place.display_id, "output": result.ui}
        self._send(Said.EXECUTED, told, node_id)
        if result.ui is not None:
            self._record(node_id, result.ui, place.as_meta())
        self.progress.finish(place)
        self._schedule.done(node_id)

    def tell_blocked(self, node_id: str, message: str) -> None:
        """A blocked branch: an `execution_error` without a timestamp, after which the prompt goes on."""
        told = {
            "node_id": node_id,
            "node_type": self.graph[node_id]["class_type"],
            "executed": list(self._executed),
            "exception_message": f"Execution Blocked: {message}",
            "exception_type": "ExecutionBlocked",
            "traceback": [],
            "current_inputs": [],
            "current_outputs": [],
        }
        if self.bench.client_id is not None:
            data = {"prompt_id": self.item.prompt_id} | told
            self.bench.say(Frame(Said.EXECUTION_ERROR, data, self.bench.client_id, node_id))

    def _tell_failed(self, failure: BaseException) -> None:
        node_id, inputs = self._at
        real_id = self._places[node_id].real_id
        told = {
            "node_id": real_id,
            "node_type": self.graph[real_id]["class_type"],
            "executed": list(self._executed),
            "exception_message": failing.exception_message(failure),
            "exception_type": failing.exception_type(failure),
            "traceback": failing.traceback(self.graph[node_id]["class_type"]),
            "current_inputs": failing.shown_inputs(inputs),
            "current_outputs": list(self.graph),
        }
        self.finished.completed = False
        self._tell(Said.EXECUTION_ERROR, told, node=node_id)

    def _tell_interrupted(self) -> None:
        real_id = self._places[self._at[0]].real_id
        told = {
            "node_id": real_id,
            "node_type": self.graph[real_id]["class_type"],
            "executed": list(self._executed),
        }
        self.finished.completed = False
        self._tell(Said.EXECUTION_INTERRUPTED, told, node=self._at[0], is_for_all=True)

    def _tell(
        self,
        message_type: Said,
        told: dict[str, Any],
        *,
        nodes: list[str] | None = None,
        node: str | None = None,
        is_for_all: bool = False,
    ) -> None:
        """A message that also goes into the history. Without a client id nobody hears it, unless it is for all."""
        first = {} if nodes is None else {"nodes": nodes}
        data = first | {"prompt_id": self.item.prompt_id} | told | {"timestamp": time.time_ns() // 1_000_000}
        self.finished.messages.append((message_type.value, data))
        if is_for_all or self.bench.client_id is not None:
            self.bench.say(Frame(message_type, data, self.bench.client_id, node))

    def _send(self, message_type: Said, data: dict[str, Any], node: str) -> None:
        if self.bench.client_id is not None:
            self.bench.say(Frame(message_type, data | {"prompt_id": self.item.prompt_id}, self.bench.client_id, node))

    def _record(self, node_id: str, ui: Mapping[str, list[Any]], meta: dict[str, str | None]) -> None:
        self.finished.outputs[node_id] = ui
        self.finished.meta[node_id] = meta

    def _resolved(self, node_id: str) -> dict[str, list[Any]]:
        """Inputs as lists of values: one element, unless a list node made more."""
        return {
            name: self._values(value[0])[value[1]] if is_link(value) else [value]
            for name, value in self._inputs_of(node_id).items()
        }

    def _values(self, node_id: str) -> list[list[Any]]:
        result = self.bench.cache.get(node_id)
        return result.values if result else []

    def _followed(self, value: object) -> object:
        return self._values(value.node_id)[value.slot][0] if isinstance(value, Link) else value

    def _outputs_in_order(self) -> list[str]:
        wanted = [node_id for node_id in self.bench.faults.output_order if node_id in self.item.outputs]
        return wanted + [node_id for node_id in self.item.outputs if node_id not in wanted]

    def _inputs_of(self, node_id: str) -> dict[str, Any]:
        inputs: dict[str, Any] = self.graph[node_id]["inputs"]
        return inputs

    def _is_cached(self, node_id: str) -> bool:
        return node_id in self.graph and self.bench.cache.get(node_id) is not None

    def _is_output(self, node_id: str) -> bool:
        return self.bench.nodes[self.graph[node_id]["class_type"]].is_output

    def _is_async(self, node_id: str) -> bool:
        return inspect.iscoroutinefunction(self.bench.nodes[self.graph[node_id]["class_type"]].function)
