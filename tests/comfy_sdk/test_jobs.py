"""The official `comfy-sdk`, unmodified: submit, watch, fetch, cancel, find again."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from comfy_sdk import AsyncComfy, JobFailed
from comfy_sdk.events import OutputReady, Preview, Progress, StatusChange

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator
from tests import documents
from tests.api.asking import picture
from tests.api.v2.asking import drawn
from tests.comfy_sdk.asking import events_of, pixels, script, speaking_to
from tests.conftest import Serve
from tests.files import png
from tests.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_job_is_submitted_watched_and_its_output_fetched(client: AsyncComfy, tmp_path: Path) -> None:
    job = await client.submit(client.workflows.from_json(drawn(steps=6)), metadata={"client": "acme"})

    events = await events_of(job)

    statuses = [event.status for event in events if isinstance(event, StatusChange)]
    previews = [event for event in events if isinstance(event, Preview)]
    told = [event.output for event in events if isinstance(event, OutputReady)]
    values = [event.value for event in events if isinstance(event, Progress)]
    (output,) = job.get_outputs("9")
    assert (job.status, statuses[-1], job.metadata) == ("succeeded", "succeeded", {"client": "acme"})
    assert (values == sorted(values), values[-1]) == (True, 1.0)
    assert previews[-1].to_pil().size
    assert [each.id for each in told] == [output.id]
    assert (output.type, output.job_id, output.size_bytes) == ("image", job.id, len(await output.to_bytes()))
    assert await output.to_bytes(range=(1, 3)) == b"PNG"
    assert (await output.to_file(tmp_path / "a.png")).read_bytes() == await output.to_bytes()
    assert (await output.get_download_url()).url.startswith("http://")


async def test_run_waits_for_the_result(client: AsyncComfy) -> None:
    job = await client.run(client.workflows.from_json(picture(1)), timeout=20)

    assert (job.status, len(job.outputs), job.outputs[0].name.endswith(".png")) == ("succeeded", 1, True)


async def test_a_job_is_found_again_by_its_id_and_in_the_list(client: AsyncComfy) -> None:
    workflow = client.workflows.from_json(picture(2))
    made = [await client.submit(workflow, metadata={"run": "list", "n": str(n)}) for n in range(3)]

    again = await client.jobs.get(made[0].id)
    listed = [each async for each in client.list_jobs(metadata={"run": "list"}, limit=2)]
    one = [each async for each in client.list_jobs(metadata={"run": "list", "n": "1"})]

    assert (await again.get_workflow()).graph == picture(2)
    assert [each.id for each in listed] == [each.id for each in reversed(made)]
    assert [each.id for each in one] == [made[1].id]
    assert all(each.create_time and each.update_time for each in listed)


async def test_who_comes_after_the_end_is_told_of_it_at_once(client: AsyncComfy) -> None:
    job = await client.submit(client.workflows.from_json(picture(3)))
    first = await events_of(job)

    second = await events_of(await client.jobs.get(job.id))

    for events in (first, second):
        assert [type(event) for event in events[-3:]] == [OutputReady, Progress, StatusChange]


async def test_a_job_is_canceled(client: AsyncComfy, drawing: Simulator) -> None:
    drawing.hold("progress", node="4")
    job = await client.submit(client.workflows.from_json(drawn(steps=30, seed=1)))
    await drawing.held()
    await job.cancel()
    drawing.release()

    await events_of(job)

    assert job.status == "canceled"
    with pytest.raises(JobFailed):
        await job.result()


async def test_a_job_that_fails_raises_with_the_node(client: AsyncComfy, drawing: Simulator) -> None:
    drawing.faults.failures["VAEDecode"] = OUT_OF_MEMORY
    try:
        job = await client.submit(client.workflows.from_json(drawn(seed=2)))
        await events_of(job)
    finally:
        drawing.faults.failures.clear()

    with pytest.raises(JobFailed) as raised:
        await job.result()
    assert raised.value.error is not None
    assert (raised.value.code, raised.value.error.node_id, raised.value.error.class_type) == (
        *("out_of_memory", "5"),
        "VAEDecode",
    )


SCRIPT = """
from comfy_sdk import Comfy
from comfy_sdk.events import Progress, StatusChange

with Comfy() as client:
    asset = client.assets.from_file("photo.png")
    workflow = client.workflows.from_file("workflow_api.json")
    workflow.set_input("10", "image", asset)
    job = client.submit(workflow)
    seen = [type(event).__name__ for event in job.events()]
    output = job.result().outputs[0]
    output.to_file("out.png")
    print(job.status, seen[-1], asset.created_new, [each.id == job.id for each in client.list_jobs()])
    asset.delete()
"""


async def test_a_users_program_with_the_synchronous_client_works(relay: Service, tmp_path: Path) -> None:
    graph = {
        "10": {"class_type": "LoadImage", "inputs": {"image": ""}},
        "11": {"class_type": "SaveImage", "inputs": {"images": ["10", 0], "filename_prefix": "x"}},
    }
    (tmp_path / "workflow_api.json").write_text(json.dumps(graph), "utf-8")
    (tmp_path / "photo.png").write_bytes(png(20, 10))

    said = await script(SCRIPT, relay.url, tmp_path)

    assert said.split()[:4] == ["succeeded", "StatusChange", "True", "[True,"]
    assert pixels((tmp_path / "out.png").read_bytes()) == pixels(png(20, 10))


@pytest.mark.asyncio(loop_scope="function")
async def test_a_stream_that_breaks_off_is_taken_up_again_after_a_restart(serve: Serve, comfy: Simulator) -> None:
    api = await serve()
    port = httpx.URL(api.url).port
    api.settings = api.settings.model_copy(update={"port": port})
    async with speaking_to(api, None) as client:
        comfy.hold("progress", node="4")
        job = await client.submit(client.workflows.from_json(drawn(steps=10)))
        await comfy.held()
        stream = job.events()
        first = await anext(stream)

        await api.stop()
        await api.start()
        comfy.release()
        rest = [event async for event in stream]
        await job.refresh()

    assert isinstance(first, StatusChange)
    assert (rest[-1], job.status, len(job.outputs)) == (StatusChange("succeeded"), "succeeded", 1)


async def test_the_example_of_the_readme_runs_as_it_stands(relay: Service, tmp_path: Path) -> None:
    section = documents.section(documents.README.read_text(encoding="utf-8"), "Comfy API v2")
    (program,) = documents.blocks(section, "python")
    graph = {
        "10": {"class_type": "LoadImage", "inputs": {"image": ""}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["10", 0], "filename_prefix": "x"}},
    }
    (tmp_path / "workflow_api.json").write_text(json.dumps(graph), "utf-8")
    (tmp_path / "photo.png").write_bytes(png(20, 10, seed=5))

    await script(program, relay.url, tmp_path)

    assert pixels((tmp_path / "out.png").read_bytes()) == pixels(png(20, 10, seed=5))
