"""Somebody who runs commands of `comfy-relay`, as processes or in this one."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import struct
import sys
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import typer
from typer.testing import CliRunner

from app.cli import main
from app.comfyui.simulator import Simulator
from app.commands.templates import templates
from tests.api.standing import standing
from tests.service import Service
from tests.waiting import WITHIN_S

ROOT: Final = Path(__file__).parents[1]
KEY: Final = "the right key"
COMMANDS: Final = "from app.commands.templates import templates; templates(prog_name='comfy-relay templates')"
"""One family of commands, without the others."""


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Terminal:
    """A terminal with a command in it. `shown` is everything that was written to it so far, controls and all."""

    def __init__(self, process: asyncio.subprocess.Process, end: int) -> None:
        self.process, self.shown = process, ""
        self._end = end
        os.set_blocking(end, False)

    async def until(self, text: str) -> None:
        """Return once it has shown this. Raises TimeoutError."""
        async with asyncio.timeout(WITHIN_S):
            while text not in self._read():  # noqa: ASYNC110 - a terminal tells nobody
                await asyncio.sleep(0.01)

    def press(self, keys: bytes) -> None:
        os.write(self._end, keys)

    async def ended(self) -> int:
        """The exit code."""
        async with asyncio.timeout(WITHIN_S):
            while self.process.returncode is None:
                self._read()
                await asyncio.sleep(0.01)
        self._read()
        return self.process.returncode

    def _read(self) -> str:
        with contextlib.suppress(OSError):  # Nothing to read yet, or nobody at the other end any more.
            while raw := os.read(self._end, 65536):
                self.shown += raw.decode(errors="replace")
        return self.shown


class Person:
    """Somebody with a terminal, a key and a folder of workflows."""

    def __init__(self, api: Service, folder: Path) -> None:
        self.api, self._folder = api, folder

    async def process(
        self, *words: str, start: tuple[str, ...] = ("-c", COMMANDS), stdin: bytes = b"", **environment: str
    ) -> Ran:
        """The commands as a process of their own."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *start, *words),
            cwd=ROOT,
            env=os.environ | self.environment | environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        async with asyncio.timeout(WITHIN_S):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    async def templates(self, *words: str, **environment: str) -> Ran:
        """The commands in a thread of this process."""
        return await self._invoked(templates, words, environment)

    async def run(self, *words: str, stdin: bytes = b"", **environment: str) -> Ran:
        """Any command of `comfy-relay` in a thread of this process, where signals do not reach it."""
        return await self._invoked(main, words, environment, stdin)

    async def _invoked(
        self, command: typer.Typer, words: tuple[str, ...], environment: dict[str, str], stdin: bytes = b""
    ) -> Ran:
        env = self.environment | environment
        result = await asyncio.to_thread(CliRunner().invoke, command, words, env=env, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    @contextlib.asynccontextmanager
    async def at_terminal(self, *words: str, columns: int = 80, **environment: str) -> AsyncIterator[Terminal]:
        """`comfy-relay` as a process at a terminal of 24 rows; killed with the block."""
        terminal, other_end = pty.openpty()
        fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        env = os.environ | self.environment | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)} | environment
        for name in ("COLUMNS", "NO_COLOR", "TMUX"):
            env.pop(name, None)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli", *words),
            cwd=self._folder,
            env=env,
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(other_end)
        try:
            yield Terminal(process, terminal)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(terminal)

    @property
    def environment(self) -> dict[str, str]:
        """Of a shell in which the service and the key are set."""
        return {"COMFY_RELAY_URL": self.api.url, "COMFY_RELAY_KEY": KEY, "TERM": "dumb", "COLUMNS": "200"}

    def file(self, name: str, content: Any) -> str:
        path = self._folder / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    async def has(self, name: str) -> bool:
        return (await self.api.http.get(f"/api/templates/{name}")).status_code == 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, comfy: Simulator
) -> AsyncIterator[Service]:
    """A service that wants a key, for all tests of a module; what it works with is the module's `comfy`."""
    async with standing(tmp_path_factory, migrated_sqlite, comfy, api_keys=(KEY,)) as service:
        yield service


@pytest.fixture
def person(api: Service, tmp_path: Path) -> Person:
    """Who runs commands in a folder of the test's own."""
    return Person(api, tmp_path)
