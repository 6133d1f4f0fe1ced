"""Trivial prompts per second: through the service, and straight at the same ComfyUI."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.load import rate, ready, straight, through, trivial
from benchmarks.processes import Process, comfys, service
from benchmarks.table import Row, at_least

TITLE: Final = "Trivial prompts per second, 32 callers at once (POST to succeeded record, against POST to the end)"
CALLERS: Final = 32
GOAL: Final = 0.8

REAL_WORK_S: Final = 0.0018
"""With it the stand-in does about what a real ComfyUI was measured to do, 340-440 trivial prompts a second."""


async def run(folder: Path, *, is_quick: bool) -> list[Row]:
    rounds, jobs = (1, 40) if is_quick else (3, 400)
    like_real = await _with_server(folder / "real", "like a real one", REAL_WORK_S, rounds, jobs)
    return like_real if is_quick else like_real + await _with_server(folder / "quick", "unslowed", 0.0, rounds, jobs)


async def _with_server(folder: Path, name: str, work_s: float, rounds: int, jobs: int) -> list[Row]:
    async with comfys(work_s=work_s) as (comfy,), service(folder, {"gpu-0": comfy}) as relay:
        await ready(relay.said)
        return [
            await _compared(f"{output}, server {name}", comfy, relay, output, rounds, jobs)
            for output in ("SaveImage", "PreviewImage")
        ]


async def _compared(name: str, comfy: str, relay: Process, output: str, rounds: int, jobs: int) -> Row:
    ours, theirs, spent_s = [], [], []
    async with straight(comfy) as client:
        for _ in range(rounds):
            theirs.append(await rate(comfy, CALLERS, jobs, lambda to: client.run(to, trivial(output))))
            before = relay.cpu_s()
            ours.append(await rate(relay.said, CALLERS, jobs, lambda to: through(to, trivial(output))))
            spent_s.append(relay.cpu_s() - before)
    ratio = median(mine / other for mine, other in zip(ours, theirs, strict=True))
    goal = GOAL if "real" in name else None
    # Processor time per job says what a busy machine hides.
    shown = f"{median(ours):.0f}/s ({median(spent_s) / jobs * 1000:.1f} ms cpu)"
    return at_least(name, shown, f"{median(theirs):.0f}/s", ratio, goal)
