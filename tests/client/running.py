"""Servers for the client's tests: the demo as a process, a line to it that breaks, one that says what it is told."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from tests.process import free_port

ROOT: Final = Path(__file__).parents[2]
KEY: Final = "the right key"
STEP_S: Final = 0.03
"""A sampling step of the demo: twenty of them can be watched."""


class Demo:
    """`comfy-relay demo` as a process; `kill` is kill -9, `start` starts it again at its old address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        places = {"DATA_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder}/relay.db", "API_KEYS": KEY}
        quick = {"POLL_INTERVAL_S": "0.1", "SILENCE_S": "0.3", "LOST_GRACE_S": "0.3", "LOG_LEVEL": "WARNING"}
        self._environment = os.environ | {f"COMFY_RELAY_{name}": value for name, value in (places | quick).items()}
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Return when it is ready."""
        command = (sys.executable, "-m", "app.cli", "demo", "--port", str(self.port), "--step-s", str(STEP_S))
        self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if b"ready" not in self._process.stdout.readline():
            self.stop()
            raise RuntimeError("the demo did not start")

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Threaded:
    """A server that takes a thread for each connection; `url` is its address."""

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would leave `accept` waiting.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(20)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._served, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _served(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(20)
            self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError


@dataclass
class Asked:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]


class Scripted(Threaded):
    """Answers each request with the next of `answers`, raw bytes, and hangs up; the last one again and again.

    None hangs up without a word. `asked` is what came.
    """

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.asked: list[Asked] = []

    def serve(self, connection: socket.socket) -> None:
        head, body = _request(connection)
        if not head:
            return
        line, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
        self.asked.append(Asked(line, headers, body))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if answer is not None:
            connection.sendall(answer)


@dataclass
class Line(Threaded):
    """A line to the service, on which some answers get lost: of the first one that many bytes come, and so on.

    None lets an answer through whole, as it does all answers that `cuts` says nothing of. `heads` are the requests.
    """

    target: str
    cuts: list[int | None] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    def serve(self, connection: socket.socket) -> None:
        head, body = _request(connection)
        if not head:
            return
        left = self.cuts.pop(0) if self.cuts else None
        self.heads.append(head.decode("latin-1"))
        host, _, port = self.target.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as service:
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            service.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
            while piece := service.recv(65536):
                connection.sendall(piece if left is None else piece[:left])
                left = None if left is None else left - len(piece)
                if left is not None and left <= 0:
                    return

    def paths(self, method: str) -> Sequence[str]:
        return [head.split()[1] for head in self.heads if head.startswith(f"{method} ")]


def _request(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head of a request and its body, of announced length; nothing if none came."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return b"", b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(65536)
    return head, body


def answer(status: int, body: bytes = b"{}", **headers: object) -> bytes:
    """An answer as it goes over the line; headers are named with _ for -."""
    fields = {"Content-Type": "application/json", "Content-Length": len(body)}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Status\r\n{lines}Connection: close\r\n\r\n".encode() + body


def problem(status: int, code: str, **headers: object) -> bytes:
    """A refusal as the service makes it."""
    body = f'{{"type": "urn:comfy-relay:problem:{code}", "title": "No", "status": {status}, "code": "{code}"}}'
    return answer(status, body.encode(), **headers)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Demo]:
    """The demo, until the block ends."""
    demo = Demo(folder)
    demo.start()
    try:
        yield demo
    finally:
        demo.stop()
