"""Knobs for everything a real ComfyUI, or the network before it, does wrong.

Owns the values only; the parts they disturb look at them each time, so a knob may be turned at any moment.
Section numbers are those of COMFYUI_PROTOCOL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

ANY_NODE = "*any*"
"""Stands for every node in a pattern, since None is a node of its own (`executing {node: null}`)."""

NodePattern = str | None


class LostReply(StrEnum):
    """What becomes of the answer to an accepted POST /prompt."""

    CUT = "cut"
    """The connection is dropped instead of answered."""
    SILENCE = "silence"
    """The connection stays open and nothing ever comes."""


@dataclass(frozen=True, slots=True)
class NodeFailure:
    """The exception a node raises instead of running."""

    message: str = "simulated failure"
    exception_type: str = "RuntimeError"


OUT_OF_MEMORY = NodeFailure("Allocation on device 0 would exceed allowed memory. (simulated)", "torch.OutOfMemoryError")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Messages of one type, of one node or of any."""

    message_type: str
    node: NodePattern = ANY_NODE

    def matches(self, message_type: str, node: str | None) -> bool:
        return self.message_type == message_type and self.node in (ANY_NODE, node)


@dataclass(slots=True, kw_only=True)
class Faults:
    """Everything off by default. `reset()` puts it back so."""

    # HTTP
    http_status: dict[str, int] = field(default_factory=dict)
    """Routes that answer only this status, by `POST /prompt` or for all methods by `/prompt`. 5xx are plain text."""
    submit_delay_s: float = 0.0
    """POST /prompt waits this long before it looks at the request."""
    lost_reply: LostReply | None = None
    """POST /prompt queues the prompt, but its answer is lost: the caller knows nothing of its fate."""
    ignore_prompt_id: bool = False
    """A fork that answers, and uses, an id of its own."""
    slow_view_s: float = 0.0
    """/view waits this long before it answers."""
    vanished_outputs: bool = False
    """/view answers 404: the file was deleted meanwhile, or a cached output names a dead file (section 4)."""

    # queue, worker and history
    history_delay_s: float = 0.0
    """Time from `execution_success` or `_error` to the history entry, `status` and `executing {null}` (section 5)."""
    history_empty_for_s: float = 0.0
    """GET /history/{id} says `{}` for this long after the entry was written."""
    forget_prompts: bool = False
    """Prompts accepted from now on get a 200 and are in neither queue nor history: lost (section 8)."""
    dead_worker: bool = False
    """The worker stands at the next prompt it takes: it "runs" for ever, and HTTP says 200 (section 10)."""
    failures: dict[str, NodeFailure] = field(default_factory=dict)
    """Nodes that raise, by class name or by node id."""
    out_of_memory: bool = False
    """Every sampler raises torch's out-of-memory error (section 9)."""
    output_order: tuple[str, ...] = ()
    """Output nodes in the order ComfyUI happens to take them from its set; the rest follow in graph order."""

    # WebSocket
    mute_sockets: bool = False
    """Sockets open, are greeted and answer pings, and then hear nothing (section 6)."""
    deaf_after_reconnect: bool = False
    """A socket that reuses a clientId is unregistered after its greeting: the old one's end came late (section 6)."""
    duplicate_frames: bool = False
    """Each frame is sent twice."""
    junk_frames: bool = False
    """Before each frame comes one that no client can read, or should: see `frames.JUNK`."""
    reorder_frames: bool = False
    """Neighbouring frames change places."""
    nan_in_frames: bool = False
    """`executed`, `progress` and history outputs hold NaN and Infinity as bare words (section 9)."""
    huge_frame_bytes: int = 0
    """`executed` frames are padded to at least this size (section 3.4)."""
    cuts: list[Pattern] = field(default_factory=list)
    """See `cut_socket_before`."""

    _refuse_connections: bool = field(default=False, init=False)
    on_refuse: Callable[[bool], None] | None = field(default=None, init=False, repr=False)
    """Told when `refuse_connections` changes; set by the simulator."""

    @property
    def refuse_connections(self) -> bool:
        """The server is down: open connections are dropped, new ones refused; prompts and files are kept."""
        return self._refuse_connections

    @refuse_connections.setter
    def refuse_connections(self, refuse: bool) -> None:
        changed = refuse != self._refuse_connections
        self._refuse_connections = refuse
        if changed and self.on_refuse is not None:
            self.on_refuse(refuse)

    def cut_socket_before(self, message_type: str, node: NodePattern = ANY_NODE) -> None:
        """Drop the connection (no close frame) of the socket that would get the next such message; once per call."""
        self.cuts.append(Pattern(message_type, node))

    def takes_cut(self, message_type: str, node: str | None) -> bool:
        """Is it time for a cut? Uses the pattern up."""
        for pattern in self.cuts:
            if pattern.matches(message_type, node):
                self.cuts.remove(pattern)
                return True
        return False

    def failure_of(self, node_id: str, class_type: str) -> NodeFailure | None:
        """The exception this node has to raise, if any."""
        if (
            self.out_of_memory
            and class_type.startswith(("KSampler", "SamplerCustom"))
            and class_type != "KSamplerSelect"
        ):
            return OUT_OF_MEMORY
        return self.failures.get(node_id) or self.failures.get(class_type)

    def reset(self) -> None:
        """Every knob back to off."""
        self.refuse_connections = False
        fresh = Faults()
        for name in self.__slots__:
            if name not in ("on_refuse", "_refuse_connections"):
                setattr(self, name, getattr(fresh, name))
