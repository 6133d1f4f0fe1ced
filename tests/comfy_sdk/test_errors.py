"""The official `comfy-sdk`, unmodified: what it raises."""

from __future__ import annotations

import pytest
from comfy_sdk import AsyncComfy, IdempotencyKeyReuse, InvalidWorkflow, NotFound, Unauthorized
from comfy_sdk.exceptions import ComfyError, WorkflowFormatUi

from app.comfyui.simulator import Simulator
from tests.api.asking import NOBODY, picture
from tests.comfy_sdk.asking import events_of, speaking_to
from tests.conftest import Serve
from tests.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_wrong_workflow_is_invalid_and_its_nodes_are_named(client: AsyncComfy) -> None:
    with pytest.raises(InvalidWorkflow) as raised:
        await client.submit(client.workflows.from_json({"1": {"class_type": "NoSuchNode", "inputs": {}}}))

    assert raised.value.details is not None
    assert raised.value.details["node_errors"]["1"][0]["reason"] == "unknown_node"
    assert "NoSuchNode" in raised.value.message


async def test_the_editors_format_is_told_apart_also_where_the_client_lets_it_pass(client: AsyncComfy) -> None:
    with pytest.raises(WorkflowFormatUi) as raised:
        await client.submit(client.workflows.from_json({"nodes": [], "links": []}))

    assert raised.value.http_status == 422


async def test_a_key_that_was_used_is_refused_and_the_job_can_be_found(client: AsyncComfy) -> None:
    workflow = client.workflows.from_json(picture())
    job = await client.submit(workflow, idempotency_key="mine", metadata={"key": "mine"})

    with pytest.raises(IdempotencyKeyReuse) as raised:
        await client.submit(workflow, idempotency_key="mine")

    assert raised.value.idempotency_key == "mine"
    assert [each.id async for each in client.list_jobs(metadata={"key": "mine"})] == [job.id]


async def test_who_has_no_key_is_unauthorized(relay: Service) -> None:
    async with speaking_to(relay, "another") as stranger:
        for asking in (stranger.jobs.get(NOBODY), stranger.submit(stranger.workflows.from_json(picture()))):
            with pytest.raises(Unauthorized):
                await asking


async def test_what_there_is_not_is_not_found(client: AsyncComfy) -> None:
    for asking in (client.jobs.get(NOBODY), client.jobs.get("x"), client.assets.get(NOBODY)):
        with pytest.raises(NotFound):
            await asking


@pytest.mark.parametrize(
    ("metadata", "code"),
    [({"a b": "c"}, "metadata_invalid"), ({"a": "x" * 257}, "metadata_invalid")],
)
async def test_wrong_labels_are_refused(client: AsyncComfy, metadata: dict[str, str], code: str) -> None:
    with pytest.raises(ComfyError) as raised:
        await client.submit(client.workflows.from_json(picture()), metadata=metadata)
    with pytest.raises(ComfyError) as listing:
        await anext(client.list_jobs(metadata=metadata))

    assert (raised.value.code, listing.value.code) == (code, "invalid_metadata_filter")


async def test_a_key_for_partner_nodes_is_refused_and_not_dropped(client: AsyncComfy) -> None:
    with pytest.raises(ComfyError) as raised:
        await client.submit(client.workflows.from_json(picture()), api_key="comfyui-secret")

    assert raised.value.code == "extra_data_not_supported"
    assert "comfyui-secret" not in str(raised.value)


@pytest.mark.asyncio(loop_scope="function")
async def test_a_full_queue_is_waited_for(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_pending=1, max_in_flight=1)
    comfy.hold("execution_start")
    async with speaking_to(api, None) as client:
        workflow = client.workflows.from_json(picture())
        running = await client.submit(workflow)
        await comfy.held()
        waiting = await client.submit(workflow)
        refused = await api.http.post("/api/v2/jobs", json={"workflow": picture()})
        comfy.release()
        await events_of(running)
        await events_of(waiting)

        late = await client.run(workflow, timeout=20)

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert late.status == "succeeded"
