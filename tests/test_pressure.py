"""More than is comfortable: huge frames, thousands of messages, a disk that is full, a queue that is long."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.conftest import Serve
from tests.service import Service
from tests.waiting import until

REQUEST: dict[str, Any] = {"prompt": "a flood", "steps": 2, "width": 64, "height": 64}


async def test_frames_of_five_megabytes_cost_neither_the_socket_nor_the_run(api: Service, comfy: Simulator) -> None:
    comfy.faults.huge_frame_bytes = 5_000_000

    record = await api.finished((await api.generate(**REQUEST))["id"])

    assert record["status"] == "succeeded"
    assert comfy.requests["GET /ws"] == 1


async def test_thousands_of_messages_a_second_reach_the_watcher_as_few_complete_ones(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(step_s=0, previews=False)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url})
        answer = await api.generate(prompt="many", steps=150, width=64, height=64, batchSize=2)

        events = await api.events(answer["id"])

    assert events[-1]["type"] == "complete"
    assert (events[-1]["step"], events[-1]["totalSteps"]) == (150, 150)


async def test_files_are_kept_once_the_disk_takes_them_again(serve: Serve, comfy: Simulator, tmp_path: Path) -> None:
    api = await serve()
    folder = tmp_path / "data" / "outputs"
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder should be")

    answer = await api.generate(**REQUEST)
    await until(lambda: comfy.requests["GET /view"] >= 2)
    meanwhile = await api.record(answer["id"])
    folder.unlink()
    record = await api.finished(answer["id"])

    assert meanwhile["status"] == "running"
    assert record["status"] == "succeeded"
    assert await api.bytes_of(record["imageUrls"][0])


async def test_a_long_queue_is_accepted_quickly_and_ends_completely(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(step_s=0, previews=False)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url}, max_in_flight=2)

        answers = await asyncio.gather(*(api.generate(**REQUEST | {"seed": seed}) for seed in range(100)))
        records = [await api.finished(answer["id"]) for answer in answers]

    assert {record["status"] for record in records} == {"succeeded"}
    assert set(comfy.executions.values()) == {1}
