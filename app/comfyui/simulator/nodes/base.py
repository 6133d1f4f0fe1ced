"""What a node class is, and what it may do while it runs.

Owns the contract between the executor and the nodes. A node is its `/object_info` definition and a function, called on
the worker thread, once per element when its inputs are lists, with all inputs resolved to values.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from PIL.Image import Image

    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.options import SimulatorOptions

Inputs: TypeAlias = Mapping[str, Any]
"""A node's inputs by name: foreign JSON, or whatever the node before it returned."""

Definition: TypeAlias = Mapping[str, Any]
"""One entry of `/object_info`."""

Graph: TypeAlias = dict[str, Any]
"""A workflow in API format, as it came: foreign JSON."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """An output value that keeps what depends on it from running; its message is told as `ExecutionBlocked`."""

    message: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """An output value that is another node's output; only together with `Outputs.expand`."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a node made: a value per output slot, ui values for `executed` and history, and nodes it expands into."""

    values: Sequence[object] = ()
    ui: Mapping[str, list[Any]] | None = None
    expand: Graph | None = None


class Run(Protocol):
    """What a running node sees of its server."""

    prompt_id: str
    node_id: str
    graph: Graph
    extra_pnginfo: Mapping[str, Any]

    @property
    def folders(self) -> Folders: ...
    @property
    def options(self) -> SimulatorOptions: ...

    def progress(
        self, value: int, maximum: int, picture: Callable[[], Image] | None = None, image_format: str = "JPEG"
    ) -> None:
        """Report a step; raises Interrupted if the prompt is to stop. The picture is drawn only if it is sent."""

    def text(self, text: str) -> None:
        """Show a text on the node: a type 3 frame to every socket."""

    def event(self, message_type: str, data: object) -> None:
        """An event of a third party, to every socket."""

    def sleep(self, seconds: float) -> None:
        """Take time, as a GPU would. Does not look at the interrupt flag; ends early only when the server stops."""

    def check_interrupted(self) -> None:
        """Raises Interrupted if the prompt is to stop."""


NodeFunction: TypeAlias = Callable[[Run, Inputs], Outputs | Awaitable[Outputs]]
Fingerprint: TypeAlias = Callable[["Folders", Inputs], str | None]
Complaint: TypeAlias = Callable[["Folders", Inputs], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node class.

    `fingerprint` is ComfyUI's IS_CHANGED: results are reused only while it stays equal; never equal means never. It is
    text, because the cache keeps no fingerprint: an object's address may come again once the object is gone.
    `complaint` checks the inputs in `complains_about` at submission and returns a text if they will not do.
    """

    definition: Definition
    function: NodeFunction
    fingerprint: Fingerprint | None = None
    complaint: Complaint | None = None
    complains_about: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_output(self) -> bool:
        return bool(self.definition["output_node"])

    @property
    def output_types(self) -> tuple[str, ...]:
        return tuple(self.definition["output"])

    @property
    def output_is_list(self) -> tuple[bool, ...]:
        return tuple(self.definition["output_is_list"])

    def input_spec(self, name: str) -> tuple[str, Any, Mapping[str, Any]] | None:
        """Group, kind and settings of an input; None if there is no such input."""
        for group in ("required", "optional", "hidden"):
            spec = self.definition["input"].get(group, {}).get(name)
            if spec is not None:
                return group, spec[0], (spec[1] if len(spec) > 1 and not isinstance(spec, str) else {})
        return None


class Interrupted(RuntimeError):
    """The prompt was told to stop, and the node noticed."""


def define(
    name: str,
    *,
    required: Mapping[str, list[Any]] | None = None,
    optional: Mapping[str, list[Any]] | None = None,
    output: Sequence[str] = (),
    output_is_list: Sequence[bool] | None = None,
    is_output: bool = False,
) -> Definition:
    """A definition of the real shape, for node classes of one's own."""
    groups = {"required": dict(required or {})} | ({"optional": dict(optional)} if optional else {})
    return {
        "input": groups,
        "input_order": {group: list(inputs) for group, inputs in groups.items()},
        "output": list(output),
        "output_is_list": list(output_is_list or [False] * len(output)),
        "output_name": list(output),
        "name": name,
        "display_name": name,
        "description": "",
        "python_module": "custom_nodes.simulator",
        "category": "simulator",
        "output_node": is_output,
    }
