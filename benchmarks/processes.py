"""The processes of a benchmark: each on its core, started when it says so, ended with the block.

Owns starting, pinning and looking at them from outside (memory, processor time). Where the system cannot pin or has no
/proc, nothing is pinned and those figures are zero.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

START_WITHIN_S: Final = 30.0
END_WITHIN_S: Final = 10.0

SERVICE_CORE, LOAD_CORE = 0, 1
"""Indices into the cores this process may use."""

_ROOT: Final = Path(__file__).absolute().parents[1]
_READY: Final = b"comfy-relay is ready: "


@dataclass(frozen=True, slots=True)
class Process:
    """A running child. `said` is its first line, without the words before the URL."""

    pid: int
    said: str

    def rss_kib(self) -> int:
        """Resident memory now."""
        for line in self._proc("status").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def open_files(self) -> int:
        """File descriptors in use now."""
        folder = Path(f"/proc/{self.pid}/fd")
        return sum(1 for _ in folder.iterdir()) if folder.exists() else 0

    def cpu_s(self) -> float:
        """Processor time since its start, all threads, in the kernel too."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0

    def _proc(self, name: str) -> str:
        path = Path(f"/proc/{self.pid}/{name}")
        return path.read_text() if path.exists() else ""


def pin(pid: int, core: int) -> None:
    """Keep a process to one of the cores we may use; its later threads stay there, too."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(_OURS)
        os.sched_setaffinity(pid, {cores[core % len(cores)]})


_OURS: Final = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset({0})


@asynccontextmanager
async def running(core: int, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """`python -m` with these arguments until the block ends. It is ready when it prints its first line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COMFY_RELAY_")}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdout=PIPE,
        env=clean | dict(env or {}),
        cwd=_ROOT,
    )
    try:
        pin(child.pid, core)
        assert child.stdout is not None
        async with asyncio.timeout(START_WITHIN_S):
            line = await child.stdout.readline()
        if not line:
            raise RuntimeError(f"{arguments[0]} did not start")
        yield Process(child.pid, line.removeprefix(_READY).decode().strip())
    finally:
        await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(END_WITHIN_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


@asynccontextmanager
async def service(folder: Path, comfy_urls: Mapping[str, str], **settings: str) -> AsyncIterator[Process]:
    """The product as `comfy-relay serve` runs it, on SQLite, logging to a file. `said` is its URL."""
    log = folder / "log" / "service.log"
    given = {
        "comfyui_urls": ",".join(f"{name}={url}" for name, url in comfy_urls.items()),
        "database_url": f"sqlite:///{folder / 'relay.db'}",
        "data_dir": str(folder / "data"),
        "shutdown_grace_s": "1",
        **settings,
    }
    env = {f"COMFY_RELAY_{name.upper()}": value for name, value in given.items()}
    async with running(SERVICE_CORE, "benchmarks.serve", str(log), env=env) as process:
        yield process


@asynccontextmanager
async def comfys(count: int = 1, *, work_s: float = 0.0) -> AsyncIterator[list[str]]:
    """So many stand-ins for ComfyUI in one process; their URLs. `work_s`: what an EmptyImage takes."""
    async with running(LOAD_CORE, "benchmarks.comfy", str(count), str(work_s)) as process:
        yield msgspec.json.decode(process.said, type=list[str])


@asynccontextmanager
async def baseline() -> AsyncIterator[tuple[Process, str, str]]:
    """The process, the URL of a bare asyncio protocol, and that of a bare application in the same server as ours."""
    async with running(SERVICE_CORE, "benchmarks.baseline") as process:
        bare, static = msgspec.json.decode(process.said, type=tuple[str, str])
        yield process, bare, static
