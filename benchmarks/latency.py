"""From ComfyUI's frame to the bytes at a watcher, beyond what the frame takes to a socket of one's own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import quantiles
from typing import Final

from benchmarks.comfy import STAMP_RANGE, age_ms
from benchmarks.http import Watcher, connections, watchers
from benchmarks.load import ready, straight, ticking
from benchmarks.processes import baseline, comfys, service
from benchmarks.table import Row, at_most

TITLE: Final = "ComfyUI's frame to a watcher's bytes (stamped when made; added to a socket of one's own)"
GOALS_MS: Final = {1: (1.0, 5.0), 1000: (15.0, 40.0)}
PER_S: Final = 20.0
EVENT_BYTES: Final = 640
"""About what a progress event is."""

_VALUE: Final = re.compile(rb'"value": ?(\d+)(?:\.0)?, ?"max": ?%d' % STAMP_RANGE)


async def run(folder: Path, *, is_quick: bool) -> list[Row]:
    ticks, crowds = (6, (1, 10)) if is_quick else (100, (1, 1000))
    rows = []
    async with comfys() as (comfy,), service(folder, {"gpu-0": comfy}) as relay:
        await ready(relay.said)
        own = await _on_a_socket(comfy, ticks)
        for crowd in crowds:
            ours = await _watched(relay.said, crowd, ticks)
            p50, p99 = GOALS_MS.get(crowd, (None, None))
            rows.append(_row(f"{crowd} watching, p50", _p(ours, 50), own, p50))
            rows.append(_row(f"{crowd} watching, p99", _p(ours, 99), own, p99))
    limit = await _bare(crowds[-1], ticks)
    shown = f"{_p(limit, 50):.2f} / {_p(limit, 99):.2f} ms"
    return [*rows, Row(f"{crowds[-1]} on a bare protocol", "-", shown, "p50 / p99")]


async def _on_a_socket(comfy: str, ticks: int) -> float:
    """Half of the frames take at most so many ms to a client of ComfyUI's own."""
    async with straight(comfy) as client, connections(comfy, 1) as (connection,):
        await client.run(connection, ticking(PER_S, ticks))
        return _p(_ages(client.heard), 50)


async def _watched(relay: str, crowd: int, ticks: int) -> list[float]:
    """The ages of all events at all watchers of one generation."""
    async with connections(relay, 1) as (connection,):
        # The watchers come while it runs, and a while is for them.
        extra = crowd // 20
        answer = await connection.json("POST", "/api/generate", {"workflow": ticking(PER_S, ticks + extra)})
        async with watchers(relay, [answer["urls"]["events"]] * crowd) as opened:
            for watcher in opened:
                watcher.forget()
            await asyncio.gather(*(watcher.closed for watcher in opened))
            return _all_ages(opened)


async def _bare(crowd: int, ticks: int) -> list[float]:
    async with (
        baseline() as (_, url, _),
        connections(url, 1) as (connection,),
        watchers(url, ["/events"] * crowd) as opened,
    ):
        await connection.ask("GET", f"/tick?per_s={PER_S}&count={ticks}&groups=1&size={EVENT_BYTES}")
        return _all_ages(opened)


def _all_ages(opened: list[Watcher]) -> list[float]:
    return [age for watcher in opened for age in _ages(watcher.pieces)]


def _ages(pieces: Iterable[tuple[float, bytes]]) -> list[float]:
    """Of progress only; a node that is done shows its maximum, which is no stamp."""
    return [
        age_ms(value, at)
        for at, data in pieces
        if (found := _VALUE.search(data)) is not None and (value := int(found[1])) != STAMP_RANGE
    ]


def _p(ages: list[float], percent: int) -> float:
    return quantiles(ages, n=100)[percent - 1]


def _row(name: str, ours: float, own: float, goal: float | None) -> Row:
    return at_most(name, f"{ours:.2f} ms", f"{own:.2f} ms", ours - own, "ms", goal)
