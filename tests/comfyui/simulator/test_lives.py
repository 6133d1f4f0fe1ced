"""What survives the end of the process, and how its clients learn of it (recording 15)."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import httpx
import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions, serve
from tests.comfyui.simulator.client import client_of, previewing, saving, trivial

if TYPE_CHECKING:
    from pathlib import Path

    from tests.comfyui.simulator.client import Client


async def test_sockets_end_without_a_close_frame(comfy: Simulator, client: Client) -> None:
    await comfy.stop()

    await asyncio.wait_for(client.closed.wait(), 5)

    assert client.close_code == 1006


async def test_a_stopped_server_refuses_connections(comfy: Simulator, client: Client) -> None:
    await comfy.stop()

    with pytest.raises(httpx.ConnectError):
        await client.http.get("/queue")
    assert not comfy.is_running


async def test_queue_history_and_numbers_are_gone_after_a_restart(comfy: Simulator, client: Client) -> None:
    done = await client.run(trivial(1))
    comfy.hold("execution_start")
    running, pending = await client.post(trivial(2)), await client.post(trivial(3))
    await comfy.held()
    url = comfy.url

    await comfy.restart()
    comfy.release()

    async with client_of(comfy) as after:
        answer = await after.http.post("/prompt", json={"prompt": trivial(4)})
        await comfy.wait_for("finished", node=answer.json()["prompt_id"])
        histories = [await after.history(prompt) for prompt in (done, running, pending)]
    assert comfy.url == url
    assert answer.json()["number"] == 0
    assert histories == [{}, {}, {}]
    assert comfy.executions[pending] == 0


async def test_output_files_stay_and_temporary_ones_go(comfy: Simulator, client: Client) -> None:
    saved = (await client.files(await client.run(saving())))[0]
    preview = (await client.files(await client.run(previewing())))[0]

    await comfy.restart()

    async with client_of(comfy) as after:
        kept = await after.http.get("/view", params=saved)
        gone = await after.http.get("/view", params=preview)
        again = (await after.files(await after.run(saving())))[0]
    assert (kept.status_code, gone.status_code) == (200, 404)
    assert comfy.output_bytes(saved["filename"]) == kept.content
    assert (saved["filename"], again["filename"]) == ("x_00001_.png", "x_00002_.png")


async def test_a_given_data_folder_outlives_the_simulator(tmp_path: Path) -> None:
    options = SimulatorOptions(data_dir=tmp_path)
    async with Simulator(options) as comfy, client_of(comfy) as client:
        await client.run(saving())

    async with Simulator(options) as comfy, client_of(comfy) as client:
        again = (await client.files(await client.run(saving())))[0]

    assert again["filename"] == "x_00002_.png"
    assert (tmp_path / "output" / "x_00001_.png").is_file()


async def test_dropped_sockets_leave_the_prompt_running(comfy: Simulator, client: Client) -> None:
    comfy.hold("executing", node="2")
    prompt = await client.post(trivial())
    await comfy.held()

    await comfy.drop_sockets()
    await asyncio.wait_for(client.closed.wait(), 5)
    comfy.release()
    await comfy.wait_for("finished", node=prompt)

    assert client.close_code == 1006
    assert (await client.history(prompt))["status"]["completed"]


@pytest.mark.parametrize("end", ["sigterm", "cancel", "poison"])
async def test_serving_goes_on_until_it_is_ended(end: str) -> None:
    served: asyncio.Future[Simulator] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks, httpx.AsyncClient(trust_env=False) as http:
        task = tasks.create_task(serve(SimulatorOptions(), served.set_result))
        simulator = await asyncio.wait_for(served, 5)
        answer = await http.get(f"{simulator.url}/prompt")

        match end:
            case "sigterm":
                signal.raise_signal(signal.SIGTERM)
            case "cancel":
                task.cancel()
            case _:
                await http.post(f"{simulator.url}/prompt", json={"prompt": trivial(), "client_id": ["x"]})
        await asyncio.wait([task], timeout=5)

    assert answer.status_code == 200
    assert task.done()
    assert not simulator.is_running
