"""Events delivered per second of processor time: 1,000 watchers on 10 generations, against a bare protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from benchmarks.http import Watcher, connections, watchers
from benchmarks.load import ready, ticking
from benchmarks.processes import Process, baseline, comfys, service
from benchmarks.table import Row, at_least

TITLE: Final = "Fan-out: events to watchers per second of one core, the same bytes from a bare protocol"
GOAL: Final = 0.5
GENERATIONS: Final = 10
PER_S: Final = 25.0
"""Frames per second of each generation: below what either side can carry, so that nothing is coalesced; what counts is
the processor time it takes, and that is the same when the other core is busy."""


async def run(folder: Path, *, is_quick: bool) -> list[Row]:
    crowd, seconds = (20, 0.5) if is_quick else (1000, 4.0)
    ours, size = await _ours(folder, crowd, seconds)
    theirs = await _bare(crowd, seconds, size)
    name = f"{crowd} on {GENERATIONS}, {size} bytes each"
    return [at_least(name, f"{ours:.0f}/s", f"{theirs:.0f}/s", ours / theirs, GOAL)]


async def _ours(folder: Path, crowd: int, seconds: float) -> tuple[float, int]:
    """Events per processor second, and the bytes of one."""
    lead_in_s = crowd / 300
    async with comfys(GENERATIONS) as urls:
        names = {f"gpu-{number}": url for number, url in enumerate(urls)}
        async with service(folder, names) as relay, connections(relay.said, 1) as (connection,):
            await _all_up(relay)
            ticks = int(PER_S * (lead_in_s + seconds + 1))
            answers = [
                await connection.json("POST", "/api/generate", {"workflow": ticking(PER_S, ticks)})
                for _ in range(GENERATIONS)
            ]
            streams = [answers[number % GENERATIONS]["urls"]["events"] for number in range(crowd)]
            async with watchers(relay.said, streams) as opened:
                return await _measured(relay, opened, seconds)


async def _measured(process: Process, opened: list[Watcher], seconds: float) -> tuple[float, int]:
    """What arrives within so many seconds from now."""
    for watcher in opened:
        watcher.forget()
    before = process.cpu_s()
    await asyncio.sleep(seconds)
    spent = process.cpu_s() - before
    events = sum(watcher.events for watcher in opened)
    received = sum(len(data) for watcher in opened for _, data in watcher.pieces)
    return events / max(spent, 0.01), received // max(events, 1)


async def _bare(crowd: int, seconds: float, size: int) -> float:
    """The same with as many bytes to as many connections, from a protocol that does nothing else."""
    async with (
        baseline() as (process, url, _),
        connections(url, 1) as (connection,),
        watchers(url, ["/events"] * crowd) as opened,
        asyncio.TaskGroup() as group,
    ):
        ticks = PER_S * (seconds + 1)
        path = f"/tick?per_s={PER_S}&count={ticks:.0f}&groups={GENERATIONS}&size={size}"
        group.create_task(connection.ask("GET", path), name="ticks")
        await asyncio.sleep(0.5)
        found, _ = await _measured(process, opened, seconds)
        return found


async def _all_up(relay: Process) -> None:
    """Every server takes one of the generations only if all of them are there."""
    await ready(relay.said)
    async with connections(relay.said, 1) as (connection,):
        for _ in range(400):
            parts = await connection.json("GET", "/readyz")
            if all(backend["listening"] for backend in parts["backends"].values()):
                return
            await asyncio.sleep(0.05)
    raise RuntimeError("not every server was reached")
