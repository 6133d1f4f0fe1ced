"""A stand-in for a ComfyUI server, on real sockets: for demonstrations, tests and benchmarks.

Owns what outlives a restart of the simulated process: the port, the folders, the faults, the counters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Self

from app.comfyui.simulator.faults import ANY_NODE, Faults, NodePattern
from app.comfyui.simulator.folders import Folders
from app.comfyui.simulator.journal import Journal
from app.comfyui.simulator.nodes import standard_nodes
from app.comfyui.simulator.nodes.models import model_names
from app.comfyui.simulator.options import SimulatorOptions
from app.comfyui.simulator.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_S = 10.0
_RELISTEN_TRIES = 50
_RELISTEN_PAUSE_S = 0.05


class Simulator:
    """`async with Simulator() as comfy:` serves on `comfy.url` until the block ends.

    Counters go on over restarts: `submits` (prompts accepted), `executions` (starts by prompt id), `requests`
    (`"GET /history/{prompt_id}"`, the `/api` form counted with it). All methods are for the event loop's thread.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options or SimulatorOptions()
        self.faults = Faults()
        self.submits = 0
        self.executions: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.port = self.options.port
        self.died = asyncio.Event()
        """Set when something a client sent ended the server (section 10)."""
        self._models = model_names(self.options.models)
        self._nodes = standard_nodes(self._models) | dict(self.options.nodes)
        self._journal = Journal()
        self._server: Server | None = None
        self._listening: asyncio.Task[None] | None = None
        self._exits = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        root = self.options.data_dir or Path(
            self._exits.enter_context(tempfile.TemporaryDirectory(prefix="comfyui-simulator-"))
        )
        self._folders = Folders(root)
        self._tasks = await self._exits.enter_async_context(asyncio.TaskGroup())
        self._exits.push_async_callback(self.stop)
        self.faults.on_refuse = self._refuse
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    @property
    def url(self) -> str:
        """Base address, such as `http://127.0.0.1:8188`."""
        return f"http://{self.options.host}:{self.port}"

    @property
    def is_running(self) -> bool:
        """False after `stop`, and after something a client sent ended the server (section 10)."""
        return self._server is not None

    @property
    def sockets(self) -> int:
        """Open WebSockets, deaf ones too."""
        return self._server.open_sockets if self._server else 0

    async def start(self) -> None:
        """Begin a new life on the same port and folders, with an empty queue and history. Nothing if it runs."""
        if self._server is not None:
            return
        self._folders.open()
        server = Server(
            options=self.options,
            faults=self.faults,
            folders=self._folders,
            nodes=self._nodes,
            models=self._models,
            journal=self._journal,
            requests=self.requests,
            executions=self.executions,
            note_submit=self._note_submit,
        )
        self._server = server
        if not self.faults.refuse_connections:
            self.port = await server.listen(self.port)
        server.worker.start()
        self._publishing = self._tasks.create_task(self._publish(server), name="comfyui-simulator-publisher")

    async def stop(self) -> None:
        """End as by `kill -9`: sockets without a close frame, everything but output and input files gone."""
        server, self._server = self._server, None
        if server is None:
            return
        self._publishing.cancel()
        await server.end()
        self._folders.wipe_temp()

    async def restart(self) -> None:
        """`stop` and `start`."""
        await self.stop()
        await self.start()

    async def drop_sockets(self) -> None:
        """Drop all WebSockets' TCP connections, without a close frame; the server goes on."""
        if self._server is not None:
            self._server.abort_sockets()
            await asyncio.sleep(0)

    async def restore_connections(self) -> None:
        """Turn `faults.refuse_connections` off and return once the port is open again."""
        self.faults.refuse_connections = False
        if self._listening is not None:
            await self._listening

    async def wait_for(
        self,
        message_type: str,
        *,
        node: NodePattern = ANY_NODE,
        count: int = 1,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Return once `count` such messages were published, counted from the simulator's beginning and to whomever.

        Previews are `"preview"`, texts of nodes `"text"`; the end of a prompt is `"executing", node=None`. Two that no
        socket hears: `"taken"` and `"finished"`, with the prompt's id as `node`.
        Raises TimeoutError.
        """
        await self._journal.wait_for(message_type, node, count, timeout_s)

    def count(self, message_type: str, *, node: NodePattern = ANY_NODE) -> int:
        """How many such messages were published so far."""
        return self._journal.count(message_type, node)

    def hold(self, message_type: str, *, node: NodePattern = ANY_NODE) -> None:
        """From now on the worker stops right before it says this, until `release`. Only what the worker itself says."""
        self._journal.hold(message_type, node)

    async def held(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Return once the worker stands at a hold. Raises TimeoutError."""
        await self._journal.held(timeout_s)

    def release(self) -> None:
        """End all holds."""
        self._journal.release()

    def forget(self, prompt_id: str) -> None:
        """Lose a prompt, wherever it is: from now on it is in neither queue nor history, and says nothing more."""
        if self._server is not None:
            self._server.forget(prompt_id)

    def output_bytes(self, filename: str, subfolder: str = "", type: str = "output") -> bytes:  # noqa: A002  # ComfyUI's word
        """A file as it is on disk. Raises FileNotFoundError."""
        return (self._folders.subfolder(type, subfolder) / filename).read_bytes()

    def _note_submit(self) -> None:
        self.submits += 1

    async def _publish(self, server: Server) -> None:
        """Send frames until stopped. What JSON cannot say ends a real server's process, and so here (section 10)."""
        try:
            await server.publisher.run()
        except TypeError as poison:
            log.warning("simulated server died", extra={"reason": str(poison)})
            self._server = None
            await server.end()
            self.died.set()

    def _refuse(self, refuse: bool) -> None:
        """`Faults.refuse_connections` changed."""
        if self._server is None:
            return
        if refuse:
            self._server.close_port()
        else:
            self._listening = self._tasks.create_task(self._listen_again(self._server), name="comfyui-simulator-listen")

    async def _listen_again(self, server: Server) -> None:
        for _ in range(_RELISTEN_TRIES):
            try:
                self.port = await server.listen(self.port)
            except OSError:
                await asyncio.sleep(_RELISTEN_PAUSE_S)
            else:
                return


async def serve(options: SimulatorOptions, started: Callable[[Simulator], None] | None = None) -> None:
    """Run a simulator until cancelled, SIGTERM, SIGINT, or a request that ends a real server too (section 10).

    `started` is called once it listens.
    """
    loop = asyncio.get_running_loop()
    comfy = Simulator(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, comfy.died.set)
    try:
        async with comfy:
            log.info("ComfyUI simulator listening", extra={"url": comfy.url})
            if started is not None:
                started(comfy)
            await comfy.died.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
