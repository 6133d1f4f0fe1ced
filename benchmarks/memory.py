"""Memory of the idle service, and what an idle event stream adds to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from benchmarks.http import connections, watchers
from benchmarks.load import ready, trivial
from benchmarks.processes import comfys, service
from benchmarks.table import Row, at_most

TITLE: Final = "Memory of the service process (resident)"
IDLE_GOAL_MB: Final = 90.0
STREAM_GOAL_KIB: Final = 28.0
GENERATIONS: Final = 10

NOBODY: Final = "http://127.0.0.1:9"
"""A ComfyUI that is down (nothing serves the discard port): generations stay pending, and their streams idle."""


async def run(folder: Path, *, is_quick: bool) -> list[Row]:
    count = 20 if is_quick else 1000
    async with comfys() as (comfy,), service(folder / "idle", {"gpu-0": comfy}) as relay:
        await ready(relay.said)
        idle_mb = relay.rss_kib() / 1000 * 1.024
    per_stream = await _per_stream(folder / "streams", count)
    return [
        at_most("idle", f"{idle_mb:.1f} MB", "-", idle_mb, "MB", IDLE_GOAL_MB),
        at_most(f"per idle stream of {count}", f"{per_stream:.1f} KiB", "-", per_stream, "KiB", STREAM_GOAL_KIB),
    ]


async def _per_stream(folder: Path, count: int) -> float:
    async with service(folder, {"gpu-0": NOBODY}) as relay, connections(relay.said, 1) as (connection,):
        paths: list[str] = []
        for _ in range(GENERATIONS):
            answer = await connection.json("POST", "/api/generate", {"workflow": trivial("SaveImage")})
            paths.append(answer["urls"]["events"])
        # What the first streams of all cost is the code they load, not the stream.
        async with watchers(relay.said, paths):
            pass
        before = relay.rss_kib()
        async with watchers(relay.said, [paths[number % GENERATIONS] for number in range(count)]):
            await asyncio.sleep(0.2)
            return (relay.rss_kib() - before) / count
