"""Who is connected, and the one task that sends everything to everybody.

Owns the sockets by client id and the queue of frames. Like ComfyUI it awaits every send in turn, so one reader that
stops holds up all others (COMFYUI_PROTOCOL section 7), and it looks up the receiver when a frame is sent, not before.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app.comfyui.simulator.frames import Frame, Said, Wire, junk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Send

    from app.comfyui.simulator.faults import Faults
    from app.comfyui.simulator.journal import Journal

log = logging.getLogger(__name__)

_REORDER_PATIENCE_S = 0.05
"""How long a frame waits for a neighbour to change places with."""


@dataclass(eq=False, slots=True)
class Socket:
    """One open WebSocket. `flags` is what its first message said; `address` finds its TCP connection."""

    client_id: str
    send: Send
    address: tuple[str, int]
    flags: Any = field(default_factory=dict)

    async def deliver(self, wire: Wire) -> None:
        """Send, and keep quiet if it is gone."""
        key = "text" if isinstance(wire, str) else "bytes"
        try:
            await self.send({"type": "websocket.send", key: wire})
        except (OSError, RuntimeError):
            log.debug("frame for a closed socket dropped", extra={"client_id": self.client_id})


class Publisher:
    """Sends frames. `say` may be called on any thread, the rest on the event loop only."""

    def __init__(self, faults: Faults, journal: Journal, abort: Callable[[tuple[str, int]], None]) -> None:
        self.sockets: dict[Any, Socket] = {}
        self._faults, self._journal, self._abort = faults, journal, abort
        self._frames: deque[Frame] = deque()
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._is_waking = False
        self._junk = junk()

    def say(self, frame: Frame) -> None:
        """Queue a frame; never waits. Unbounded, as ComfyUI's queue is: a stuck socket makes it grow."""
        self._frames.append(frame)
        if not self._is_waking:
            self._is_waking = True
            self._loop.call_soon_threadsafe(self._filled.set)

    def note(self, message_type: str, node: str) -> None:
        """Put into the journal what no socket hears. Any thread."""
        self._loop.call_soon_threadsafe(self._journal.note, message_type, node)

    def flags_of(self, client_id: object) -> Any:
        """The feature flags of the socket that is registered under this id now."""
        socket = self.sockets.get(client_id) if isinstance(client_id, str) else None
        return socket.flags if socket else {}

    async def run(self) -> None:
        """Send until cancelled. Raises TypeError for what JSON cannot say and for a client id that is no key."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            self._is_waking = False
            while self._frames:
                for frame in await self._next():
                    await self._publish(frame)

    async def _next(self) -> list[Frame]:
        first = self._frames.popleft()
        if not self._faults.reorder_frames:
            return [first]
        if not self._frames:
            await asyncio.sleep(_REORDER_PATIENCE_S)
        return [self._frames.popleft(), first] if self._frames else [first]

    async def _publish(self, frame: Frame) -> None:
        receivers = self._receivers(frame)
        if receivers and self._faults.cuts and self._faults.takes_cut(frame.message_type, frame.node):
            for socket in receivers:
                self._abort(socket.address)
            receivers = []
        if receivers and not self._faults.mute_sockets:
            for wire in self._wires(frame):
                for socket in receivers:
                    await socket.deliver(wire)
        self._journal.note(frame.message_type, frame.node)

    def _receivers(self, frame: Frame) -> list[Socket]:
        if frame.to is None:
            return list(self.sockets.values())
        return [self.sockets[frame.to]] if frame.to in self.sockets else []

    def _wires(self, frame: Frame) -> Iterator[Wire]:
        if self._faults.junk_frames:
            yield next(self._junk)
        wire = self._disturbed(frame).encode()
        yield wire
        if self._faults.duplicate_frames:
            yield wire

    def _disturbed(self, frame: Frame) -> Frame:
        data = frame.data
        if not isinstance(data, dict):
            return frame
        if self._faults.nan_in_frames and frame.message_type in (Said.PROGRESS, Said.EXECUTED):
            data = data | {"loss": [math.nan, math.inf]}
        if self._faults.huge_frame_bytes and frame.message_type == Said.EXECUTED:
            output = data["output"] or {}
            data = data | {"output": output | {"padding": ["x" * self._faults.huge_frame_bytes]}}
        return replace(frame, data=data)
