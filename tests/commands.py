"""Somebody who runs commands of `comfy-relay`, as processes or in this one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from app.cli_templates import templates
from tests.service import Service
from tests.waiting import WITHIN_S

ROOT: Final = Path(__file__).parents[1]
KEY: Final = "the right key"
COMMANDS: Final = "from app.cli_templates import templates; templates(prog_name='comfy-relay templates')"
"""The commands without the service, which takes seconds to load and none of them needs."""


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Person:
    """Somebody with a terminal, a key and a folder of workflows."""

    def __init__(self, api: Service, folder: Path) -> None:
        self.api, self._folder = api, folder

    async def process(self, *words: str, start: tuple[str, ...] = ("-c", COMMANDS), stdin: bytes = b"") -> Ran:
        """The commands as a process of their own."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *start, *words),
            cwd=ROOT,
            env=os.environ | self._environment(),
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
        env = self._environment() | environment
        result = await asyncio.to_thread(CliRunner().invoke, templates, words, env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    def _environment(self) -> dict[str, str]:
        return {"COMFY_RELAY_URL": self.api.url, "COMFY_RELAY_KEY": KEY, "TERM": "dumb", "COLUMNS": "200"}

    def file(self, name: str, content: Any) -> str:
        path = self._folder / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    async def has(self, name: str) -> bool:
        return (await self.api.http.get(f"/api/templates/{name}")).status_code == 200
