"""One life of a simulated ComfyUI process: from start to kill, with everything it forgets in between.

Owns the listening port, the connections, and all state in memory. A restart is a new `Server` on the same folders.
It runs in the caller's event loop; uvicorn contributes its protocols only, not its process management.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from app.comfyui.simulator import routes_files, routes_info, routes_prompt
from app.comfyui.simulator.frames import Frame, Said
from app.comfyui.simulator.prompts import Prompts
from app.comfyui.simulator.sockets import Publisher, Socket
from app.comfyui.simulator.web import Web, empty, is_foreign
from app.comfyui.simulator.worker import Worker

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from app.comfyui.simulator.faults import Faults
    from app.comfyui.simulator.folders import Folders
    from app.comfyui.simulator.journal import Journal
    from app.comfyui.simulator.nodes.base import Node
    from app.comfyui.simulator.nodes.models import ModelNames
    from app.comfyui.simulator.options import SimulatorOptions

log = logging.getLogger(__name__)

MAX_CLIENT_FRAME_BYTES = 4 * 1024 * 1024
"""A longer frame from a client ends its socket (recording 20)."""
_LOG_LINES = 300
_TASKS_END_S = 5.0
_TOO_BIG = 1009


class Server:
    """See module. The counters given to it outlive it."""

    def __init__(
        self,
        *,
        options: SimulatorOptions,
        faults: Faults,
        folders: Folders,
        nodes: Mapping[str, Node],
        models: ModelNames,
        journal: Journal,
        requests: Counter[str],
        executions: Counter[str],
        note_submit: Callable[[], None],
    ) -> None:
        self.options, self.faults, self.folders, self.nodes, self.models = options, faults, folders, nodes, models
        self.requests, self.note_submit = requests, note_submit
        self.features = {"supports_preview_metadata": True, "max_upload_size": options.max_upload_bytes}
        self.counter = 0
        self.log_lines: deque[dict[str, str]] = deque(maxlen=_LOG_LINES)
        self.log_subscribers: dict[str, bool] = {}
        self.ended = asyncio.Event()
        self.publisher = Publisher(faults, journal, self.abort)
        self.prompts = Prompts(self._say_status)
        self.worker = Worker(
            options=options,
            faults=faults,
            folders=folders,
            nodes=nodes,
            prompts=self.prompts,
            publisher=self.publisher,
            journal=journal,
            executions=executions,
            log_line=self.log_line,
        )
        self._known_clients: set[str] = set()
        self._connections = ServerState()
        self._listening: asyncio.Server | None = None
        self._config = self._make_config()

    def _make_config(self) -> uvicorn.Config:
        config = uvicorn.Config(
            Web(self, routes_prompt.ROUTES | routes_info.ROUTES | routes_files.ROUTES),
            ws=WebSocketsSansIOProtocol,
            ws_max_size=MAX_CLIENT_FRAME_BYTES,
            ws_ping_interval=None,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        config.load()
        return config

    async def listen(self, port: int) -> int:
        """Open the port (0: any) and return it. Raises OSError if it is taken."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._protocol, self.options.host, port, backlog=2048)
        bound: int = self._listening.sockets[0].getsockname()[1]
        return bound

    def _protocol(self) -> HttpToolsProtocol:
        return HttpToolsProtocol(config=self._config, server_state=self._connections, app_state={})

    def close_port(self) -> None:
        """Refuse new connections and drop all open ones."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self.abort_all()

    async def end(self) -> None:
        """Die as by `kill -9`: no close frames, no last words, nothing kept but files."""
        self.ended.set()
        self.close_port()
        await asyncio.to_thread(self.worker.stop)
        if self._connections.tasks:
            await asyncio.wait(set(self._connections.tasks), timeout=_TASKS_END_S)
        for task in set(self._connections.tasks):
            task.cancel()

    async def pause(self, seconds: float) -> None:
        """Make a request wait; the end of the server ends that too."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), seconds)

    def abort(self, address: tuple[str, int]) -> None:
        """Drop the TCP connection from this address."""
        for transport in self._transports():
            if transport.get_extra_info("peername") == address:
                transport.abort()

    def abort_all(self) -> None:
        """Drop every TCP connection."""
        for transport in self._transports():
            transport.abort()

    def _transports(self) -> list[asyncio.Transport]:
        return [connection.transport for connection in list(self._connections.connections)]

    def abort_sockets(self) -> None:
        """Drop the TCP connections of WebSockets."""
        for connection in list(self._connections.connections):
            if isinstance(connection, WebSocketsSansIOProtocol):
                connection.transport.abort()

    @property
    def open_sockets(self) -> int:
        """WebSockets that are open, registered or deaf."""
        return sum(isinstance(connection, WebSocketsSansIOProtocol) for connection in self._connections.connections)

    def forget(self, prompt_id: str) -> None:
        """Lose a prompt, pending, running or finished, without a word."""
        self.worker.forgotten.add(prompt_id)
        self.prompts.forget(prompt_id)

    def log_line(self, line: str) -> None:
        """A line in the server's log, sent to sockets that subscribed (recording 23). Any thread."""
        entry = {"t": datetime.now(UTC).replace(tzinfo=None).isoformat(), "m": line}
        self.log_lines.append(entry)
        for client_id, knows_size in list(self.log_subscribers.items()):
            size = None if knows_size else {"cols": 80, "rows": 24}
            self.log_subscribers[client_id] = True
            self.publisher.say(Frame(Said.LOGS, {"entries": [entry], "size": size}, client_id))

    def _say_status(self) -> None:
        self.publisher.say(Frame(Said.STATUS, {"status": self._exec_info()}))

    def _exec_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": self.prompts.remaining}}

    async def serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One WebSocket from handshake to end."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.requests["GET /ws"] += 1
        await receive()
        if scope["raw_path"].removeprefix(b"/api") != b"/ws" or is_foreign(headers):
            status = 403 if is_foreign(headers) else 404
            await send({"type": "websocket.http.response.start", "status": status, "headers": empty().raw_headers})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))
        socket = Socket(query.get("clientId", [""])[0] or uuid.uuid4().hex, send, scope["client"])
        await send({"type": "websocket.accept"})
        self.publisher.sockets[socket.client_id] = socket
        try:
            await self._greet(socket)
            await self._listen_to(socket, receive)
        finally:
            # As in ComfyUI this removes the id, whoever holds it by now: the trap of section 6.
            self.publisher.sockets.pop(socket.client_id, None)

    async def _greet(self, socket: Socket) -> None:
        hello = {"status": self._exec_info(), "sid": socket.client_id}
        await socket.deliver(Frame(Said.STATUS, hello).encode())
        if socket.client_id == self.worker.client_id and self.worker.last_node_id is not None:
            await socket.deliver(Frame(Said.EXECUTING, {"node": self.worker.last_node_id}).encode())
        if self.faults.deaf_after_reconnect and socket.client_id in self._known_clients:
            self.publisher.sockets.pop(socket.client_id, None)
        self._known_clients.add(socket.client_id)

    async def _listen_to(self, socket: Socket, receive: Receive) -> None:
        is_first = True
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                if message.get("code") == _TOO_BIG:
                    self.abort(socket.address)
                return
            if is_first:
                is_first = not self._take_first(socket, message)

    def _take_first(self, socket: Socket, message: Message) -> bool:
        """Only the first message counts, and only one that is an object uses up the turn (section 3.3)."""
        try:
            said = json.loads(message.get("text") or "")
            if said.get("type") == "feature_flags":
                socket.flags = said.get("data", {})
                self.publisher.say(Frame(Said.FEATURE_FLAGS, self.features, socket.client_id))
        except (ValueError, AttributeError):
            return False
        return True
