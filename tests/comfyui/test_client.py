"""What the client asks of the queue, the history and the server itself, and what it makes of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.comfyui.answers import Device, QueueState, SystemStats
from app.comfyui.client import ComfyClient
from app.comfyui.history import Outcome, OutputFile
from tests.comfyui import recordings
from tests.comfyui.servers import ScriptedServer, answer

if TYPE_CHECKING:
    pass

PROMPT_ID = "0f679f11-e3de-45ec-a87a-392530089e3d"


def remaining(count: object) -> dict[str, Any]:
    return {"exec_info": {"queue_remaining": count}}


async def test_the_queue_is_in_the_order_of_execution_and_holds_nobodys_graph(
    client: ComfyClient, server: ScriptedServer
) -> None:
    secret = {"api_key_comfy_org": "secret"}
    pending: list[Any] = [
        [number, name, {"1": {}}, secret, ["1"]] for number, name in ((-1, "a"), (9, "z"), (2.5, "c"), (9, "b"))
    ]
    server.answers["GET /queue"] = answer(200, {"queue_running": [[0, "r", {}, secret, []]], "queue_pending": pending})

    queue = await client.queue()

    assert queue == QueueState(running=("r",), pending=("a", "c", "b", "z"))


async def test_every_recorded_queue_is_read(client: ComfyClient, server: ScriptedServer) -> None:
    recorded = [
        line["response"]
        for name in recordings.NAMES
        for line in recordings.lines(name)
        if line["dir"] == "http" and (line["method"], line["path"]) == ("GET", "/queue") and "status" in line
    ]
    whole = [queue for queue in recorded if all(isinstance(item, list) for items in queue.values() for item in items)]
    for queue in whole:
        server.answers["GET /queue"] = answer(200, queue)

        state = await client.queue()

        assert state.running == tuple(item[1] for item in queue["queue_running"])
        assert sorted(state.pending) == sorted(item[1] for item in queue["queue_pending"])
    assert len(whole) > 3


async def test_history_is_none_until_there_is_an_entry(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers[f"GET /history/{PROMPT_ID}"] = answer(200, {})

    assert await client.history(PROMPT_ID) is None


async def test_history_with_nan_is_read(client: ComfyClient, server: ScriptedServer) -> None:
    entry = {
        "prompt": [0, PROMPT_ID, {"1": {}}, {}, []],
        "outputs": {
            "1": {"loss": [float("nan")], "images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}
        },
        "status": {"status_str": "success", "messages": [["execution_success", {"timestamp": 5}]]},
    }
    server.answers[f"GET /history/{PROMPT_ID}"] = answer(200, {PROMPT_ID: entry})

    read_entry = await client.history(PROMPT_ID)

    assert read_entry is not None
    assert read_entry.outcome is Outcome.SUCCESS
    assert read_entry.files == (OutputFile("1", "a.png"),)


async def test_an_id_is_encoded_in_the_path(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers["GET /history/with%2Fslash%3F"] = answer(200, {"with/slash?": {}})

    entry = await client.history("with/slash?")

    assert entry is not None


async def test_an_interrupt_and_a_delete_always_name_the_prompt(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers |= {"POST /interrupt": answer(200), "POST /queue": answer(200)}

    await client.interrupt(PROMPT_ID)
    await client.delete(PROMPT_ID)
    with pytest.raises(ValueError, match="not empty"):
        await client.interrupt("")

    assert [request.json for request in server.requests] == [{"prompt_id": PROMPT_ID}, {"delete": [PROMPT_ID]}]


async def test_cancel_uses_the_one_route_of_newer_servers(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers[f"POST /api/jobs/{PROMPT_ID}/cancel"] = answer(200, {"cancelled": True})

    await client.cancel(PROMPT_ID)

    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "asked_again"), [(405, False), (404, True)])
async def test_cancel_deletes_then_interrupts_on_older_servers_and_remembers_what_405_said(
    client: ComfyClient, server: ScriptedServer, status: int, asked_again: bool
) -> None:
    cancel = f"/api/jobs/{PROMPT_ID}/cancel"
    server.answers |= {f"POST {cancel}": answer(status), "POST /interrupt": answer(200), "POST /queue": answer(200)}

    await client.cancel(PROMPT_ID)
    await client.cancel(PROMPT_ID)

    old = ["/queue", "/interrupt"]
    assert [request.path for request in server.requests] == [cancel, *old, *([cancel] if asked_again else []), *old]


async def test_system_stats_are_read_as_recorded(client: ComfyClient, server: ScriptedServer) -> None:
    recorded = next(
        line["response"]
        for line in recordings.lines("19_queue_history_free")
        if line["dir"] == "http" and line["path"] == "/system_stats"
    )
    server.answers["GET /system_stats"] = answer(200, recorded)

    stats = await client.system_stats()

    device = recorded["devices"][0]
    devices = (Device(device["name"], device["type"], device["vram_total"], device["vram_free"]),)
    assert stats == SystemStats("0.3.64", "posix", devices)


async def test_a_server_without_the_route_has_no_features(client: ComfyClient) -> None:
    assert await client.features() == {}


async def test_features_queue_remaining_object_info_and_free(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers |= {
        "GET /features": answer(200, {"supports_preview_metadata": True}),
        "GET /prompt": answer(200, remaining(2)),
        "GET /object_info/Save%20Image": answer(200, {"Save Image": {}}),
        "POST /free": answer(200),
    }

    assert await client.features() == {"supports_preview_metadata": True}
    assert await client.queue_remaining() == 2
    assert await client.object_info("Save Image") == {"Save Image": {}}
    await client.free(free_memory=True)
    assert server.requests[-1].json == {"unload_models": True, "free_memory": True}
