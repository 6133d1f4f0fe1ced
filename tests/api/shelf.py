"""A real server that answers files, one URL each, for the tests of file answers."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from app.api.files import FileAnswer
from app.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import Message, Receive, Scope, Send

CONTENT = bytes(range(256)) * 4
TAG = hashlib.sha256(CONTENT).hexdigest()


class WatchedAnswer(FileAnswer):
    """Tells when the server is through with it, and how many bytes it handed over until then."""

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, **options)
        self.sent_bytes = 0
        self.is_over = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            self.sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await super().__call__(scope, receive, counted)
        finally:
            self.is_over.set()


class Shelf:
    """A running service that answers each file under its own URL."""

    def __init__(self, port: int) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10)
        self.port = port
        self.answers: dict[str, FileAnswer] = {}

    def put(
        self, path: Path, *, tag: str = TAG, mime_type: str = "image/png", name: str = "a.png", **more: bool
    ) -> str:
        url = f"/{len(self.answers)}"
        self.answers[url] = FileAnswer(path, tag=tag, mime_type=mime_type, filename=name, **more)
        return url


@contextlib.contextmanager
def running_shelf() -> Iterator[Shelf]:
    """A server on a free port, for as long as the block lasts."""
    listening = socket.create_server(("127.0.0.1", 0))
    shelf = Shelf(listening.getsockname()[1])
    app = FastAPI()

    @app.api_route("/{number}", methods=["GET", "HEAD"])
    async def answer(number: str) -> FileAnswer:
        return shelf.answers[f"/{number}"]

    @app.exception_handler(AppError)
    async def problem(_request: Request, error: AppError) -> JSONResponse:
        return JSONResponse({"code": error.code, "detail": error.detail}, error.status)

    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield shelf
    shelf.client.close()
    server.should_exit = True
    thread.join(timeout=10)
    listening.close()
