"""Ways of telling progress, and options of the command line (recording 24)."""

from __future__ import annotations

from collections import Counter

import pytest

from app.comfyui.simulator import Dialect, Simulator, SimulatorOptions
from tests.comfyui.simulator.client import Client, client_of, saving, txt2img

EXPECTED = {
    Dialect.MODERN: {"progress": 3, "progress_state": 17},
    Dialect.PROGRESS_ONLY: {"progress": 3},
    Dialect.STATE_ONLY: {"progress_state": 17},
    Dialect.LEGACY: {"execution_progress": 3},
}


async def _heard(options: SimulatorOptions) -> Client:
    async with Simulator(options) as comfy, client_of(comfy) as client:
        await client.run(txt2img(steps=3))
        await client.hears("executing", node=None)
    return client


@pytest.mark.parametrize("dialect", Dialect)
async def test_each_dialect_tells_progress_its_own_way(dialect: Dialect) -> None:
    client = await _heard(SimulatorOptions(dialect=dialect, step_s=0))

    progress = {kind: count for kind, count in Counter(client.kinds).items() if "progress" in kind}
    assert progress == EXPECTED[dialect]


async def test_the_legacy_message_has_three_keys() -> None:
    client = await _heard(SimulatorOptions(dialect=Dialect.LEGACY, step_s=0))

    assert [list(data) for data in client.data("execution_progress")] == [["value", "max", "prompt_id"]] * 3


@pytest.mark.parametrize(("previews", "count"), [(True, 3), (False, 0)])
async def test_previews_come_once_per_step_or_not_at_all(previews: bool, count: int) -> None:
    client = await _heard(SimulatorOptions(previews=previews, step_s=0))

    assert len(client.binaries) == count


async def test_without_a_cache_everything_runs_again_into_new_files() -> None:
    async with Simulator(SimulatorOptions(cache=False)) as comfy, client_of(comfy) as client:
        first = await client.files(await client.run(saving()))
        second = await client.files(await client.run(saving()))

    assert [item["filename"] for item in first + second] == ["x_00001_.png", "x_00002_.png"]


async def test_models_can_be_renamed() -> None:
    options = SimulatorOptions(models={"checkpoints": ("mine.safetensors",)})
    async with Simulator(options) as comfy, client_of(comfy) as client:
        listed = (await client.http.get("/models/checkpoints")).json()
        await client.run(txt2img(ckpt_name="mine.safetensors"))
        refused = await client.http.post("/prompt", json={"prompt": txt2img()})

    assert listed == ["mine.safetensors"]
    assert refused.status_code == 400


async def test_it_says_that_it_is_a_simulator(client: Client) -> None:
    stats = (await client.http.get("/system_stats")).json()

    assert stats["system"]["comfyui_version"] == "0.3.64-simulator"
    assert stats["devices"][0]["name"] == "simulator"
