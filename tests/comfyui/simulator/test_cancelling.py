"""Interrupts and deletions that come too early, too late, or hit the wrong prompt (recording 06c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.comfyui.simulator.client import trivial, txt2img

if TYPE_CHECKING:
    from app.comfyui.simulator import Simulator
    from tests.comfyui.simulator.client import Client


async def test_an_interrupt_by_id_of_a_pending_prompt_is_lost_with_a_200(comfy: Simulator, client: Client) -> None:
    comfy.hold("execution_start")
    first = await client.post(trivial(1))
    await comfy.held()
    second = await client.post(trivial(2))

    response = await client.http.post("/interrupt", json={"prompt_id": second})
    comfy.release()
    await comfy.wait_for("finished", node=second)

    assert response.status_code == 200
    assert [(await client.history(prompt))["status"]["status_str"] for prompt in (first, second)] == ["success"] * 2


async def test_a_global_interrupt_after_the_end_of_one_prompt_hits_the_next(comfy: Simulator, client: Client) -> None:
    comfy.hold("executing", node="2")
    await client.post(trivial(1))
    second = await client.post(trivial(2))
    await comfy.held()
    comfy.release()
    comfy.hold("executing", node="1")
    await comfy.held()

    await client.http.post("/interrupt", json={})
    comfy.release()
    await comfy.wait_for("finished", node=second)

    entry = await client.history(second)
    assert entry["status"]["status_str"] == "error"
    assert [name for name, _ in entry["status"]["messages"]][-1] == "execution_interrupted"


async def test_an_interrupt_by_the_id_of_a_finished_prompt_hits_nobody(comfy: Simulator, client: Client) -> None:
    first = await client.run(trivial(1))
    comfy.hold("executing", node="1")
    second = await client.post(trivial(2))
    await comfy.held()

    await client.http.post("/interrupt", json={"prompt_id": first})
    comfy.release()
    await comfy.wait_for("finished", node=second)

    assert (await client.history(second))["status"]["status_str"] == "success"


async def test_a_deletion_comes_too_late_for_a_prompt_that_just_started(comfy: Simulator, client: Client) -> None:
    comfy.hold("execution_start")
    prompt = await client.post(trivial())
    await comfy.held()

    response = await client.http.post("/queue", json={"delete": [prompt]})
    comfy.release()
    await comfy.wait_for("finished", node=prompt)

    assert response.status_code == 200
    assert (await client.history(prompt))["status"]["status_str"] == "success"


async def test_a_deleted_prompt_never_runs_and_leaves_no_history(comfy: Simulator, client: Client) -> None:
    comfy.hold("execution_start")
    first = await client.post(trivial(1))
    await comfy.held()
    second = await client.post(trivial(2))

    await client.http.post("/queue", json={"delete": [second]})
    comfy.release()
    await comfy.wait_for("finished", node=first)

    assert comfy.executions == {first: 1}
    assert await client.history(second) == {}


async def test_a_sampler_stops_at_the_step_after_an_interrupt(comfy: Simulator, client: Client) -> None:
    comfy.hold("progress", node="3")
    prompt = await client.post(txt2img(steps=50))
    await comfy.held()

    await client.http.post("/interrupt", json={"prompt_id": prompt})
    comfy.release()
    await client.hears("executing", node=None)

    assert client.data("execution_interrupted")[0]["node_type"] == "KSampler"
    assert [data["value"] for data in client.data("progress")] == [1]
