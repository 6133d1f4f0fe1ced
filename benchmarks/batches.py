"""A large batch: what taking it in costs everybody, and that kill -9 loses and doubles nothing of it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import time
import zipfile
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from app.comfyui.simulator import Simulator, SimulatorOptions
from benchmarks.http import Connection, connections
from benchmarks.load import ready
from benchmarks.processes import Process, service
from benchmarks.table import Row, at_least, at_most

TITLE: Final = "Batches: taken in beside other callers, and killed three times on the way"
GOAL_S: Final = 15.0
GOAL_MB: Final = 40.0
GOAL_WAIT_MS: Final = 50.0
KILLS: Final = 3


async def run(folder: Path, *, is_quick: bool) -> list[Row]:
    taken, killed = (100, 20) if is_quick else (10_000, 1_000)
    async with Simulator(SimulatorOptions(step_s=0.0, previews=False)) as comfy:
        rows = await _taken_in(folder / "taken", comfy.url, taken)
    async with Simulator(SimulatorOptions(step_s=0.0, previews=False)) as comfy:
        return rows + await _killed(folder / "killed", comfy, killed)


async def _taken_in(folder: Path, comfy_url: str, count: int) -> list[Row]:
    async with service(folder, {"gpu-0": comfy_url}) as relay:
        await ready(relay.said)
        async with connections(relay.said, 2) as (posting, asking):
            await posting.json("POST", "/api/batches", _body(10))
            before_kib, began = relay.rss_kib(), time.monotonic()
            async with asyncio.TaskGroup() as group:
                accepted = group.create_task(posting.json("POST", "/api/batches", _body(count)), name="batch")
                waits = group.create_task(_waits(asking, accepted), name="others")
            took_s = time.monotonic() - began
            grown = (relay.rss_kib() - before_kib) / 1024
            await posting.json("POST", f"/api/batches/{accepted.result()['id']}/cancel")
    waited = sorted(waits.result())
    worst, usual = waited[-1], waited[int(len(waited) * 0.99)]
    return [
        at_most(f"{count} items accepted", f"{took_s:.1f} s", "-", took_s, "s", GOAL_S),
        at_most("memory grown meanwhile", f"{grown:.0f} MB", "-", grown, "MB", GOAL_MB),
        at_most("another caller's request, p99", f"{usual:.1f} ms (most {worst:.0f})", "-", usual, "ms", GOAL_WAIT_MS),
    ]


async def _waits(connection: Connection, accepted: asyncio.Task[Any]) -> list[float]:
    """Milliseconds of requests one after the other until the batch is accepted."""
    waits = []
    while not accepted.done():
        began = time.monotonic()
        await connection.ask("GET", "/healthz")
        waits.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(0.002)
    return waits


async def _killed(folder: Path, comfy: Simulator, count: int) -> list[Row]:
    batch_id, began = "", time.monotonic()
    for kill in range(KILLS + 1):
        async with service(folder, {"gpu-0": comfy.url}) as relay:
            await ready(relay.said)
            async with connections(relay.said, 1) as (connection,):
                batch = await connection.json("POST", "/api/batches", _body(count), "idempotency-key: one\r\n")
            assert batch_id in ("", batch["id"])
            batch_id = batch["id"]
            if kill < KILLS:
                await _executed(comfy, (kill + 1) * count // (KILLS + 2))
                os.kill(relay.pid, signal.SIGKILL)
            else:
                results, sound = await _fetched(relay, batch_id)
    took_s = time.monotonic() - began
    once = sum(times == 1 for times in comfy.executions.values())
    total = len(comfy.executions)
    return [
        at_least(f"results after {KILLS} kills", f"{results} ({took_s:.0f} s)", str(count), results / count, 1),
        at_least(
            "of their executions, done once", f"{once} of {total}", str(count), once / total * (total == count), 1
        ),
        at_least("files in the archive with the manifest's SHA-256", str(sound), str(count), sound / count, 1),
    ]


async def _executed(comfy: Simulator, count: int) -> None:
    while len(comfy.executions) < count:  # noqa: ASYNC110 - nobody tells; the benchmark has a time limit
        await asyncio.sleep(0.01)


async def _fetched(relay: Process, batch_id: str) -> tuple[int, int]:
    """How many results the ended batch has, and how many sound files its archive."""
    async with httpx.AsyncClient(base_url=relay.said, timeout=60, trust_env=False) as client:
        while not (await client.get(f"/api/batches/{batch_id}")).json()["completedAt"]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.2)
        lines = (await client.get(f"/api/batches/{batch_id}/results?status=succeeded")).text.splitlines()
        raw = (await client.get(f"/api/batches/{batch_id}/archive")).content
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        manifest = msgspec.json.decode(archive.read("manifest.json"))
        entries = [file for item in manifest["items"] for file in item["files"]]
        sound = [file for file in entries if hashlib.sha256(archive.read(file["file"])).hexdigest() == file["sha256"]]
    return len(lines), len(sound)


def _body(count: int) -> dict[str, Any]:
    shared = {"steps": 1, "width": 64, "height": 64}
    return {"base": shared, "items": [{"key": f"k{n}", "prompt": f"number {n}", "seed": n} for n in range(count)]}
