"""How far the nodes of the running prompt are, and how that is told.

Owns the state of one prompt's nodes; used by the worker thread. Order and shapes as in COMFYUI_PROTOCOL section 3:
`progress_state`, preview with metadata, `progress`, plain preview.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.comfyui.simulator import frames
from app.comfyui.simulator.frames import Frame, ImageFormat, Said
from app.comfyui.simulator.options import Dialect

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: itself, or inside the node that expanded into it."""

    node_id: str
    display_id: str
    parent_id: str | None
    real_id: str

    def as_meta(self) -> dict[str, str | None]:
        """A node's part of `meta` in the history."""
        return {
            "node_id": self.node_id,
            "display_node": self.display_id,
            "parent_node": self.parent_id,
            "real_node_id": self.real_id,
        }


@dataclass(slots=True)
class Progress:
    """One prompt's progress. `say` publishes; `to` is the prompt's client id, None tells everybody."""

    prompt_id: str
    to: object
    dialect: Dialect
    say: Callable[[Frame], None]
    flags: Callable[[], object]
    """The feature flags of the receiver; a real server fails here if they are no object (section 10)."""
    _nodes: dict[str, dict[str, object]] = field(default_factory=dict)

    def start(self, place: Place) -> None:
        self._set(place, 0.0, 1.0, "running")

    def finish(self, place: Place) -> None:
        known = self._nodes.get(place.node_id)
        maximum = known["max"] if known else 1
        self._set(place, maximum, maximum, "finished")

    def step(self, place: Place, value: int, maximum: int, picture: tuple[bytes, ImageFormat] | None) -> None:
        """A node's own report, with a picture or without."""
        self._set(place, value, maximum, "running")
        flags = self.flags() if picture is not None else {}
        wants_metadata = flags.get("supports_preview_metadata") is True  # type: ignore[attr-defined]  # see `flags`
        if picture is not None and wants_metadata:
            self._say_preview(place, frames.preview_with_metadata(picture[0], self._metadata(place, picture[1])))
        self._say_step(place, value, maximum)
        if picture is not None and not wants_metadata:
            self._say_preview(place, frames.preview(*picture))

    def _say_step(self, place: Place, value: int, maximum: int) -> None:
        told: dict[str, object] = {"value": value, "max": maximum, "prompt_id": self.prompt_id}
        if self.dialect is Dialect.LEGACY:
            self.say(Frame(Said.EXECUTION_PROGRESS, told, self.to, place.node_id))
        elif self.dialect is not Dialect.STATE_ONLY:
            self.say(Frame(Said.PROGRESS, told | {"node": place.node_id}, self.to, place.node_id))

    def _say_preview(self, place: Place, data: bytes) -> None:
        self.say(Frame(Said.PREVIEW, data, self.to, place.node_id))

    def _set(self, place: Place, value: object, maximum: object, state: str) -> None:
        self._nodes[place.node_id] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": place.node_id,
            "prompt_id": self.prompt_id,
            "display_node_id": place.display_id,
            "parent_node_id": place.parent_id,
            "real_node_id": place.real_id,
        }
        if self.dialect in (Dialect.MODERN, Dialect.STATE_ONLY):
            state_of_all = {"prompt_id": self.prompt_id, "nodes": dict(self._nodes)}
            self.say(Frame(Said.PROGRESS_STATE, state_of_all, self.to, place.node_id))

    def _metadata(self, place: Place, image_format: ImageFormat) -> dict[str, object]:
        return {
            "node_id": place.node_id,
            "prompt_id": self.prompt_id,
            "display_node_id": place.display_id,
            "parent_node_id": place.parent_id,
            "real_node_id": place.real_id,
            "image_type": f"image/{image_format.name.lower()}",
        }
