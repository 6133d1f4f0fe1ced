"""Running the application on a socket until it is told to stop.

Owns the one thing uvicorn leaves open: event streams have to end before it waits for its connections.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app.api.streams import ServerSend
from app.db.engine import Database
from app.db.errors import DatabaseError
from app.db.migration import migrate
from app.local_storage import LocalStorage
from app.main import create_app
from app.opening import open_storage
from app.origins import Origins
from app.settings import Settings
from app.storage import StorageError

KEEP_ALIVE_S = 75
"""How long an idle connection stays open: longer than clients (httpx 5 s) and proxies (mostly 60 s) keep theirs, or we
would close it under their next request."""


class Server(uvicorn.Server):
    """uvicorn for this application: ends event streams first when it stops. `url` is known once it has started."""

    def __init__(self, app: FastAPI, settings: Settings, *, announces: bool = False) -> None:
        config = uvicorn.Config(
            ServerSend(app),
            host=settings.host,
            port=settings.port,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, int(settings.shutdown_grace_s)),
        )
        super().__init__(config)
        self._app, self._announces = app, announces

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._announces and self.started:
            _settle_memory()
            sys.stdout.write(f"comfy-relay is ready: {self.url}\n")
            sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop. Unlike uvicorn, do not raise the signal again afterwards: to stop when told to is no failure."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.started:
            self._app.state.services.hub.close()
            self._app.state.services.generations.end_waits()
        await super().shutdown(sockets)

    @property
    def url(self) -> str:
        """Where it listens, with the port that was really taken."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def check(settings: Settings) -> None:
    """Refuse to start where nothing could work, in one line that names the variable. Raises SystemExit."""
    try:
        url, timeout_s = settings.database_url.get_secret_value(), settings.database_timeout_s
        async with Database(url, timeout_s=timeout_s) as database:
            await database.ping()
        await asyncio.to_thread(migrate, url)
    except DatabaseError as error:
        raise SystemExit(f"COMFY_RELAY_DATABASE_URL: {error}") from error
    try:
        await LocalStorage(settings.data_dir).check_writable()
    except StorageError as error:
        raise SystemExit(f"COMFY_RELAY_DATA_DIR: {error}") from error
    if settings.storage_url is not None:
        try:
            await open_storage(settings, Origins(keeps_metadata=True).open).check_writable()
        except StorageError as error:
            raise SystemExit(f"COMFY_RELAY_STORAGE_URL: {error}") from error


def _settle_memory() -> None:
    """Have the collector leave alone what start-up made, which stays for good, and look less often at what came since.

    What a generation leaves behind is freed by reference counts; collecting cost a twentieth of the time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def serve(settings: Settings) -> None:
    """The service until SIGINT or SIGTERM. Exits with 1 when it could not start or one of its loops crashed."""
    await check(settings)
    # Before anything else: who cannot listen must not take over the work of who can.
    with _bound(settings) as listening:
        server = Server(create_app(settings), settings, announces=True)
        await server.serve(sockets=[listening])
    if not server.started or server.lifespan.shutdown_failed:
        raise SystemExit(1)


def _bound(settings: Settings) -> socket.socket:
    """The socket to listen on. Raises SystemExit when somebody else has it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise SystemExit(
            f"cannot listen on {place} ({os.strerror(error.errno or 0)}); try another --port or --host"
        ) from error


async def demo(settings: Settings, *, step_s: float = 0.15) -> None:
    """The service in front of a simulator of its own, which draws labelled pictures and takes its time."""
    from app.comfyui.simulator import Simulator, SimulatorOptions  # noqa: PLC0415 - 5 MB that only the demo needs

    await check(settings)  # The simulator's files are in the same folder.
    folder = Path(settings.data_dir) / "simulator"
    async with Simulator(SimulatorOptions(step_s=step_s, data_dir=folder)) as comfy:
        await serve(settings.model_copy(update={"comfyui_urls": {"simulator": comfy.url}}))
