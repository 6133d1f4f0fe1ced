"""Half an hour of ordinary work with accidents: `make soak`. Memory and open files must stay flat.

Bounded in time and in work at once; loopback only. Prints a line a minute, and at the end whether the last third of
the run used noticeably more than the middle one. The first third is warm-up: caches and pools fill.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import httpx

from app.comfyui.simulator import Simulator, SimulatorOptions
from benchmarks.processes import Process, running

CALLERS: Final = 8
RSS_GROWTH: Final = 1.10
MORE_FILES: Final = 10
SAMPLE_S: Final = 5.0
ACCIDENT_S: Final = 20.0


class Soak:
    """Callers, accidents and measurements against one service, until `end` (monotonic seconds)."""

    def __init__(self, comfy: Simulator, service: Process, end: float) -> None:
        self._comfy, self._service, self._end = comfy, service, end
        self._chance = random.Random(7)
        self.ended: dict[str, int] = {}
        self.samples: list[tuple[int, int]] = []

    async def call(self, http: httpx.AsyncClient) -> None:
        """Generations one after the other: streamed, polled, or canceled half-way."""
        while time.monotonic() < self._end:
            with contextlib.suppress(httpx.TransportError):
                await self._one(http)

    async def _one(self, http: httpx.AsyncClient) -> None:
        body = {"prompt": "soak", "steps": self._chance.randint(1, 8), "width": 64, "height": 64}
        record = (await http.post("/api/generate", json=body)).json()
        if self._chance.random() < 0.1:
            await http.post(record["urls"]["cancel"])
        if self._chance.random() < 0.5:
            async with http.stream("GET", record["urls"]["events"]) as stream:
                async for _ in stream.aiter_bytes():
                    if self._chance.random() < 0.02:
                        break
        status = (await http.get(record["urls"]["self"], params={"wait": 60})).json()["status"]
        self.ended[status] = self.ended.get(status, 0) + 1

    async def disturb(self) -> None:
        """A dropped socket, or a restart of ComfyUI, every so often."""
        while time.monotonic() + ACCIDENT_S < self._end:
            await asyncio.sleep(ACCIDENT_S)
            if self._chance.random() < 0.8:
                await self._comfy.drop_sockets()
            else:
                await self._comfy.restart()

    async def measure(self) -> None:
        """A sample every few seconds; a line a minute."""
        printed = 0.0
        while time.monotonic() < self._end:
            await asyncio.sleep(SAMPLE_S)
            self.samples.append((self._service.rss_kib(), self._service.open_files()))
            if time.monotonic() - printed > 60:
                printed = time.monotonic()
                rss, files = self.samples[-1]
                print(f"rss {rss / 1024:7.1f} MB   open files {files:4}   ended {self.ended}", flush=True)


async def soak(minutes: float) -> bool:
    """Run it; whether memory and open files stayed flat and everything ended."""
    with tempfile.TemporaryDirectory() as folder:
        async with Simulator(SimulatorOptions(step_s=0.01)) as comfy:
            settings = {
                "COMFY_RELAY_COMFYUI_URLS": comfy.url,
                "COMFY_RELAY_DATA_DIR": folder,
                "COMFY_RELAY_DATABASE_URL": f"sqlite:///{folder}/soak.db",
                "COMFY_RELAY_LOG_LEVEL": "ERROR",
            }
            log = str(Path(folder) / "log")
            async with running(0, "benchmarks.serve", log, env=settings) as service:
                run = Soak(comfy, service, time.monotonic() + minutes * 60)
                client = httpx.AsyncClient(base_url=service.said, timeout=90, trust_env=False)
                async with client as http, asyncio.TaskGroup() as group:
                    for _ in range(CALLERS):
                        group.create_task(run.call(http))
                    group.create_task(run.disturb())
                    group.create_task(run.measure())
                return _verdict(run)


def _verdict(run: Soak) -> bool:
    third = max(1, len(run.samples) // 3)
    middle, last = run.samples[third : 2 * third], run.samples[2 * third :]
    rss = [statistics.median(rss for rss, _ in part) / 1024 for part in (middle, last)]
    files = [statistics.median(files for _, files in part) for part in (middle, last)]
    is_flat = rss[1] <= rss[0] * RSS_GROWTH and files[1] <= files[0] + MORE_FILES
    is_whole = set(run.ended) <= {"succeeded", "canceled"}
    print(f"rss {rss[0]:.1f} -> {rss[1]:.1f} MB, open files {files[0]:.0f} -> {files[1]:.0f}, ended {run.ended}")
    print("flat" if is_flat and is_whole else "NOT FLAT" if not is_flat else "SOMETHING FAILED")
    return is_flat and is_whole


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    sys.exit(0 if asyncio.run(soak(parser.parse_args().minutes)) else 1)
