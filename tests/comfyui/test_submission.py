"""What is submitted, what never is, and what becomes of each answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.comfyui.answers import Accepted
from app.comfyui.client import ComfyClient
from app.comfyui.errors import BadReply, NoAnswer, Rejected
from tests.comfyui import recordings
from tests.comfyui.servers import ScriptedServer, answer

if TYPE_CHECKING:
    pass

PROMPT_ID = "0f679f11-e3de-45ec-a87a-392530089e3d"
WORKFLOW = {"1": {"class_type": "SaveImage", "inputs": {}}}


async def test_a_submission_carries_our_ids_and_comes_back_accepted(
    client: ComfyClient, server: ScriptedServer
) -> None:
    server.answers["POST /prompt"] = answer(200, {"prompt_id": PROMPT_ID, "number": 7, "node_errors": {}})

    accepted = await client.submit(
        WORKFLOW, prompt_id=PROMPT_ID, client_id="c-1", number=2.5, extra_data={"extra_pnginfo": {}}
    )

    assert accepted == Accepted(PROMPT_ID, 7, {})
    assert server.requests[0].json == {
        "prompt": WORKFLOW,
        "prompt_id": PROMPT_ID,
        "client_id": "c-1",
        "number": 2.5,
        "extra_data": {"extra_pnginfo": {}},
    }


async def test_what_was_not_given_is_not_sent_as_null(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers["POST /prompt"] = answer(200, {"prompt_id": PROMPT_ID})

    await client.submit(WORKFLOW, prompt_id=PROMPT_ID, client_id=None)

    assert set(server.requests[0].json) == {"prompt", "prompt_id"}


async def test_the_id_in_the_answer_counts_and_odd_numbers_do_not(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers["POST /prompt"] = answer(200, {"prompt_id": 17, "number": float("nan"), "node_errors": None})

    accepted = await client.submit(WORKFLOW, prompt_id=PROMPT_ID, client_id="c")

    assert accepted == Accepted("17", None, {})


async def test_errors_in_an_accepted_submission_are_kept_without_the_servers_stack(
    client: ComfyClient, server: ScriptedServer
) -> None:
    extra_info = {"traceback": ['  File "/comfyui/execution.py", line 1\n'], "exception_type": "KeyError"}
    details = "cannot open '/home/ai/ComfyUI/input/a.png' for sdxl/base.safetensors"
    node_errors = {"2": {"errors": [{"details": details, "extra_info": extra_info}]}}
    server.answers["POST /prompt"] = answer(200, {"prompt_id": PROMPT_ID, "node_errors": node_errors})

    accepted = await client.submit(WORKFLOW, prompt_id=PROMPT_ID, client_id="c")

    cleaned = {"details": "cannot open '…' for sdxl/base.safetensors", "extra_info": {"exception_type": "KeyError"}}
    assert accepted.node_errors == {"2": {"errors": [cleaned]}}


async def test_every_recorded_refusal_is_rejected_without_paths(client: ComfyClient, server: ScriptedServer) -> None:
    refusals = [
        line["response"]
        for line in recordings.lines("04_validation_errors")
        if line["dir"] == "http" and line["status"] == 400
    ]

    for refusal in refusals:
        server.answers["POST /prompt"] = answer(400, refusal)
        with pytest.raises(Rejected) as caught:
            await client.submit(WORKFLOW, prompt_id=PROMPT_ID, client_id="c")

        rejected = caught.value
        assert rejected.error["type"] == refusal["error"]["type"]
        assert rejected.node_errors.keys() == refusal["node_errors"].keys()
        assert "/comfyui" not in json.dumps([rejected.error, rejected.node_errors])
        assert "traceback" not in json.dumps([rejected.error, rejected.node_errors])
    assert len(refusals) > 15


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_submission_answered_with_a_server_error_may_have_been_queued(
    client: ComfyClient, server: ScriptedServer, status: int
) -> None:
    server.answers["POST /prompt"] = answer(status, b"500 Internal Server Error", "text/plain")

    with pytest.raises(NoAnswer):
        await client.submit(WORKFLOW, prompt_id=PROMPT_ID, client_id="c")


async def test_a_submission_too_large_for_the_server_is_rejected(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers["POST /prompt"] = answer(413, b"Maximum request body size 1 exceeded", "text/plain")

    with pytest.raises(Rejected) as caught:
        await client.submit(WORKFLOW, prompt_id=PROMPT_ID, client_id="c")

    assert caught.value.error["type"] == "too_large"


@pytest.mark.parametrize(
    "scripted",
    [
        answer(200, b"<html>", "text/html"),
        answer(200, b""),
        answer(200, []),
        answer(200, {"prompt_id": None}),
        answer(200, b"[" * 100_000),
        answer(302, b"", Location="http://elsewhere.invalid/"),
        answer(400, b"<html>", "text/html"),
        answer(400, {"detail": "not ComfyUI"}),
        answer(401),
        answer(418),
    ],
)
async def test_an_answer_that_is_no_comfyui_answer_is_a_bad_reply(
    client: ComfyClient, server: ScriptedServer, scripted: bytes
) -> None:
    server.answers["POST /prompt"] = scripted

    with pytest.raises(BadReply):
        await client.submit(WORKFLOW, prompt_id=PROMPT_ID, client_id="c")


@pytest.mark.parametrize(
    "arguments",
    [
        {"workflow": {"1": {"inputs": {"cfg": float("nan")}}}},
        {"workflow": {"1": {"inputs": {"cfg": [1, {"a": float("inf")}]}}}},
        {"workflow": {"1": {"inputs": {"text": "\ud800"}}}},
        {"workflow": {"1": []}},
        {"workflow": {"nodes": []}},
        {"prompt_id": ""},
        {"client_id": ""},
        {"client_id": ["c"]},
        {"client_id": {}},
        {"number": float("nan")},
        {"extra_data": {"extra_pnginfo": None}},
        {"extra_data": {"extra_pnginfo": {"workflow": None}}},
    ],
)
async def test_what_poisons_a_server_is_never_sent(
    client: ComfyClient, server: ScriptedServer, arguments: dict[str, Any]
) -> None:
    whole = {"workflow": WORKFLOW, "prompt_id": PROMPT_ID, "client_id": "c", **arguments}

    with pytest.raises((ValueError, TypeError)):
        await client.submit(whole.pop("workflow"), **whole)

    assert server.requests == []


async def test_a_null_in_a_workflow_is_no_nan(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers["POST /prompt"] = answer(200, {"prompt_id": PROMPT_ID})
    workflow = {"1": {"class_type": "X", "inputs": {"optional": None}}}

    await client.submit(workflow, prompt_id=PROMPT_ID, client_id="c")

    assert server.requests[0].json["prompt"] == workflow
