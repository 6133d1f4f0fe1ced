"""Sizes, depths and headers a server minds (recordings 17 and 20)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.comfyui.simulator.client import trivial

if TYPE_CHECKING:
    from tests.comfyui.simulator.client import Client


def chain(length: int) -> dict[str, Any]:
    graph: dict[str, Any] = {"0": {"class_type": "ProbeTiny", "inputs": {"seed": 1}}}
    for index in range(1, length):
        inputs = {"image": [str(index - 1), 0], "ms": 0, "polite": False}
        graph[str(index)] = {"class_type": "ProbeSlow", "inputs": inputs}
    return graph | {"end": {"class_type": "ProbeNull", "inputs": {"image": [str(length - 1), 0]}}}


async def test_a_chain_of_500_nodes_is_taken(client: Client) -> None:
    response = await client.http.post("/prompt", json={"prompt": chain(500)})

    assert response.status_code == 200


async def test_a_chain_of_1000_nodes_is_refused(client: Client) -> None:
    response = await client.http.post("/prompt", json={"prompt": chain(1000)})

    problems = [problem for node in response.json()["node_errors"].values() for problem in node["errors"]]
    assert response.status_code == 400
    assert [problem["type"] for problem in problems] == ["exception_during_inner_validation"]


async def test_progress_state_lists_every_node_started_so_far(client: Client) -> None:
    await client.run(chain(20))
    await client.hears("executing", node=None)

    states = client.data("progress_state")
    assert [len(state["nodes"]) for state in states] == [count for count in range(1, 22) for _ in range(2)]


async def test_a_body_over_the_limit_is_413() -> None:
    async with Simulator(SimulatorOptions(max_upload_bytes=1000)) as comfy, httpx.AsyncClient(trust_env=False) as http:
        small = await http.post(f"{comfy.url}/prompt", json={"prompt": trivial()})
        large = await http.post(f"{comfy.url}/prompt", content=b"x" * 1001)

    assert small.status_code == 200
    assert (large.status_code, large.text) == (413, "Maximum request body size 1000 exceeded.")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "{url}"}, 200),
        ({"Origin": "http://example.test"}, 403),
        ({"Origin": "http://example.test", "Host": "example.test"}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 200),
    ],
)
async def test_a_foreign_origin_is_refused(
    comfy: Simulator, client: Client, headers: dict[str, str], status: int
) -> None:
    response = await client.http.get(
        "/prompt", headers={key: text.format(url=comfy.url) for key, text in headers.items()}
    )

    assert response.status_code == status


async def test_a_foreign_origin_gets_no_socket(comfy: Simulator) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{comfy.url.replace('http', 'ws')}/ws", proxy=None, origin="http://example.test")  # type: ignore[arg-type]

    assert refused.value.response.status_code == 403


async def test_options_is_always_200_and_empty(client: Client) -> None:
    response = await client.http.request("OPTIONS", "/anything")

    assert (response.status_code, response.content) == (200, b"")


async def test_a_get_of_the_socket_is_400(client: Client) -> None:
    response = await client.http.get("/ws")

    assert response.status_code == 400
    assert response.text.startswith("No WebSocket UPGRADE hdr")


async def test_a_client_frame_over_4_mib_ends_the_socket(client: Client) -> None:
    with contextlib.suppress(ConnectionClosed):
        await client.socket.send("x" * (5 * 1024 * 1024))

    await asyncio.wait_for(client.closed.wait(), 5)

    assert (await client.http.get("/prompt")).status_code == 200


@pytest.mark.parametrize(("sent", "sid"), [("a%20b%C3%A9", "a bé"), ("x" * 400, "x" * 400)])
async def test_odd_client_ids_are_kept(comfy: Simulator, sent: str, sid: str) -> None:
    async with connect(f"{comfy.url.replace('http', 'ws')}/api/ws?clientId={sent}", proxy=None) as socket:
        greeting = await asyncio.wait_for(socket.recv(decode=False), 5)

    assert httpx.Response(200, content=greeting).json()["data"]["sid"] == sid


async def test_an_empty_client_id_is_replaced(comfy: Simulator) -> None:
    async with connect(f"{comfy.url.replace('http', 'ws')}/ws?clientId=", proxy=None) as socket:
        greeting = await asyncio.wait_for(socket.recv(decode=False), 5)

    assert len(httpx.Response(200, content=greeting).json()["data"]["sid"]) == 32


async def test_jobs_routes_are_unknown_to_this_version(client: Client) -> None:
    listing = await client.http.get("/api/jobs")
    cancel = await client.http.post("/api/jobs/some-id/cancel")

    assert (listing.status_code, cancel.status_code) == (404, 405)
