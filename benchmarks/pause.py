"""How long a server stands still between two queued prompts while more of them wait in our own queue."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from app.comfyui.simulator import ANY_NODE, Simulator
from benchmarks.comfy import options
from benchmarks.http import Connection, connections
from benchmarks.load import ready, straight, trivial
from benchmarks.processes import service
from benchmarks.table import Row, at_most

TITLE: Final = "Pause of a server between two queued prompts (executing{null} to execution_start), median"
GOAL_MS: Final = 3.0
WORK_S: Final = 0.02


async def run(folder: Path, *, is_quick: bool) -> list[Row]:
    jobs = 8 if is_quick else 80
    async with Simulator(options(WORK_S)) as comfy:
        own = await _of_its_own(comfy, jobs)
        ours = await _through(folder / "default", comfy, jobs)
        alone = await _through(folder / "alone", comfy, jobs, max_in_flight="1")
    return [
        _row("as configured by default", ours, own, GOAL_MS),
        _row("one prompt with the server at a time", alone, own, None),
    ]


async def _of_its_own(comfy: Simulator, jobs: int) -> list[float]:
    """All prompts with the server at once: what it needs itself."""
    async with (
        straight(comfy.url) as client,
        connections(comfy.url, jobs) as opened,
        asyncio.TaskGroup() as group,
    ):
        pauses = group.create_task(_pauses(comfy, jobs), name="pauses")
        for connection in opened:
            group.create_task(client.run(connection, trivial("SaveImage")), name="caller")
        return await pauses


async def _through(folder: Path, comfy: Simulator, jobs: int, **settings: str) -> list[float]:
    async with service(folder, {"gpu-0": comfy.url}, **settings) as relay:
        await ready(relay.said)
        async with connections(relay.said, 8) as opened, asyncio.TaskGroup() as group:
            pauses = group.create_task(_pauses(comfy, jobs), name="pauses")
            for connection in opened:
                group.create_task(_post(connection, jobs // 8), name="caller")
            return await pauses


async def _post(connection: Connection, jobs: int) -> None:
    for _ in range(jobs):
        await connection.json("POST", "/api/generate", {"workflow": trivial("SaveImage")})


async def _pauses(comfy: Simulator, jobs: int) -> list[float]:
    """Milliseconds between an end and the next start, of this many prompts from now on."""
    ends, starts = await asyncio.gather(
        _times(comfy, "executing", None, jobs), _times(comfy, "execution_start", ANY_NODE, jobs)
    )
    return [(start - end) * 1000 for end, start in zip(ends[:-1], starts[1:], strict=True)]


async def _times(comfy: Simulator, message_type: str, node: str | None, jobs: int) -> list[float]:
    heard = comfy.count(message_type, node=node)

    async def one(number: int) -> float:
        await comfy.wait_for(message_type, node=node, count=heard + number, timeout_s=60)
        return time.monotonic()

    return await asyncio.gather(*(one(number) for number in range(1, jobs + 1)))


def _row(name: str, ours: list[float], own: list[float], goal: float | None) -> Row:
    shown = f"{median(ours):.2f} ms (p90 {quantiles(ours, n=10)[-1]:.2f})"
    return at_most(name, shown, f"{median(own):.2f} ms", median(ours), "ms", goal)
