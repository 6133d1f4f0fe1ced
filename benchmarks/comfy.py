"""ComfyUI's stand-in as a process, with nodes made for measuring. Prints the URLs of its servers as a JSON list."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec
import uvloop
from PIL import Image

from app.comfyui.simulator import Node, Outputs, Run, Simulator, SimulatorOptions, define
from app.comfyui.simulator.nodes import standard_nodes
from app.comfyui.simulator.nodes.base import Inputs
from app.comfyui.simulator.nodes.models import model_names

STAMP_RANGE: Final = 1_000_000
"""A frame's progress value is the time it was made, in microseconds modulo this; the largest our progress keeps."""

_NUMBER: Final = ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1e9}]
_WHOLE: Final = ["INT", {"default": 1, "min": 0, "max": 1_000_000_000}]


def stamp() -> int:
    """Now, as a progress value. All processes of a machine share this clock."""
    return time.monotonic_ns() // 1000 % STAMP_RANGE


def age_ms(value: float, at: float) -> float:
    """How old a stamp was at monotonic second `at`; it must have been less than a second."""
    return (at * 1_000_000 - value) % STAMP_RANGE / 1000


def _ticks(run: Run, given: Inputs) -> Outputs:
    """Progress frames at an even pace, each stamped with its time."""
    began = time.monotonic()
    for number in range(1, given["count"] + 1):
        run.sleep(began + number / given["per_s"] - time.monotonic())
        run.progress(stamp(), STAMP_RANGE)
    return Outputs(ui={"text": ["done"]})


def _noise(_: Run, given: Inputs) -> Outputs:
    """A picture that does not compress: its file is a little larger than its pixels."""
    side = round((given["bytes"] / 3) ** 0.5)
    pixels = random.Random(given["seed"]).randbytes(3 * side * side)
    return Outputs(values=[(Image.frombytes("RGB", (side, side), pixels),)])


def options(work_s: float) -> SimulatorOptions:
    """A simulator with those nodes. `work_s`: what an EmptyImage takes; 0 is as fast as it can."""
    numbers = {"count": _WHOLE, "per_s": _NUMBER, "key": _WHOLE}
    ticks = Node(definition=define("BenchTicks", required=numbers, is_output=True), function=_ticks)
    sizes = {"bytes": _WHOLE, "seed": _WHOLE}
    noise = Node(definition=define("BenchNoise", required=sizes, output=["IMAGE"]), function=_noise)
    empty = standard_nodes(model_names({}))["EmptyImage"]
    slow = replace(empty, function=partial(_working, empty, work_s))
    nodes = {"BenchTicks": ticks, "BenchNoise": noise, "EmptyImage": slow if work_s else empty}
    return SimulatorOptions(step_s=0.0, previews=False, nodes=nodes)


def _working(node: Node, work_s: float, run: Run, given: Inputs) -> Outputs:
    run.sleep(work_s)
    made = node.function(run, given)
    assert isinstance(made, Outputs)
    return made


async def _serve(count: int, work_s: float) -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(Simulator(options(work_s))) for _ in range(count)]
        print(msgspec.json.encode([server.url for server in servers]).decode(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
