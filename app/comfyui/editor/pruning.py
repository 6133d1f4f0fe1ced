"""Which nodes cannot run because something they need is muted or missing, and what is left without them.

Pure. Owns the nodes on their way into a graph; never looks at values. A server runs the part of a graph that is whole
and drops the rest (COMFYUI_PROTOCOL section 2.1); this drops the same before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from app.comfyui.definitions import NodeDefinition
from app.comfyui.editor.files import EditorInput
from app.comfyui.editor.fits import is_control
from app.comfyui.editor.scopes import Placed
from app.comfyui.editor.sources import Control, Lack, Nothing, Output, Source, Sources
from app.comfyui.problems import Problem, shown


@dataclass(slots=True)
class Candidate:
    """A node that may be sent. `sources` are what feeds its linked inputs; `lack` is why it cannot run."""

    placed: Placed
    definition: NodeDefinition
    sources: dict[str, Source] = field(default_factory=dict)
    lack: str | None = None

    def feed(self, sources: Sources) -> Iterator[Problem]:
        """Find what feeds every linked input; yields the links that cannot be followed."""
        for each in self.placed.node.inputs:
            source = sources.of(self.placed.scope, each)
            if each.link is None or not each.name or source == Control(self.placed, each.name):
                continue
            if not isinstance(source, Nothing):
                self.sources[each.name] = source
            elif source.lack is Lack.BROKEN:
                yield self.placed.problem(f"cannot run: its input {shown(each.name)} {source.reason}")
            else:
                self._lack(each, source)

    def _lack(self, each: EditorInput, source: Nothing) -> None:
        """A control has a value of its own, unless what feeds it is muted; an optional input can do without."""
        spec = self.definition.inputs.get(each.name)
        keeps_value = each.widget is not None or (spec is not None and is_control(spec))
        if source.lack is Lack.UNFED and keeps_value:
            return
        self.sources[each.name] = source
        if spec is not None and spec.is_required and self.lack is None:
            self.lack = f"its input {shown(each.name)} {source.reason}"

    def upstream(self) -> Iterator[str]:
        """API ids of what feeds it."""
        return (each.api_id for each in self.sources.values() if isinstance(each, Output))


def prune(nodes: dict[str, Candidate]) -> list[str]:
    """Remove what cannot run, and what needs that; the answer says in sentences which nodes and why."""
    consumers: dict[str, list[str]] = {}
    for api_id, node in nodes.items():
        for source in node.upstream():
            consumers.setdefault(source, []).append(api_id)
    waiting = [api_id for api_id, node in nodes.items() if node.lack is not None]
    lost = dict.fromkeys(waiting)
    while waiting:
        failed = waiting.pop()
        for consumer in consumers.get(failed, ()):
            if consumer not in lost:
                nodes[consumer].lack = f"it needs {nodes[failed].placed}, which does not run"
                lost[consumer] = None
                waiting.append(consumer)
    return _removed(nodes, lost)


def _removed(nodes: dict[str, Candidate], lost: Mapping[str, None]) -> list[str]:
    gone = [nodes.pop(api_id) for api_id in lost]
    return [f"{node.placed} is left out: {node.lack}" for node in gone]
