"""`python -m benchmarks [--quick] [name ...]`: run them all, or those named, and print their tables."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from benchmarks import added_time, batches, cli_batch, fanout, files, latency, memory, pause, throughput
from benchmarks.processes import LOAD_CORE, pin
from benchmarks.table import Row, rendered

LIMIT_S: Final = 90.0
"""What one benchmark may take before it is given up."""


BUSY: Final = 1.0
"""The load average of the last minute above which the figures come with a warning."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`run` measures in an empty folder; with `is_quick` in tiny counts, which give figures without meaning."""

    title: str
    run: Callable[..., Awaitable[list[Row]]]


ALL: Final = {
    "throughput": Benchmark(throughput.TITLE, throughput.run),
    "added_time": Benchmark(added_time.TITLE, added_time.run),
    "latency": Benchmark(latency.TITLE, latency.run),
    "fanout": Benchmark(fanout.TITLE, fanout.run),
    "memory": Benchmark(memory.TITLE, memory.run),
    "pause": Benchmark(pause.TITLE, pause.run),
    "files": Benchmark(files.TITLE, files.run),
    "batches": Benchmark(batches.TITLE, batches.run),
    "cli_batch": Benchmark(cli_batch.TITLE, cli_batch.run),
}


async def table_of(name: str, *, is_quick: bool) -> str:
    """Run one and give its table."""
    benchmark = ALL[name]
    with tempfile.TemporaryDirectory(prefix="comfy-relay-bench-", ignore_cleanup_errors=True) as folder:
        async with asyncio.timeout(LIMIT_S):
            rows = await benchmark.run(Path(folder), is_quick=is_quick)
    return rendered(benchmark.title, rows)


async def _main(names: list[str], *, is_quick: bool) -> None:
    if (busy := os.getloadavg()[0]) > BUSY:
        print(f"Other work runs on this machine (load {busy:.1f}): times and rates suffer, processor time less so.\n")
    pin(os.getpid(), LOAD_CORE)
    for name in names:
        began = time.monotonic()
        print(await table_of(name, is_quick=is_quick))
        print(f"({name}: {time.monotonic() - began:.0f} s)\n", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(ALL), default=[])
    parser.add_argument("--quick", action="store_true", help="tiny counts: shows that they run, not how fast")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in ALL]:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    uvloop.run(_main(given.names or list(ALL), is_quick=given.quick))
