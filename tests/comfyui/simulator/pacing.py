"""Lets simulated nodes take as long as the recorded ones did, told by what was done meanwhile and not by a clock.

Where a node takes time it stands still until everything is done that had been done when the recorded one went on: so an
interrupt comes at the same step, and a queue is looked at while the same prompt runs, however slow the machine is.
Owns how far the replay is. `reach` and `know` are for the event loop, the rest happens on the worker thread.
"""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PIL.Image import Image

    from app.comfyui.simulator import Node, Run, SimulatorOptions
    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.nodes.base import Inputs

_LOOK_S = 0.05
"""How often a node that stands still looks whether its server still wants it."""
_AT_ONCE = -1
"""Before all lines: nothing was heard of this node's time, so nothing can depend on it."""


class Pace:
    """How far the replay is: actions stand before the recorded line `reach` names, and no node goes beyond it."""

    def __init__(self, lines: Sequence[dict[str, Any]]) -> None:
        self._heard = _heard_of(lines)
        self._names: dict[str, str] = {}
        self._paused: Counter[tuple[str, str]] = Counter()
        self._reached = 0
        self._changed = threading.Condition()

    def reach(self, index: int) -> None:
        """All actions that stand before this line of the recording are done."""
        with self._changed:
            self._reached = index
            self._changed.notify_all()

    def know(self, ours: str, recorded: str) -> None:
        """Which recorded prompt id one of the simulator's stands for; its nodes wait for that."""
        with self._changed:
            self._names[ours] = recorded
            self._changed.notify_all()

    def pause(self, run: Run) -> None:
        """One stretch of time of a running node. Ends early only as `Run.sleep` does."""
        place = (run.prompt_id, run.node_id)
        self._paused[place] += 1
        while not self._may_go_on(place, self._paused[place]):
            run.sleep(_LOOK_S / 1000)

    def _may_go_on(self, place: tuple[str, str], nth: int) -> bool:
        prompt_id, _ = place
        with self._changed:
            return self._changed.wait_for(
                lambda: prompt_id in self._names and self._line_after(place, nth) < self._reached, _LOOK_S
            )

    def _line_after(self, place: tuple[str, str], nth: int) -> int:
        """Where the recorded node told that its nth stretch was over: by a step or, after its last, by what follows."""
        prompt_id, node_id = place
        heard = self._heard.get(self._names[prompt_id], [])
        steps = [index for index, kind, node in heard if kind == "progress" and node == node_id]
        if nth <= len(steps):
            return steps[nth - 1]
        starts = [index for index, kind, node in heard if kind == "executing" and node == node_id]
        if not steps and not starts:
            return _AT_ONCE
        after = (index for index, kind, _ in heard if index > max(steps + starts) and not kind.startswith("progress"))
        return next(after, _AT_ONCE)


def _heard_of(lines: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, str, str | None]]]:
    """By recorded prompt id: line, kind and node of what the first socket that heard of it was told."""
    heard: dict[str, list[tuple[int, str, str | None]]] = {}
    ears: dict[str, str] = {}
    for index, line in enumerate(lines):
        said = line.get("json") if line["dir"] == "ws-in" else None
        if not isinstance(said, dict) or "prompt_id" not in said["data"]:
            continue
        prompt_id = said["data"]["prompt_id"]
        if ears.setdefault(prompt_id, line["conn"]) == line["conn"]:
            heard.setdefault(prompt_id, []).append((index, said["type"], said["data"].get("node")))
    return heard


def paced(nodes: Mapping[str, Node], pace: Pace) -> dict[str, Node]:
    """The same node classes, but time passes as `pace` says. Asynchronous ones keep their own time."""
    return {
        name: node if inspect.iscoroutinefunction(node.function) else replace(node, function=_paced(node, pace))
        for name, node in nodes.items()
    }


def _paced(node: Node, pace: Pace) -> Callable[[Run, Inputs], Any]:
    return lambda run, given: node.function(_PacedRun(run, pace), given)


class _PacedRun:
    """A running node's view of its server (`nodes.base.Run`), with another clock."""

    def __init__(self, run: Run, pace: Pace) -> None:
        self.prompt_id, self.node_id, self.graph = run.prompt_id, run.node_id, run.graph
        self.extra_pnginfo = run.extra_pnginfo
        self._run, self._pace = run, pace

    @property
    def folders(self) -> Folders:
        return self._run.folders

    @property
    def options(self) -> SimulatorOptions:
        return self._run.options

    def progress(
        self, value: int, maximum: int, picture: Callable[[], Image] | None = None, image_format: str = "JPEG"
    ) -> None:
        self._run.progress(value, maximum, picture, image_format)

    def text(self, text: str) -> None:
        self._run.text(text)

    def event(self, message_type: str, data: object) -> None:
        self._run.event(message_type, data)

    def sleep(self, seconds: float) -> None:
        self._pace.pause(self._run)

    def check_interrupted(self) -> None:
        self._run.check_interrupted()
