"""A batch of a thousand by `comfy-relay batch`: command and service killed -9 on the way, started again, made once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from app.comfyui.simulator import Simulator, SimulatorOptions
from benchmarks.load import ready
from benchmarks.processes import service
from benchmarks.table import Row, at_least

TITLE: Final = "A batch from the command line, killed three times with its service"
KILLS: Final = 3

_ROOT: Final = Path(__file__).absolute().parents[1]


async def run(folder: Path, *, is_quick: bool) -> list[Row]:
    count, kills = (20, 1) if is_quick else (1_000, KILLS)
    file, out = folder / "numbers.csv", folder / "out"
    lines = ["prompt,seed,steps,width,height", *(f"number {n},{n},1,64,64" for n in range(count))]
    await asyncio.to_thread(file.write_text, "\n".join(lines))
    began = time.monotonic()
    async with Simulator(SimulatorOptions(step_s=0.0, previews=False)) as comfy:
        for kill in range(kills):
            await _killed(folder, file, out, comfy, (kill + 1) * count // (kills + 2))
        async with service(folder / "service", {"gpu-0": comfy.url}) as relay:
            await ready(relay.said)
            async with _command(file, out, relay.said) as command:
                code = await command.wait()
        executions = dict(comfy.executions)
    took_s = time.monotonic() - began
    once, total = sum(times == 1 for times in executions.values()), len(executions)
    manifest, sound = await asyncio.to_thread(_judged, out)
    results = sum(item["status"] == "succeeded" and bool(item["files"]) for item in manifest["items"])
    told = f"{results} ({took_s:.0f} s, exit {code})"
    return [
        at_least(f"results after {kills} kills of both", told, str(count), results / count * (code == 0), 1),
        at_least(
            "of their executions, done once", f"{once} of {total}", str(count), once / count * (total == count), 1
        ),
        at_least("files in the folder with the manifest's SHA-256", str(sound), str(count), sound / count, 1),
    ]


async def _killed(folder: Path, file: Path, out: Path, comfy: Simulator, after: int) -> None:
    """Both at work until ComfyUI has executed so many and the command has kept more; then neither says a word."""
    kept = _kept(out)
    async with service(folder / "service", {"gpu-0": comfy.url}) as relay:
        await ready(relay.said)
        async with _command(file, out, relay.said) as command:
            while len(comfy.executions) < after or _kept(out) <= kept:
                if command.returncode is not None:
                    raise RuntimeError("the command ended by itself")
                await asyncio.sleep(0.01)
            os.kill(relay.pid, signal.SIGKILL)
            command.kill()


def _kept(out: Path) -> int:
    return sum(1 for _ in out.glob("*.png"))


@asynccontextmanager
async def _command(file: Path, out: Path, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`comfy-relay batch`, which is gone when the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "batch", str(file), "-o", str(out), "--quiet", "--url", url),
        cwd=_ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _judged(out: Path) -> tuple[dict[str, Any], int]:
    """The manifest, and how many of its files are in the folder as it says; one that is not in it spoils all."""
    manifest: dict[str, Any] = msgspec.json.decode((out / "manifest.json").read_bytes())
    files = {file["file"]: file["sha256"] for item in manifest["items"] for file in item["files"]}
    sound = sum(hashlib.sha256((out / name).read_bytes()).hexdigest() == digest for name, digest in files.items())
    return manifest, sound * ({path.name for path in out.glob("*.png")} == files.keys())
