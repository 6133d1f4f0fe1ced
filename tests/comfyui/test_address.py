"""One URL is all that is known of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.comfyui.address import parse_address
from app.comfyui.client import connect
from tests.comfyui.servers import ScriptedServer, answer

if TYPE_CHECKING:
    pass


def remaining(count: object) -> dict[str, Any]:
    return {"exec_info": {"queue_remaining": count}}


async def test_credentials_and_a_prefix_in_the_url_are_used_and_not_shown(server: ScriptedServer) -> None:
    url = server.url.replace("http://", "http://user:p%40ss@") + "/comfy/"
    server.answers["GET /comfy/prompt"] = answer(200, remaining(0))

    async with connect("gpu-1", url) as client:
        await client.queue_remaining()

    assert server.requests[0].headers["authorization"] == "Basic dXNlcjpwQHNz"
    assert "p%40ss" not in repr(parse_address(url))


@pytest.mark.parametrize("url", ["", "gpu-1:8188", "ftp://gpu-1", "http://", "http://gpu-1/?a=1", "http://gpu-1:port"])
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_address(url)


def test_the_socket_has_the_scheme_and_prefix_of_the_server() -> None:
    assert parse_address("http://gpu-1:8188").websocket("a b") == "ws://gpu-1:8188/ws?clientId=a%20b"
    assert parse_address("https://[::1]:8443/comfy").websocket("c") == "wss://[::1]:8443/comfy/ws?clientId=c"
