"""What one trivial job takes longer through the service, from POST to the event that tells of its end."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmarks.http import Connection, connections, watchers
from benchmarks.load import ready, straight, trivial
from benchmarks.processes import comfys, service
from benchmarks.table import Row, at_most

TITLE: Final = "One trivial job from POST to `complete`, against POST to executing{null} and history"
GOAL_MS: Final = 4.0


async def run(folder: Path, *, is_quick: bool) -> list[Row]:
    jobs = 10 if is_quick else 200
    ours: list[float] = []
    theirs: list[float] = []
    async with comfys() as (comfy,), service(folder, {"gpu-0": comfy}) as relay, straight(comfy) as client:
        await ready(relay.said)
        async with connections(comfy, 1) as (there,), connections(relay.said, 1) as (here,):
            for number in range(jobs + jobs // 10):
                began = time.monotonic()
                await client.run(there, trivial("SaveImage"), reads_history=True)
                between = time.monotonic()
                await _followed(relay.said, here)
                if number >= jobs // 10:
                    theirs.append(between - began)
                    ours.append(time.monotonic() - between)
    p95_ours, p95_theirs = quantiles(ours, n=20)[-1], quantiles(theirs, n=20)[-1]
    return [
        _row("added, p50", median(ours), median(theirs), GOAL_MS),
        _row("added, p95", p95_ours, p95_theirs, None),
    ]


async def _followed(url: str, connection: Connection) -> None:
    """POST, then the event stream to its end, as a browser does it."""
    answer = await connection.json("POST", "/api/generate", {"workflow": trivial("SaveImage")})
    async with watchers(url, [answer["urls"]["events"]]) as (watcher,):
        await watcher.closed


def _row(name: str, ours_s: float, theirs_s: float, goal: float | None) -> Row:
    added = (ours_s - theirs_s) * 1000
    return at_most(name, f"{ours_s * 1000:.2f} ms", f"{theirs_s * 1000:.2f} ms", added, "ms", goal)
