"""Kept pictures served per second, against a bare application that has the same bytes in memory."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.http import Connection, connections
from benchmarks.load import Graph, rate, ready, through
from benchmarks.processes import baseline, comfys, service
from benchmarks.table import Row, at_least

TITLE: Final = "A kept picture of 100 KB: requests per second, 8 callers at once"
SIZE: Final = 100_000
CALLERS: Final = 8


async def run(folder: Path, *, is_quick: bool) -> list[Row]:
    rounds, requests = (1, 50) if is_quick else (3, 1500)
    whole, unchanged, theirs = [], [], []
    async with comfys() as (comfy,), service(folder, {"gpu-0": comfy}) as relay, baseline() as (_, _, static):
        await ready(relay.said)
        async with connections(relay.said, 1) as (connection,):
            image = (await through(connection, _noise()))["images"][0]
        tag = f'if-none-match: "{image["sha256"]}"\r\n'
        same = f"/{image['sizeBytes']}"
        for _ in range(rounds):
            theirs.append(await rate(static, CALLERS, requests, lambda to: _get(to, same)))
            whole.append(await rate(relay.said, CALLERS, requests, lambda to: _get(to, image["url"])))
            unchanged.append(await rate(relay.said, CALLERS, requests, lambda to: _get(to, image["url"], tag)))
    return [_row("whole", whole, theirs), _row("not modified (304)", unchanged, theirs)]


def _noise() -> Graph:
    made = {"bytes": SIZE, "seed": 1}
    saved = {"images": ["1", 0], "filename_prefix": "bench/noise"}
    return {"1": {"class_type": "BenchNoise", "inputs": made}, "2": {"class_type": "SaveImage", "inputs": saved}}


async def _get(connection: Connection, path: str, headers: str = "") -> None:
    status, _ = await connection.ask("GET", path, headers=headers)
    if status not in {200, 304}:
        raise RuntimeError(f"{path}: {status}")


def _row(name: str, ours: list[float], theirs: list[float]) -> Row:
    ratio = median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return at_least(name, f"{median(ours):.0f}/s", f"{median(theirs):.0f}/s", ratio)
