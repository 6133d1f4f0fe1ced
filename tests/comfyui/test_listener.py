"""How a socket is opened, proven and replaced, and what is told about it."""

from __future__ import annotations

import asyncio
import json

from websockets.asyncio.server import ServerConnection

from app.comfyui.listener import Listener, ListenerCounters
from app.comfyui.messages import Executing, FeatureFlags, NodeText, Status, Unknown
from tests.comfyui.servers import closed_port_url
from tests.comfyui.sockets import (
    FLAGS,
    Log,
    behave,
    greet,
    greet_and_drop,
    id_of,
    listener_for,
    listening,
    saying,
    serving,
)


async def test_the_id_is_there_from_the_greeting_and_proven_by_the_answer_to_our_first_frame() -> None:
    answered = asyncio.Event()
    first_frames: list[str | bytes] = []

    async def answer_late(socket: ServerConnection) -> None:
        await greet(socket)
        first_frames.append(await socket.recv())
        await answered.wait()
        await socket.send(FLAGS)
        await socket.wait_closed()

    log = Log()
    async with serving(answer_late) as (server, url), listening(url, log) as listener:
        await log.until(lambda: len(log.messages) == 1)
        assert not listener.is_proven
        assert listener.client_id == log.ids[0]
        assert log.ids == [id_of(server.sockets[0])]
        answered.set()
        await log.until(lambda: len(log.messages) == 2)
        assert listener.is_proven

    assert json.loads(first_frames[0]) == json.loads(FLAGS)
    assert log.messages == [Status(0, log.ids[0]), FeatureFlags({"supports_preview_metadata": True})]


async def test_frames_are_handed_over_in_order_whatever_they_are() -> None:
    frames = (
        '{"type": "executing", "data": {"node": "1", "prompt_id": "p"}}',
        b"\0\0\0\3\0\0\0\x012half way",
        "",
        '{"type": "crystools.monitor", "data": {}}',
        b"\0\0\0\x09",
        '{"type": "executing", "data": {"node": null, "prompt_id": "p"}}',
    )
    log = Log()

    async with serving(saying(*frames)) as (_, url), listening(url, log) as listener:
        await log.until(log.heard(Executing("p", None)))

    assert log.messages[2:4] == [Executing("p", "1"), NodeText("2", "half way")]
    assert [type(message) for message in log.messages[4:]] == [Unknown, Unknown, Unknown, Executing]
    assert listener.counters.frames == 8
    assert listener.counters.unknown == {"": 1, "crystools.monitor": 1, "binary 9": 1}


async def test_a_text_frame_of_broken_utf8_does_not_cost_the_socket() -> None:
    async def send_broken_text(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        await socket.send(b'{"type": "executing", "data": {"node": "\xff", "prompt_id": "p"}}', text=True)
        await behave(socket)

    log = Log()
    async with serving(send_broken_text) as (server, url), listening(url, log):
        await log.until(log.heard(Executing("p", "\ufffd")))

    assert len(server.sockets) == 1


async def test_the_handshake_has_our_credentials_and_no_origin_no_compression_no_cookies() -> None:
    log = Log()
    async with serving() as (server, url), listening(url.replace("//", "//user:pass@") + "/comfy", log):
        await log.until(lambda: bool(log.ids))

    request = server.sockets[0].request
    assert request is not None
    assert request.path.startswith("/comfy/ws?clientId=")
    assert request.headers["Authorization"] == "Basic dXNlcjpwYXNz"
    assert not {"origin", "cookie", "sec-websocket-extensions"} & {name.lower() for name in request.headers}


async def test_a_lost_connection_is_reported_and_the_next_one_has_another_id() -> None:
    log = Log()
    async with serving(greet_and_drop, greet_and_drop) as (server, url), listening(url, log) as listener:
        await log.until(lambda: len(log.ids) == 3)
        assert listener.client_id == log.ids[2]

    assert len(set(log.ids)) == 3
    first, second, third = log.ids
    assert log.told == [
        ("connected", first),
        ("gap", first),
        ("connected", second),
        ("gap", second),
        ("connected", third),
        ("gap", third),
    ]
    assert listener.counters.reconnects == 2
    assert server.open_at_once == 1


async def test_the_server_decides_what_the_id_is() -> None:
    async def rename(socket: ServerConnection) -> None:
        await socket.send('{"type": "status", "data": {"status": {}, "sid": "another"}}')
        await socket.wait_closed()

    log = Log()
    async with serving(rename) as (_, url), listening(url, log) as listener:
        await log.until(lambda: bool(log.ids))
        assert listener.client_id == "another"

    assert log.gaps == ["another"]


async def test_replacing_a_socket_closes_it_before_another_one_is_opened() -> None:
    log = Log()
    async with serving() as (server, url), listening(url, log) as listener:
        await log.until(lambda: listener.is_proven)
        first = listener.client_id

        listener.replace("deaf")
        listener.replace("deaf")
        await log.until(lambda: len(log.ids) == 2)

        assert log.gaps == [first]
        assert server.open_at_once == 1


async def test_there_is_nothing_to_replace_without_a_socket() -> None:
    log = Log()
    listener = listener_for(await closed_port_url(), log)

    listener.replace("deaf")

    assert listener.client_id is None
    assert log.told == []


async def test_a_frame_larger_than_the_librarys_default_is_read() -> None:
    frame = json.dumps({"type": "executing", "data": {"node": "x" * 4_000_000, "prompt_id": "p"}})
    log = Log()

    async with serving(saying(frame)) as (server, url), listening(url, log):
        await log.until(lambda: any(isinstance(message, Executing) for message in log.messages))

    assert len(server.sockets) == 1


async def test_being_cancelled_closes_the_socket_properly() -> None:
    log = Log()
    async with serving() as (server, url):
        async with listening(url, log) as listener:
            await log.until(lambda: listener.is_proven)
        await asyncio.wait_for(server.sockets[0].wait_closed(), 10)

    assert server.sockets[0].close_code == 1000
    assert log.gaps == log.ids
    assert listener.client_id is None


async def test_the_time_of_the_last_message_is_the_clocks() -> None:
    times = iter([5.0, 7.0, 9.0])
    log = Log()
    async with serving() as (_, url):
        listener = Listener(
            "gpu-1",
            url,
            log.on_message,
            on_connected=log.on_connected,
            on_gap=log.on_gap,
            clock=lambda: next(times),
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(listener.run())
            await log.until(lambda: listener.is_proven)
            task.cancel()

    assert listener.counters.last_message_at == 7.0


def test_the_count_of_unknown_types_does_not_grow_for_ever() -> None:
    counters = ListenerCounters()

    for number in range(1_000):
        counters.add_unknown(f"type {number}")

    assert len(counters.unknown) == 101
    assert counters.unknown[""] == 900
